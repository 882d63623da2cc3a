"""What a stage found, and the files that say so: gpu.json, gpu.md and pictures, whole at any moment."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.backend.temporaries import temporary
from gsd.errors import GsdError
from gsd.results.markdown import table
from gsd.tools.gpu_check.goals import goals

Figure = float | int | str | None


@dataclass(frozen=True)
class Row:
    """One line of a stage's table."""

    name: str
    figures: Mapping[str, Figure] = field(default_factory=dict)
    ok: bool | None = None  # None: a measurement, which cannot fail
    note: str = ""

    def cells(self, columns: Sequence[str]) -> dict[str, str]:
        verdict = {None: "", True: "ok", False: "FAILED"}[self.ok]
        shown = {name: show(self.figures.get(name)) for name in columns}
        return {"what": self.name, **shown, "verdict": verdict, "note": self.note}


@dataclass
class Outcome:
    """A stage's rows, and how it ended: ok, FAILED, cut off, unfinished or not run."""

    name: str
    what: str
    status: str = "not run"
    seconds: float = 0.0
    note: str = ""
    rows: list[Row] = field(default_factory=list)

    @property
    def failed(self) -> bool:
        return self.status == "FAILED"

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row.figures))

    @property
    def lines(self) -> list[dict[str, str]]:
        """Cells of every row, without columns that are empty throughout."""
        lines = [row.cells(self.columns) for row in self.rows]
        return [{k: v for k, v in line.items() if any(each[k] for each in lines)} for line in lines]


class Results:
    """The folder of results. Files are replaced as a whole, so that a check that is cut off loses nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.outcomes = folder, list[Outcome]()
        self.about: dict[str, Any] = {}
        self.captions: dict[str, str] = {}  # of pictures
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GsdError(f"The folder {folder} cannot be made: {error.strerror}; set --out.") from error

    def write(self) -> None:
        content = self.about | {"goals": goals(self.figures()), "stages": [asdict(each) for each in self.outcomes]}
        with replacing(self.folder / "gpu.json") as file:
            file.write_text(json.dumps(_plain(content), indent=1) + "\n", encoding="utf-8")
        with replacing(self.folder / "gpu.md") as file:
            file.write_text(self.markdown(), encoding="utf-8")

    def figures(self) -> dict[str, Figure]:
        """ "stage/row/figure" -> its value."""
        return {
            f"{stage.name}/{row.name}/{name}": value
            for stage in self.outcomes
            for row in stage.rows
            for name, value in row.figures.items()
        }

    def markdown(self) -> str:
        about = ", ".join(f"{key} {value}" for key, value in self.about.items())
        parts = [f"# gsd gpu-check\n\n{about}\n", f"## Goals\n\n{table(goals(self.figures()))}"]
        parts.append(f"## Stages\n\n{table(self.overview())}")
        for stage in self.outcomes:
            if stage.rows:
                parts.append(f"## {stage.what}\n\n{table(stage.lines)}")
            if caption := self.captions.get(stage.name):
                parts.append(f"{caption}:\n\n![{caption}]({stage.name}.png)\n")
        return "\n".join(parts)

    def overview(self) -> list[dict[str, str]]:
        return [
            {"stage": each.name, "what": each.what, "result": each.status, "s": show(each.seconds), "note": each.note}
            for each in self.outcomes
        ]

    def picture(self, name: str, caption: str, tiles: Sequence[Float[Tensor, "3 H W"]]) -> None:
        """Pictures in [0, 1] of any device side by side, as NAME.png; small ones are magnified."""
        from PIL import Image

        self.captions[name] = caption
        whole = torch.cat([tile.detach().float().cpu().clamp(0, 1) for tile in tiles], 2)
        factor = max(1, 192 // whole.shape[1])
        pixels = (whole * 255).byte().repeat_interleave(factor, 1).repeat_interleave(factor, 2)
        with replacing(self.folder / f"{name}.png") as file:
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(file)


@contextmanager
def replacing(final: Path) -> Iterator[Path]:
    """A temporary path that takes the place of `final` when the block ends well."""
    partial = temporary(final)
    try:
        yield partial
        os.replace(partial, final)
    finally:
        partial.unlink(missing_ok=True)


def show(value: Figure) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:.3g}"


def _plain(value: Any) -> Any:
    """Numbers that JSON does not have become text."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
