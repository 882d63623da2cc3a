"""Sweeps by their folders, while they run and afterwards: gsd sweep status multirun/NAME

status    every run: done, failed (and why), running (and where), pending
retry     run what is missing or has failed, with the command and launcher of the sweep
summary   summary.csv, summary.md (means, intervals, differences to a baseline) and report.html
cancel    stop its jobs of Slurm and its processes on this machine, at a checkpoint
schedule  have a sweep run at times, by Slurm, cron or systemd, each tick compared with the one before
tick      what a schedule calls: exit code 1 if a run failed, 2 if a metric has moved
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from gsd.cli.errors import guarded


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int | None]) -> argparse.ArgumentParser:
        added = commands.add_parser(name)
        added.set_defaults(run=run)
        if name != "schedule":
            added.add_argument("folder", type=Path, help="multirun/NAME")
        return added

    command("status", _status)
    command("cancel", _cancel)
    retry = command("retry", _retry)
    retry.add_argument("overrides", nargs="*", help="added to the command, as hydra.launcher.mem_gb=64")
    summary = command("summary", _summary)
    summary.add_argument("--baseline", help="'noising=random': what the others are compared with; else the first group")
    schedule = command("schedule", _schedule)
    schedule.add_argument("overrides", nargs="+", help="experiment=nightly_ablation and what differs from it")
    when = schedule.add_mutually_exclusive_group(required=True)
    when.add_argument("--every", metavar="CRON", help="minute hour day month weekday: '0 2 * * *'")
    when.add_argument("--begin", metavar="TIME", help="as for sbatch: 02:00, now+6hours")
    schedule.add_argument("--backend", choices=("slurm", "cron", "systemd"), help="slurm with --begin, else cron")
    schedule.add_argument("--sbatch", action="append", default=[], metavar="OPTION", help="--sbatch=--partition=cpu")
    schedule.add_argument("--install", action="store_true", help="not only write it")
    for each in (schedule, command("tick", _tick)):
        each.add_argument("--keep", type=int, help="ticks that stay on disk; without it, all")
    commands.choices["tick"].add_argument("overrides", nargs="+")
    args = parser.parse_args()
    guarded(lambda: sys.exit(args.run(args)))


def _status(args: argparse.Namespace) -> None:
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


def _retry(args: argparse.Namespace) -> int:
    from gsd.results.sweep_folder import SweepFolder
    from gsd.tools.sweep.control import retry

    return retry(SweepFolder(args.folder), args.overrides)


def _summary(args: argparse.Namespace) -> None:
    from gsd.tools.sweep.summary import write

    for file in write(args.folder, args.baseline):
        print(file)


def _schedule(args: argparse.Namespace) -> None:
    from gsd.tools.sweep.clock import Clock
    from gsd.tools.sweep.schedule import Backend, Schedule

    clock = Clock(args.every, args.begin)
    backend: Backend = args.backend or ("slurm" if args.begin else "cron")
    schedule = Schedule(args.overrides, clock, backend, args.keep, args.sbatch)
    print("Written:", *schedule.write())
    print(schedule.install() if args.install else f"To install it, --install or: {schedule.installation()}")


def _tick(args: argparse.Namespace) -> int:
    from gsd.tools.sweep.tick import tick

    return tick(args.folder, args.overrides, args.keep)


def _cancel(args: argparse.Namespace) -> None:
    from gsd.results.sweep_folder import SweepFolder
    from gsd.tools.sweep.control import cancel

    print("\n".join(cancel(SweepFolder(args.folder))) or "Nothing of it runs.")


if __name__ == "__main__":
    main()
