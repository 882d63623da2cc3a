"""Films as .mp4, which are looked at once they are written: an encoder that dies often leaves a file and no word."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from gsd.errors import GsdError, reason

QUALITY = 8  # of imageio, out of 10
# Playable before it is wholly loaded, and in the colours of the pictures: players guess what is not written down
TAGS = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709"
FOR_BROWSERS = ["-movflags", "+faststart", "-vf", f"scale=out_color_matrix=bt709:out_range=tv,{TAGS}"]
SPACE = 2**20  # bytes: a disk with less than this is full


def write(path: Path, frames: Sequence[UInt8[np.ndarray, "H W 3"]], fps: float, called: str) -> None:
    """Write a film and count its frames. Odd sides, of which the colour format knows none, get a line more.

    called: the film's name in a sentence, since the path is often a temporary one. Raises GsdError where the film is
    not all there, and OSError where that is for want of space.
    """
    import imageio.v2 as imageio

    even: Any = [np.pad(frame, [(0, side % 2) for side in frame.shape[:2]] + [(0, 0)], "edge") for frame in frames]
    try:
        # imageio knows the container by the ending
        imageio.mimwrite(path, even, fps=fps, quality=QUALITY, macro_block_size=1, output_params=FOR_BROWSERS)
        problem = _problem(path, len(even))
    except Exception as error:  # imageio, FFmpeg and the system have many kinds
        problem = reason(error)
    if problem and shutil.disk_usage(path.parent).free < SPACE:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), called)
    if problem:
        raise GsdError(
            f"The film {called} could not be encoded ({problem}); see that FFmpeg works (IMAGEIO_FFMPEG_EXE= names "
            "another one), and repeat the command."
        )


def is_whole(content: bytes) -> bool:
    """Whether an mp4 has all of its parts, to the last byte."""
    at, kinds = 0, []
    while at + 8 <= len(content):
        size, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        if size == 1:
            size = int.from_bytes(content[at + 8 : at + 16], "big")
        if size == 0:  # to the end
            size = len(content) - at
        if size < 8:
            return False
        kinds.append(kind)
        at += size
    return at == len(content) and kinds[:1] == [b"ftyp"] and {b"moov", b"mdat"} <= set(kinds)


def _problem(path: Path, count: int) -> str:
    """What is wrong with a film that should have so many frames; empty if nothing."""
    from imageio_ffmpeg import count_frames_and_secs

    if not is_whole(path.read_bytes()):
        return "the encoder left no whole file"
    found, _ = count_frames_and_secs(path)
    return "" if found == count else f"it has {found} frames and should have {count}"
