"""What the figures share: launching the runs they lack, reading those there are, and writing what they found."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gsd.errors import GsdError
from gsd.results.runs import Run, done_runs

ROOT = Path(__file__).resolve().parents[2]


def parser(doc: str | None, name: str) -> argparse.ArgumentParser:
    """The options that every figure has."""
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--run", action="store_true", help="first launch the runs that are missing")
    options.add_argument("--jobs", type=int, default=1, help="how many at a time (1); more need '.[cluster]'")
    options.add_argument("--name", default=name, help=f"folder of the runs below multirun/ ({name})")
    options.add_argument(
        "--out", type=Path, default=Path("outputs") / name, help=f"where the results go (outputs/{name})"
    )
    options.add_argument("overrides", nargs="*", help="of every run, for example prior=stable_diffusion steps=1200")
    return options


def launch(name: str, overrides: Sequence[str], seeds: Iterable[int | str], jobs: int) -> None:
    """python run.py -m name=NAME OVERRIDES seed=SEEDS, `jobs` runs at a time.

    Runs that are done are skipped and stopped ones go on, as always. Raises GsdError when one fails; the others end
    first.
    """
    side_by_side = [] if jobs == 1 else ["hydra/launcher=joblib", f"hydra.launcher.n_jobs={jobs}"]
    swept = [f"name={name}", "threads=1", *overrides, f"seed={','.join(map(str, seeds))}"]
    command = [sys.executable, str(ROOT / "run.py"), "-m", *side_by_side, *swept]
    if subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode != 0:
        raise GsdError(f"Some runs of multirun/{name} failed, see above; repeat the command to go on.")


def runs_of(name: str) -> list[Run]:
    """The finished runs of multirun/NAME."""
    folder = Path("multirun") / name
    if not folder.is_dir():
        raise GsdError(f"{folder} does not exist; add --run to launch the runs of this figure.")
    return done_runs([folder])


def settings(run: Run) -> dict[str, str]:
    """What was typed for a run, key by key: {"noising": "random", "seed": "1"}."""
    return typed(run.overrides)


def typed(overrides: Sequence[str]) -> dict[str, str]:
    return {key: value for key, _, value in (item.partition("=") for item in overrides)}


def write(folder: Path, name: str, content: str | dict[str, Any] | list[Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content, indent=1) + "\n")


def as_table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown; the columns are the keys of the first row."""
    if not rows:
        return ""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join(str(value) for value in row.values()) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def pyplot() -> Any:
    """matplotlib without a screen, in the style of all figures."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    plt.rcParams.update({"font.family": "serif", "mathtext.fontset": "cm", "font.size": 9, "pdf.fonttype": 42})
    return plt
