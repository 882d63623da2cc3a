"""One HTML file that shows a run or a sweep, without network: gsd report FOLDER... [--out report.html]

Turntables in sync come first, then which settings are best and how sure that is, in a sentence, a table and a plot.
Folded below: every run, all metrics, curves, pictures by step, the Gaussians in 3D, noise, cost and differences of the
configs. Runs that failed or are under way are shown as such; damaged folders are named. It prints, too.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gsd.cli.errors import guarded


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="runs, or folders that hold runs")
    parser.add_argument("--out", type=Path, help="without it, report.html in the first folder")
    args = parser.parse_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    from gsd.tools.report import write

    out = write(args.folders, args.out or args.folders[0] / "report.html")
    print(f"{out} ({out.stat().st_size / 1e6:.1f} MB)")


if __name__ == "__main__":
    main()
