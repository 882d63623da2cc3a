"""What raters see of a run: its turntable, a sheet of six views, or a spoilt one, to catch who does not look."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import imageio.v2 as imageio
import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image, ImageFilter

from gsd.errors import GsdError, reason

VIEWS, COLUMNS = 6, 3  # of a sheet, as in the paper's study
CELLS = 5  # along a side of a spoilt picture, which is cut up and put together wrongly
QUALITY = 8  # of the video encoder, as for the turntables of runs

Frames = list[UInt8[np.ndarray, "H W 3"]]


def read(turntable: Path) -> tuple[Frames, float]:
    """All frames, and how many there are in a second. Raises GsdError for a file that is no video."""
    try:
        reader: Any = imageio.get_reader(turntable, "ffmpeg")  # its types do not know that it iterates
        with reader:
            return [np.asarray(frame) for frame in reader], float(reader.get_meta_data()["fps"])
    except (OSError, ValueError, RuntimeError, IndexError) as error:
        raise GsdError(f"{turntable} cannot be read: {reason(error)}.") from error


def angles(count: int, rng: np.random.Generator) -> Int[np.ndarray, " views"]:
    """Six of `count` frames, evenly around from a random start: any view is as likely, and no side is missed."""
    return ((rng.random() + np.arange(VIEWS)) * count / VIEWS).astype(int)


def sheet(frames: Frames, chosen: Int[np.ndarray, " views"]) -> bytes:
    """PNG of the chosen frames in two rows."""
    rows = np.array([frames[index] for index in chosen]).reshape(-1, COLUMNS, *frames[0].shape)
    buffer = io.BytesIO()
    Image.fromarray(np.concatenate([np.concatenate(list(row), 1) for row in rows])).save(buffer, "PNG")
    return buffer.getvalue()


def film(file: Path, frames: Frames, fps: float) -> None:
    imageio.mimwrite(file, list(frames), fps=fps, quality=QUALITY, macro_block_size=1)


def spoilt(frames: Frames, rng: np.random.Generator) -> Frames:
    """The frames in pieces that are shuffled, alike in all frames, and blurred: worse than any scene they can be of."""
    height, width = (side // CELLS for side in frames[0].shape[:2])
    order = rng.permutation(CELLS * CELLS)
    blur = ImageFilter.GaussianBlur(frames[0].shape[0] / 50)

    def spoil(frame: UInt8[np.ndarray, "H W 3"]) -> UInt8[np.ndarray, "H W 3"]:
        whole = frame.copy()
        for here, there in enumerate(order):
            (y, x), (v, u) = divmod(here, CELLS), divmod(int(there), CELLS)
            whole[y * height : (y + 1) * height, x * width : (x + 1) * width] = frame[
                v * height : (v + 1) * height, u * width : (u + 1) * width
            ]
        return np.asarray(Image.fromarray(whole).filter(blur))

    return [spoil(frame) for frame in frames]
