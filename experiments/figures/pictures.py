"""The pictures of README.md, and docs/gallery.md: every creature as the defaults grow it, beside the truth.

    python experiments/figures/pictures.py --run   # 21 runs first, about ten minutes; finished ones are not repeated

Writes to docs/ and docs/images/. In the gallery nothing is chosen: all runs have seed 0, and those that fail are shown.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import sweeps
from gallery import VIEWS, picture, quoted
from PIL import Image

from gsd.errors import GsdError
from gsd.geometry import turntable
from gsd.menagerie import load, trace
from gsd.metric.check.calibration import prompt
from gsd.results import markdown
from gsd.results.outcome import verdict
from gsd.results.runs import Run

DOCS = sweeps.ROOT / "docs"
PAIR = {  # of one prompt
    "three_faces": ("prior.view_bias=8", "prompting=plain"),
    "one_face": (),
}
SUBJECT = "frog"
SIDE, CELL = 240, 128  # pixels
EVERY, FPS = 2, 15  # frame of the turntable; per second of the animation
QUALITY = 70
SETTINGS: dict[str, Any] = {"format": "WEBP", "quality": QUALITY, "method": 6}


def main(args: argparse.Namespace) -> None:
    names = list(load())
    if args.run:
        sweeps.launch(args.name, [f"prompt={','.join(quoted(prompt(name)) for name in names)}"], [0], args.jobs)
        sweeps.launch(args.name, [f"prompt={quoted(prompt(SUBJECT))}", *PAIR["three_faces"]], [0], args.jobs)
    runs = {(run.summary["prompt"], frozenset(_method(run))): run for run in sweeps.runs_of(args.name)}
    (DOCS / "images" / "gallery").mkdir(parents=True, exist_ok=True)
    for file, settings in PAIR.items():
        _animate(_of(runs, SUBJECT, settings), DOCS / "images" / f"{file}.webp")
    rows = [_row(name, _of(runs, name, ())) for name in names]
    (DOCS / "gallery.md").write_text(_page(rows), encoding="utf-8")
    print(DOCS / "gallery.md")


def _method(run: Run) -> set[str]:
    """The settings of a run but for its subject and what every run of a figure has."""
    return {f"{k}={v}" for k, v in run.typed.items() if k not in ("prompt", "seed", "name", "threads")}


def _of(runs: dict[tuple[str, frozenset[str]], Run], name: str, settings: tuple[str, ...]) -> Run:
    try:
        return runs[prompt(name), frozenset(settings)]
    except KeyError:
        raise GsdError(f"There is no run of {prompt(name)!r} yet; add --run to launch what is missing.") from None


def _animate(run: Run, file: Path) -> None:
    """The turntable over white, as a picture that moves wherever Markdown is shown."""
    frames = imageio.imread(run.path / "turntable.mp4", index=None)[::EVERY]
    pictures = [Image.fromarray(frame).resize((SIDE, SIDE), Image.Resampling.LANCZOS) for frame in frames]
    pictures[0].save(file, save_all=True, append_images=pictures[1:], duration=1000 // FPS, loop=0, **SETTINGS)
    print(f"{file}: {file.stat().st_size / 1e3:.0f} kB")


def _row(name: str, run: Run) -> dict[str, str]:
    """A line of the gallery, whose pictures it writes: views of the creature, and of the scene over white and black."""
    rgb = trace(load()[name].figure(0), turntable(len(VIEWS), CELL), supersample=4).rgb
    truth = np.concatenate([*(rgb.movedim(1, -1).clamp(0, 1) * 255).round().byte().numpy()], 1)
    white, alpha = (np.concatenate([_view(run, azimuth, kind) for azimuth in VIEWS], 1) for kind in ("rgb", "alpha"))
    black = np.clip(white.astype(int) + alpha - 255, 0, 255).astype(np.uint8)
    cells = {}
    for column, shown in (("the creature", truth), ("grown", np.concatenate([white, black]))):
        file = DOCS / "images" / "gallery" / f"{name.replace(' ', '_')}_{column.split()[-1]}.webp"
        Image.fromarray(shown).save(file, **SETTINGS)
        cells[column] = f"![{column}: {name}, four views]({file.relative_to(DOCS).as_posix()})"
    found = run.summary
    return {
        "": name,
        **cells,
        "verdict": verdict(found),
        "PSNR dB": f"{found['psnr_aligned']:.1f}",
    }


def _view(run: Run, azimuth: float, kind: str) -> Any:
    return np.asarray(picture(run, azimuth, kind).convert("RGB").resize((CELL, CELL), Image.Resampling.LANCZOS))


def _page(rows: list[dict[str, str]]) -> str:
    right = sum(row["verdict"].startswith("coherent") for row in rows)
    return f"""# The creatures

Every creature as the defaults grow it, beside the truth. Made by

```sh
python experiments/figures/pictures.py --run
```

Each run is `python run.py prompt="a full body of ..."` with seed 0 and no other setting; {right} of {len(rows)} end
coherent, with one front and every view where it belongs. Views from the front, the left, the back and the right, over
white and over black. PSNR is that of the whole turntable against the nearest individual, turned to where it fits best.

{markdown.table(rows)}
"""


if __name__ == "__main__":
    sweeps.start(sweeps.parser(__doc__, "pictures"), main)
