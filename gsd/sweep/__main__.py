"""A sweep by its folder, while it runs and afterwards: python -m gsd.sweep status|retry|summary|cancel multirun/NAME

status    every run: done, failed (and why), running (and where), pending
retry     run what is missing or has failed, with the command and launcher of the sweep
summary   summary.csv, summary.md (means, intervals, differences to a baseline) and report.html
cancel    stop its jobs of Slurm and its processes on this machine, at a checkpoint
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gsd.cli import guarded


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m gsd.sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run in (("status", _status), ("retry", _retry), ("summary", _summary), ("cancel", _cancel)):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path, help="multirun/NAME")
        command.set_defaults(run=run)
        if name == "retry":
            command.add_argument("overrides", nargs="*", help="added to the command, as hydra.launcher.mem_gb=64")
        if name == "summary":
            command.add_argument("--baseline", help="settings of the group that others are compared with")
    args = parser.parse_args()
    guarded(lambda: sys.exit(args.run(args)))


def _status(args: argparse.Namespace) -> None:
    from gsd.sweep.folder import SweepFolder, count, table
    from gsd.sweep.queue import told

    folder = SweepFolder(args.folder)
    for sweep in folder.sweeps:
        print(f"{len(sweep.jobs)} runs by {sweep.launcher}, begun {sweep.began}, commit {sweep.commit}")
    rows = folder.rows()
    print(table(rows))
    print(f"{folder.path}: {count(rows)}.", told(folder.path))


def _retry(args: argparse.Namespace) -> int:
    from gsd.sweep.control import retry
    from gsd.sweep.folder import SweepFolder

    return retry(SweepFolder(args.folder), args.overrides)


def _summary(args: argparse.Namespace) -> None:
    from gsd.sweep.summary import write

    for file in write(args.folder, args.baseline):
        print(file)


def _cancel(args: argparse.Namespace) -> None:
    from gsd.sweep.control import cancel
    from gsd.sweep.folder import SweepFolder

    print("\n".join(cancel(SweepFolder(args.folder))) or "Nothing of it runs.")


if __name__ == "__main__":
    main()
