"""Files of the cache: damage, kills, and disks that take nothing. No run fails for its cache's sake."""

import errno
import os
import subprocess
import sys

import pytest
from launch import LIGHT, launch

from gsd.backend import cache, jit
from gsd.results.folder import RunFolder
from gsd.runner.run import _full

KILLED = """
import os, sys
from pathlib import Path
from gsd.backend import cache
os.replace = lambda *names: os.kill(os.getpid(), 9)
cache.write(Path(sys.argv[1]), bytes(1000))
"""


def test_what_a_killed_writer_leaves_goes_when_the_file_is_written(tmp_path):
    file = tmp_path / "banks" / "owl.bin"
    for _ in range(2):
        assert subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False).returncode == -9
    (left,) = file.parent.iterdir()  # the second has removed what the first left
    assert left.name.endswith(".owl.bin")
    assert cache.read(file) is None
    other = file.with_name(f".{left.name.split('.')[1]}.x.another.bin")
    other.touch()
    cache.write(file, b"whole")
    assert sorted(file.parent.iterdir()) == [other, file]
    assert cache.read(file) == b"whole"


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b[:40] + b"x" + b[41:], lambda b: b * 2])
def test_a_damaged_file_counts_as_missing(tmp_path, damage):
    file = tmp_path / "x.bin"
    cache.write(file, b"something " * 9)
    file.write_bytes(damage(file.read_bytes()))
    assert cache.read(file) is None


@pytest.mark.parametrize("kind", ["full", "a file"])
def test_a_run_goes_on_without_its_cache_and_names_it(full_disk, kind, tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    jit._set_up()  # or all kernels would be compiled
    place = full_disk if kind == "full" else tmp_path / "file"
    monkeypatch.setenv("GSD_CACHE", str(place))
    monkeypatch.setattr(cache, "_told", set())
    folder = launch(tmp_path / "run", *LIGHT, "steps=2", "prompt=an owl")
    assert (folder / "DONE").exists()
    (said,) = {record.getMessage() for record in caplog.records if "cache folder" in record.getMessage()}
    assert f"{place}/banks cannot be written ({os.strerror(errno.ENOSPC if kind == 'full' else errno.ENOTDIR)})" in said


def test_kernels_go_where_there_is_room(full_disk, monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("GSD_CACHE", str(full_disk))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert jit.cache_dir().parent.parent == tmp_path


def test_the_disk_that_is_full_is_named(full_disk, tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    assert _full(ValueError("else"), folder) is None
    with pytest.raises(OSError, match="No space") as told:
        (full_disk / "more").write_bytes(bytes(4096))
    monkeypatch.setattr("tempfile.tempdir", str(full_disk))
    assert _full(told.value, folder) == full_disk  # the error names no file
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert _full(told.value, RunFolder(full_disk)) == full_disk
    assert _full(OSError(errno.ENOSPC, "No space", str(full_disk / "x/y.mp4")), folder) == full_disk / "x"
