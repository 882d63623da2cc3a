"""What may be wrong with the files of compiled kernels: each kernel is right all the same, and compiled again."""

import os
import pickle
from importlib.util import module_from_spec, spec_from_file_location

import numba
import pytest

from gsd.backend import cache, jit
from gsd.backend.temporaries import BEGAN


@pytest.fixture
def folder(tmp_path, monkeypatch):
    place = tmp_path / "kernels"
    place.mkdir()
    monkeypatch.setattr(jit, "_set_up", lambda: (numba, place))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(place))  # which numba may read again at any compilation
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(place))
    (tmp_path / "source.py").write_text("from gsd.backend.jit import njit\n@njit\ndef half(x):\n    return x / 2\n")
    return place


def fresh(folder):
    """The kernel as a new process has it, called once."""
    spec = spec_from_file_location("source", folder.parent / "source.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.half(3.0) == 1.5
    return module.half


def from_disk(kernel):
    return sum(kernel.stats.cache_hits.values()) == 1


def files(folder):
    index, code = sorted(folder.rglob("*.nb?"), key=lambda file: file.suffix, reverse=True)
    return {"index": index, "code": code}


DAMAGES = {
    "cut": lambda b: b[: len(b) // 3],
    "empty": lambda b: b"",
    "one bit": lambda b: b[: len(b) // 2] + bytes([b[len(b) // 2] ^ 4]) + b[len(b) // 2 + 1 :],
    "zeros": lambda b: bytes(len(b)),
    "numba's own": lambda b: pickle.dumps(("0.0", {})),
    "longer": lambda b: b + b"x",
}


@pytest.mark.parametrize("which", ["index", "code"])
def test_a_damaged_file_is_made_again(folder, which):
    assert not from_disk(fresh(folder))
    assert from_disk(fresh(folder))
    file = files(folder)[which]
    whole = file.read_bytes()
    for name, damage in DAMAGES.items():
        file.write_bytes(damage(whole))
        assert not from_disk(fresh(folder)), name
        assert from_disk(fresh(folder)), name
    file.unlink()
    file.mkdir()
    fresh(folder)


def test_code_of_another_call_is_not_taken(folder):
    """As when two processes start with an empty cache: the index of one, the code of the other."""
    fresh(folder)
    of_floats = files(folder)["index"].read_bytes()
    for file in files(folder).values():
        file.unlink()
    fresh(folder)(3)  # 1.nbc is of floats, 2.nbc of integers
    one, two = sorted(folder.rglob("*.nbc"))
    one.write_bytes(two.read_bytes())
    next(folder.rglob("*.nbi")).write_bytes(of_floats)
    assert not from_disk(fresh(folder))


def test_a_killed_writer_leaves_nothing(folder):
    fresh(folder)
    code = files(folder)["code"]
    code.unlink()
    left, ours = (code.with_name(f".{pid}.abc.{code.name}") for pid in (2**22 + 7, os.getpid()))
    for file in (left, ours):
        file.write_bytes(b"half")
    os.utime(ours, (BEGAN - 9, BEGAN - 9))  # of a process that had our number before
    fresh(folder)
    assert [file.name for file in code.parent.glob(".*")] == []


def test_a_full_disk_is_named_and_the_kernel_is_made(folder, full_disk, monkeypatch, caplog):
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(full_disk))
    monkeypatch.setattr(cache, "_told", set())
    fresh(folder)
    fresh(folder)
    assert [f"{full_disk}" in record.getMessage() for record in caplog.records] == [True]
    assert "No space left on device" in caplog.text


@pytest.mark.parametrize("whose", ["another's", "anyone's", "a link"])
def test_the_folder_in_tmp_is_used_if_it_is_ours_alone(tmp_path, monkeypatch, whose):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (tmp_path / "file").touch()
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "file"))  # so that the other one is taken
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = tmp_path / f"gsd-numba-{os.getuid()}"
    assert jit.cache_dir().parent == place
    assert place.stat().st_mode & 0o777 == 0o700
    if whose == "anyone's":
        place.chmod(0o777)
    elif whose == "a link":
        place.rename(tmp_path / "elsewhere")
        place.symlink_to(tmp_path / "elsewhere")
    else:
        other = os.getuid() + 1
        place.rename(tmp_path / f"gsd-numba-{other}")
        monkeypatch.setattr(os, "getuid", lambda: other)
    assert jit.cache_dir() is None
