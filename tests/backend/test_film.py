"""A film is there, or the run is not done."""

import stat
import subprocess

import imageio.v3 as imageio
import numpy as np
import pytest
from imageio_ffmpeg import get_ffmpeg_exe
from launch import SMALL, launch

from gsd.backend.film import is_whole, write
from gsd.errors import GsdError

ENCODERS = {
    "dies": "exit 1",
    "writes nothing": 'cat > /dev/null; for last; do :; done; : > "$last"',
    "writes what is no film": 'cat > /dev/null; for last; do :; done; echo film > "$last"',
    "cannot be started": None,
}


def frames(count=5, height=33, width=21):
    return [np.full((height, width, 3), 40 * k, np.uint8) for k in range(count)]


def encoder(path, script):
    if script is not None:
        path.write_text(f"#!/bin/bash\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(("height", "width"), [(33, 21), (1, 1), (16, 17)])
def test_odd_sides_get_a_line_more(tmp_path, height, width):
    write(tmp_path / "a.mp4", frames(5, height, width), 30, "a.mp4")
    read = imageio.imread(tmp_path / "a.mp4", plugin="FFMPEG")
    assert read.shape == (5, height + height % 2, width + width % 2, 3)
    assert np.abs(read[3].astype(int) - 120).max() <= 3
    content = (tmp_path / "a.mp4").read_bytes()
    assert is_whole(content)
    assert not any(is_whole(content[:length]) for length in (0, 7, 40, len(content) // 2, len(content) - 1))


def test_a_browser_can_begin_early_and_knows_the_colours(tmp_path):
    """What says where the frames are comes before them; the colours are named, or a player would guess."""
    write(tmp_path / "a.mp4", [np.full((16, 16, 3), (200, 30, 90), np.uint8)] * 3, 30, "a.mp4")
    content = (tmp_path / "a.mp4").read_bytes()
    at = {kind: content.index(kind) for kind in (b"ftyp", b"moov", b"mdat")}
    assert at[b"ftyp"] < at[b"moov"] < at[b"mdat"]
    asked = [get_ffmpeg_exe(), "-i", tmp_path / "a.mp4"]  # an error, since nothing is to be made of it
    said = subprocess.run(asked, check=False, capture_output=True, text=True).stderr
    (stream,) = [line for line in said.splitlines() if "Video: h264" in line]
    assert "yuv420p(tv, bt709" in stream  # matrix, primaries and transfer; where they differ, a/b/c
    assert "bt709/" not in stream
    read = imageio.imread(tmp_path / "a.mp4", plugin="FFMPEG")
    assert np.abs(read[1].astype(int) - (200, 30, 90)).max() <= 4


@pytest.mark.parametrize("how", ENCODERS)
def test_an_encoder_that_fails_is_told(tmp_path, monkeypatch, how):
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", encoder(tmp_path / "ffmpeg", ENCODERS[how]))
    with pytest.raises(GsdError, match=r"The film of a test could not be encoded \(.*repeat the command"):
        write(tmp_path / "a.mp4", frames(), 30, "of a test")


def test_a_run_without_its_film_is_not_done_and_goes_on(tmp_path, monkeypatch):
    run = (*SMALL, "steps=1", "turntable.resolution=19", "metric=none")
    with monkeypatch.context() as patch:
        patch.setenv("IMAGEIO_FFMPEG_EXE", encoder(tmp_path / "ffmpeg", ENCODERS["writes nothing"]))
        with pytest.raises(GsdError, match=r"turntable\.mp4 could not be encoded"):
            launch(tmp_path / "run", *run, filmed=True)
    assert not (tmp_path / "run/DONE").exists()
    assert not (tmp_path / "run/turntable.mp4").exists()
    assert "could not be encoded" in (tmp_path / "run/FAILED").read_text()
    launch(tmp_path / "run", *run, filmed=True)
    assert imageio.imread(tmp_path / "run/turntable.mp4", plugin="FFMPEG").shape == (8, 20, 20, 3)
