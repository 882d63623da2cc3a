"""One HTML file that shows a run or a sweep, without network: gsd report FOLDER... [--out report.html]

Turntables in sync come first, then which settings are best and how sure that is, in a sentence, a table and a plot.
Folded below: every run, all metrics, curves, pictures by step, the Gaussians in 3D, noise, cost and differences of the
configs. Runs that failed or are under way are shown as such; damaged folders are named. It prints, too.

Of runs with several prompts it also prints the table of papers, a row per method and a column per metric and set of
prompts (`-m prompts=FILE,FILE`), with intervals over the prompts, and writes it as report.csv and report.tex.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from gsd.cli.errors import guarded
from gsd.errors import GsdError


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER", help="runs, or folders that hold runs")
    parser.add_argument("--out", type=Path, help="without it, report.html in the first folder")
    parser.add_argument(
        "--metrics", help="of the table over prompts, as hps,clip_score; without it, those of the page's first table"
    )
    args = parser.parse_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    from gsd.results.table import read
    from gsd.tools.report import prompt_table, write_table

    table = read(args.folders)
    sets, damaged = prompt_table.sets_of(table)
    found = prompt_table.prompt_table(table, sets, [*map(str.strip, args.metrics.split(","))] if args.metrics else None)
    out = write_table(table, args.out or args.folders[0] / "report.html")
    print(f"{out} ({out.stat().st_size / 1e6:.1f} MB)")
    for sentence in damaged:
        print(sentence, file=sys.stderr)
    if found is not None:
        print(found.markdown())
        print(*prompt_table.write(found, out))
    elif args.metrics:
        raise GsdError("--metrics is of the table over prompts, and these runs have one prompt or no number.")


if __name__ == "__main__":
    main()
