"""Hold a noising to what it claims: gsd noising-check [noising=NAME] [noising.KEY=VALUE ...]

Prints every test of gsd.noising.check.acceptance with its figure, threshold and verdict. A claim that fails ends in
exit code 1; what is not claimed is measured all the same.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from gsd.cli.errors import guarded
from gsd.cli.folders import options

if TYPE_CHECKING:
    from gsd.noising.check.acceptance import Finding
    from gsd.protocols import Noising


def configured(overrides: list[str]) -> Noising:
    """The noising that these command-line settings make: ["noising=consistent", "noising.upsample=4"]."""
    from gsd.cli.hydra import compose
    from gsd.config import make
    from gsd.protocols import Noising
    from gsd.types import Context

    return make(compose(*overrides).noising, "noising", Context(), Noising)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="gsd noising-check", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, default=500, help="of 4 channels each")
    parser.add_argument("--device", default="cpu", help="where the maps are made: cpu or cuda")
    parser.add_argument("overrides", nargs="*", help="noising=a,b for several; every option if none is named")
    args = parser.parse_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    from gsd.noising.check.acceptance import check

    named = [o.removeprefix("noising=") for o in args.overrides if o.startswith("noising=")]
    rest = [o for o in args.overrides if not o.startswith("noising=")]
    failed = []
    for name in ",".join(named).split(",") if named else options("noising"):
        noising = configured([f"noising={name}", *rest])
        findings = check(noising, args.draws, device=args.device)
        _print(" ".join([name, *rest]), noising, findings)
        if any(f.failed for f in findings):
            failed.append(name)
    sys.exit(f"a claim failed: {', '.join(failed)}" if failed else 0)


def _print(title: str, noising: Noising, findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.table import Table

    claims = ", ".join(sorted(noising.claims)) or "nothing"
    table = Table("test", title=f"{title}: claims {claims}", title_justify="left", title_style="bold")
    for heading in ("figure", "threshold", "claim", "verdict"):
        table.add_column(heading, justify="right" if heading == "figure" else "left", no_wrap=True)
    for f in findings:
        colour = "red" if f.failed else "green" if f.verdict == "ok" else "dim"
        table.add_row(f.test, f"{f.figure:.4g}", f.threshold, f.claim or "", f"[{colour}]{f.verdict}")
    console = Console()
    console.print(table) if console.is_terminal else Console(width=160).print(table)


if __name__ == "__main__":
    main()
