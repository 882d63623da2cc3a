"""What a page shows of a run, small enough to be part of it: pictures of steps, turntable, Gaussians."""

from __future__ import annotations

import io
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image

from gsd.backend import film
from gsd.backend.regular import regular
from gsd.errors import GsdError, reason

RUNS = 40  # with media in one page
# Bytes of each kind in one page, before base64 makes them a third more
TURNTABLES, PICTURES, NOISES, SCENES = 8_000_000, 6_500_000, 2_000_000, 4_500_000
STEPS = 8  # pictures of a kind and run
COLUMNS, NOISE = 4, 2  # of a strip: rgb, depth, noise, gradient
TALLEST = 1024  # pixels of a picture's longer side
VIDEO_SIDE, QUALITIES = 256, (28, 36, 44)  # pixels and x264's rate factors of a turntable that is encoded again


@dataclass(frozen=True)
class Picture:
    step: int
    file: bytes  # JPEG, which takes a tenth of WebP's time; noise as PNG
    rows: int  # of equal tiles, one per view


@dataclass(frozen=True)
class Gaussians:
    splat: bytes  # as in a .splat file, the most visible first
    count: int
    total: int  # in the scene, of which `count` are here


def pictures(folder: Path, share: int) -> list[Picture]:
    """Evenly chosen NNNNNN.png of a folder, one for each step, the first and the last among them.

    share: bytes for all of them. Raises GsdError for a file that is no picture.
    """
    files = _steps(folder)
    chosen = np.unique(np.linspace(0, len(files) - 1, min(len(files), STEPS)).round().astype(int))
    return [_picture(files[index], share // len(chosen)) for index in chosen]


def noise(folder: Path, share: int) -> Picture | None:
    """The noise of the last strip, exactly as it is there: of the first views, as many as fit into the share."""
    files = _steps(folder)
    if not files:
        return None
    strip = _opened(files[-1])
    side, views = strip.width // COLUMNS, _rows(strip)
    for count in range(views, 0, -1):
        column = strip.crop((NOISE * side, 0, (NOISE + 1) * side, count * strip.height // views))
        if len(png := _encoded(column, "PNG")) <= share:
            return Picture(int(files[-1].stem), png, count)
    return None


def _steps(folder: Path) -> list[Path]:
    return sorted(file for file in folder.glob("*.png") if re.fullmatch("[0-9]{1,12}", file.stem))


def _picture(file: Path, share: int) -> Picture:
    image = _opened(file)
    rows = _rows(image)
    image.thumbnail((TALLEST, TALLEST))
    while len(jpeg := _encoded(image, "JPEG", quality=70)) > share and min(image.size) > 32:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    return Picture(int(file.stem), jpeg, rows)


def _opened(file: Path) -> Image.Image:
    try:
        image = Image.open(regular(file)).convert("RGB")
    except Exception as error:  # Pillow raises many kinds for a damaged file
        raise GsdError(f"{file} is no picture: {reason(error)}.") from error
    if min(image.size) < COLUMNS:
        raise GsdError(f"{file} is no picture of a run: it has {image.width} x {image.height} pixels.")
    return image


def _rows(strip: Image.Image) -> int:
    return max(1, round(COLUMNS * strip.height / strip.width))


def _encoded(image: Image.Image, kind: str, **how: int) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def turntable(file: Path, share: int) -> bytes:
    """The mp4 as it is where it fits, else encoded again, smaller. Raises GsdError if it is damaged or too long."""
    try:
        whole = regular(file).read_bytes()
    except OSError as error:
        raise GsdError(f"{file} cannot be read: {error.strerror}.") from error
    if not film.is_whole(whole):
        raise GsdError(f"{file} is no mp4, or not all of one.")
    for quality in QUALITIES if len(whole) > share else ():
        whole = _smaller(file, quality)
        if len(whole) <= share:
            break
    if len(whole) > share:
        raise GsdError(f"{file} is too long for a report: even small it takes {len(whole) // 1000} kB.")
    return whole


def _smaller(file: Path, quality: int) -> bytes:
    import imageio_ffmpeg

    side = f"trunc(min({VIDEO_SIDE},iw)/2)*2"
    how = ["-an", "-vf", f"scale='{side}':-2", "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"]
    with TemporaryDirectory() as folder:
        small = Path(folder) / "small.mp4"
        call = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(file), *how, "-crf", str(quality), str(small)]
        done = subprocess.run(call, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            raise GsdError(f"{file} cannot be read: {' '.join(done.stderr.split())[:200]}.")
        if not film.is_whole(content := small.read_bytes()):
            raise GsdError(f"{file} could not be made smaller: the encoder left no whole file.")
        return content


def gaussians(file: Path, share: int) -> Gaussians:
    """A scene.ply without view-dependent colour, cut down to the most visible Gaussians if need be.

    Raises GsdError for a file that cannot be read.
    """
    from gsd.rasterizer.ply import load_ply
    from gsd.tools.export.splat import LAYOUT, packed

    data = packed(load_ply(file))
    kept = data[: share // LAYOUT.itemsize * LAYOUT.itemsize]
    return Gaussians(kept, len(kept) // LAYOUT.itemsize, len(data) // LAYOUT.itemsize)
