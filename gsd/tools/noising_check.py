"""Hold a noising to what it claims: gsd noising-check [noising=NAME] [noising.KEY=VALUE ...] [device=NAME]
[--run FOLDER]

Prints every test with its figure, threshold and verdict. A claim that fails ends in exit code 1; what is not claimed is
measured all the same. The scene is an ideal one (gsd.noising.check.acceptance) or, with --run, that of a run, with the
run's own noising unless another is named: a noising may be right and find too few points where rays end. A run keeps
its last checkpoint; --at takes the run's steps again to see its scene at others.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from gsd.cli.errors import guarded
from gsd.cli.folders import options
from gsd.errors import GsdError
from gsd.tools.device import parted

if TYPE_CHECKING:
    from gsd.noising.check.laws import Finding
    from gsd.protocols import Noising

    Checked: TypeAlias = tuple[str, Noising, list[Finding]]  # with a title


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
    parser.add_argument(
        "--run", type=Path, metavar="FOLDER", help="a run, whose scene takes the place of the ideal one"
    )
    parser.add_argument("--at", metavar="STEPS", help="of that run, as 0,15,100 (its checkpoint); 0 is the start")
    parser.add_argument(
        "overrides",
        nargs="*",
        help="noising=a,b for several; none: every option, or the run's; device=NAME: cpu, or the run's",
    )
    args = parser.parse_intermixed_args()
    guarded(lambda: _run(args))


def _run(args: argparse.Namespace) -> None:
    if args.run is None:
        if args.at is not None:
            raise GsdError("--at chooses steps of a run: give it too by --run FOLDER.")
        tables = _ideal(args)
    else:
        tables = _of_run(args)
    failed = []
    for title, noising, findings in tables:
        _print(title, noising, findings)
        failed += [title] if any(f.failed for f in findings) else []
    sys.exit(f"a claim failed: {', '.join(failed)}" if failed else 0)


def _ideal(args: argparse.Namespace) -> Iterator[Checked]:
    from gsd.noising.check.acceptance import check

    device, words = parted(args.overrides, "cpu")
    names, rest = _named(words)
    for name in names or options("noising"):
        noising = configured([f"noising={name}", *rest])
        yield " ".join([name, *rest]), noising, check(noising, args.draws, device=device)


def _of_run(args: argparse.Namespace) -> Iterator[Checked]:
    """Every noising named, or the run's, at every step."""
    from gsd.noising.check.sight import check_sight
    from gsd.results.trust import configuration
    from gsd.tools.run_sights import sights

    device, words = parted(args.overrides, configuration(args.run).get("device", "auto"))
    names, rest = _named(words)
    noisings = {name: configured([f"noising={name}", *rest]) for name in names} or {"": of_folder(args.run, rest)}
    for sight in sights(args.run, _steps(args.at), device):
        for name, noising in noisings.items():
            title = " ".join([f"{args.run}, step {sight.steps}", *filter(None, [name]), *rest])
            yield title, noising, check_sight(noising, sight, args.draws)


def _named(overrides: list[str]) -> tuple[list[str], list[str]]:
    """The options that noising=a,b names, and the other settings."""
    named = [o.removeprefix("noising=") for o in overrides if o.startswith("noising=")]
    return (",".join(named).split(",") if named else []), [o for o in overrides if not o.startswith("noising=")]


def of_folder(folder: Path, overrides: list[str]) -> Noising:
    """A run's own noising, with changes."""
    from omegaconf import OmegaConf

    from gsd.config import make
    from gsd.protocols import Noising
    from gsd.results.trust import configuration
    from gsd.types import Context

    for override in overrides:
        if not override.startswith("noising.") or "=" not in override:
            raise GsdError(f"{override}: with --run, only the noising can be changed, as noising.cells=0.")
    section = OmegaConf.merge(configuration(folder), OmegaConf.from_dotlist(overrides)).noising
    return make(section, "noising", Context(), Noising)


def _steps(text: str | None) -> list[int]:
    try:
        return [int(step) for step in text.split(",")] if text is not None else []
    except ValueError:
        raise GsdError(f"--at {text}: give steps separated by commas, as 0,15,100.") from None


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
