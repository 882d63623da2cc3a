"""Which run a folder belongs to: its identity.json, compared before the folder is believed or continued.

Folders whose name follows from the config are compared too: it is a short hash, and they may have been renamed. Of
folders from before there was identity.json, config.yaml is compared; it does not know what was in the files that the
run read, nor which device auto was.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gsd.errors import GsdError
from gsd.identity import MEASURED, Identity, of_settings
from gsd.results.folder import RunFolder
from gsd.results.reading import checked, read_json, there
from gsd.results.runs import Run

FILE = "identity.json"
RESULTS = ("DONE", "checkpoint.pt")  # without these there is nothing to be taken for another run's
NAMED = 3  # differences in a sentence
OURS = ("representation", "guidance", "noising")  # sections of every run's config.yaml
WRITTEN = (  # what a run puts into its folder, in the place of whatever is there
    "config.yaml", "overrides.yaml", "choices.yaml", "summary.json", "checkpoint.pt", "metrics.jsonl",
    "histograms.jsonl", "evaluations.jsonl", "evaluation.json", "scene.ply", "field.safetensors", "turntable.mp4",
    "turntable_dark.mp4", "turntable.png", "views", "strips", "frames", "start.png",
)  # fmt: skip


def sign(folder: RunFolder, asked: Identity, machine: dict[str, str]) -> None:
    """Write down whose folder this is; pictures of another run's attempt that came to nothing are removed.

    machine: what computes there, which makes no run another one.
    """
    if not has_results(folder.path) and _differences(folder.path, asked):
        for name in ("strips", "frames"):
            if not (folder / name).is_symlink():
                shutil.rmtree(folder / name, ignore_errors=True)
    folder.write(FILE, json.dumps({"signature": asked.signature, **asdict(asked), "machine": machine}, indent=1) + "\n")


def stored(folder: Path, device: str = "") -> Identity | None:
    """Whose folder it is; None: nobody's. Raises GsdError for damaged files.

    device: the kind that is assumed of a folder without identity.json.
    """
    if (folder / FILE).exists():
        try:
            content = read_json(folder / FILE, dict[str, Any])
            found: Identity = checked(folder / FILE, content, Identity, strict=False)
        except GsdError as error:
            raise GsdError(f"{error} Delete it, and config.yaml is compared in its place.") from error
        return found
    config = Run(folder).config
    return of_settings(config, device, with_files=False) if config else None


def refuse_files_of_others(folder: Path) -> None:
    """Raise GsdError for a folder that is no run's, and has files where a run would write its own."""
    mine = [name for name in WRITTEN if there(folder / name)]
    if not mine or there(folder / FILE):
        return
    try:
        config = Run(folder).config
    except GsdError:
        config = None
    if not config or any(key not in config for key in OURS):
        raise GsdError(
            f"{folder} is no run folder, and its {', '.join(mine[:NAMED])} would be written over; take another folder."
        )


def has_results(folder: Path) -> bool:
    return any((folder / name).exists() for name in RESULTS)


def belongs(folder: Path, asked: Identity) -> bool:
    """Whether the results in a folder are those of the run asked for; False if they are to be measured anew.

    Raises GsdError where they are another run's.
    """
    if not has_results(folder):
        return True
    different = _differences(folder, asked)
    others = {key: words for key, words in different.items() if key.partition(".")[0] not in MEASURED}
    if not others and different and (folder / "evaluations.jsonl").exists():
        others = different  # measured on the way, by other means
    if others:
        named = "; ".join(f"{key}: {words}" for key, words in list(others.items())[:NAMED])
        more = f"; and {len(others) - NAMED} more" if len(others) > NAMED else ""
        raise GsdError(
            f"{folder} holds another run, which differs in {named}{more}. Take another folder (without hydra.run.dir "
            "and hydra.sweep.subdir each run has its own), or delete this one."
        )
    return not different


def _differences(folder: Path, asked: Identity) -> dict[str, str]:
    owner = stored(folder, asked.device)
    if owner is None:
        return {"config.yaml": "missing"} if has_results(folder) else {}
    return asked.unlike(owner)
