"""Sweeps by their folders, while they run and afterwards: gsd sweep status multirun/NAME"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from gsd.cli.errors import guarded


def main() -> None:
    parser = argparse.ArgumentParser(prog="gsd sweep", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(run: Callable[[argparse.Namespace], int | None]) -> argparse.ArgumentParser:
        added = commands.add_parser(run.__name__, help=run.__doc__, description=run.__doc__)
        added.set_defaults(run=run)
        if run is not schedule:
            added.add_argument("folder", type=Path, help="multirun/NAME")
        return added

    command(status)
    command(retry).add_argument("overrides", nargs="*", help="added to the command, as hydra.launcher.mem_gb=64")
    command(summary).add_argument(
        "--baseline", help="the group that the others are compared with, as 'noising=random'; by default the first"
    )
    command(cancel)
    scheduled, ticked = command(schedule), command(tick)
    scheduled.add_argument("overrides", nargs="+", help="experiment=nightly_ablation and what differs from it")
    when = scheduled.add_mutually_exclusive_group(required=True)
    when.add_argument("--every", metavar="CRON", help="minute hour day month weekday: '0 2 * * *'")
    when.add_argument("--begin", metavar="TIME", help="as for sbatch: 02:00, now+6hours")
    scheduled.add_argument("--backend", choices=("slurm", "cron", "systemd"), help="slurm with --begin, else cron")
    scheduled.add_argument("--sbatch", action="append", default=[], metavar="OPTION", help="--sbatch=--partition=cpu")
    scheduled.add_argument("--install", action="store_true", help="install the schedule, not only write it")
    ticked.add_argument("overrides", nargs="+")
    for each in (scheduled, ticked):
        each.add_argument("--keep", type=int, help="ticks that stay on disk; by default all")
    args = parser.parse_args()
    guarded(lambda: sys.exit(args.run(args)))


def status(args: argparse.Namespace) -> None:
    """Show every run: done, failed (and why), running (and where) or pending"""
    from gsd.results.sweep_folder import SweepFolder, count, table
    from gsd.tools.sweep.queue import active, submitted, told

    folder = SweepFolder(args.folder)
    for sweep in folder.sweeps:
        print(f"{len(sweep.jobs)} runs by {sweep.launcher}, begun {sweep.began}, commit {sweep.commit}")
    rows = folder.rows()
    print(table(rows))
    print(f"{folder.path}: {count(rows)}.")
    if submitted(folder.path):
        print(told(active(folder.path).values()))


def retry(args: argparse.Namespace) -> int:
    """Run what is missing or has failed, with the overrides and the launcher of the sweep"""
    from gsd.results.sweep_folder import SweepFolder
    from gsd.tools.sweep import control

    return control.retry(SweepFolder(args.folder), args.overrides)


def summary(args: argparse.Namespace) -> None:
    """Write summary.csv, summary.md (means, intervals, differences to a baseline) and report.html"""
    from gsd.tools.sweep.summary import write

    print(*write(args.folder, args.baseline), sep="\n")


def cancel(args: argparse.Namespace) -> None:
    """Stop its jobs of Slurm and its processes on this machine, at a checkpoint"""
    from gsd.results.sweep_folder import SweepFolder
    from gsd.tools.sweep import control

    print("\n".join(control.cancel(SweepFolder(args.folder))) or "Nothing of it runs.")


def schedule(args: argparse.Namespace) -> None:
    """Have a sweep run at times, by Slurm, cron or systemd, each tick compared with the one before"""
    from gsd.tools.sweep.clock import Clock
    from gsd.tools.sweep.schedule import Backend, Schedule

    backend: Backend = args.backend or ("slurm" if args.begin else "cron")
    made = Schedule(args.overrides, Clock(args.every, args.begin), backend, args.keep, args.sbatch)
    print("Written:", *made.write())
    print(made.install() if args.install else f"To install it, --install or: {made.installation()}")


def tick(args: argparse.Namespace) -> int:
    """One tick of a schedule: exit code 1 if a run failed, 2 if a metric has moved"""
    from gsd.tools.sweep import tick as module

    return module.tick(args.folder, args.overrides, args.keep)


if __name__ == "__main__":
    main()
