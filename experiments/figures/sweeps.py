"""What the figures share: launching the runs they lack, reading those there are, and writing what they found."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from gsd.cli.errors import guarded
from gsd.errors import GsdError
from gsd.results.runs import Run, done_runs

ROOT = Path(__file__).resolve().parents[2]


def parser(doc: str | None, name: str) -> argparse.ArgumentParser:
    """The options that every figure of runs has."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--run", action="store_true", help="first launch the runs that are missing")
    options.add_argument("--jobs", type=int, default=1, help="runs at the same time (1); more need joblib's launcher")
    options.add_argument("--name", default=name, help=f"folder of the runs below multirun/ ({name})")
    options.add_argument(
        "--out", type=Path, default=Path("outputs") / name, help=f"folder of the results (outputs/{name})"
    )
    options.add_argument("overrides", nargs="*", help="settings of all runs, as prior=stable_diffusion steps=1200")
    return options


def start(options: argparse.ArgumentParser, main: Callable[[argparse.Namespace], None]) -> None:
    """Run a figure's program; a user's mistake ends it with one sentence."""
    args = options.parse_args()
    guarded(lambda: main(args))


def launch(name: str, overrides: Sequence[str], seeds: Iterable[int | str], jobs: int) -> None:
    """python run.py -m name=NAME OVERRIDES seed=SEEDS, `jobs` runs at a time.

    Finished runs are skipped and stopped ones continue. Raises GsdError when a run fails, after the others have ended.
    """
    side_by_side = [] if jobs == 1 else ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={jobs}"]
    swept = [f"name={name}", "threads=1", *overrides, f"seed={','.join(map(str, seeds))}"]
    command = [sys.executable, str(ROOT / "run.py"), "-m", *side_by_side, *swept]
    if subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode != 0:
        raise GsdError(f"Some runs of multirun/{name} failed, see above; repeat the command to continue.")


def runs_of(name: str) -> list[Run]:
    """The finished runs of multirun/NAME."""
    folder = Path("multirun") / name
    if not folder.is_dir():
        raise GsdError(f"{folder} does not exist; add --run to launch the runs of this figure.")
    return done_runs([folder])


def typed(overrides: Sequence[str]) -> dict[str, str]:
    return {key: value for key, _, value in (item.partition("=") for item in overrides)}


def publish(folder: Path, figure: Any, result: Any, table: str = "") -> None:
    """Write figure.png, figure.pdf, result.json (null for nan and infinity) and table.md, and print the table."""
    folder.mkdir(parents=True, exist_ok=True)
    for ending in ("png", "pdf"):
        figure.savefig(folder / f"figure.{ending}", dpi=170)
    finite = json.loads(json.dumps(result, default=lambda array: array.tolist()), parse_constant=lambda name: None)
    (folder / "result.json").write_text(json.dumps(finite, indent=1) + "\n")
    if table:
        (folder / "table.md").write_text(table)
    print(table, f"\n{folder}/figure.png, figure.pdf, result.json", ", table.md" if table else "", sep="")
