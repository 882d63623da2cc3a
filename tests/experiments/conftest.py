"""The scripts of experiments/ can be imported, and called in a folder of their own; programs they start are forks."""

import sys

import pytest
from forked import take_over
from launch import ROOT

sys.path[:0] = [str(ROOT / "experiments" / name) for name in ("figures", "benchmarks", "tiny")]


@pytest.fixture(scope="module", autouse=True)
def _forks():
    with pytest.MonkeyPatch.context() as patch:
        take_over(patch)
        yield


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The working directory, below which outputs/ and multirun/ are made."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path
