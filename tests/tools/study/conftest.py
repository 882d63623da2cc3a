"""Real runs, small ones, of two methods; their folders have names that no rater may ever see."""

import shutil

import pytest
from launch import SMALL, launch
from studies import NAMES

from gsd.tools.study.make import make

METHODS = (("noising=random", "loss=none"), ("noising=consistent", "loss=consistency"))
SIZE = ("turntable.views=12", "turntable.resolution=64", "metric=none", "steps=2")


@pytest.fixture(scope="session")
def sets(tmp_path_factory):
    """Two folders of runs: three seeds of a cat, and one owl that only the first has."""
    root = tmp_path_factory.mktemp("runs")
    for name, method in zip(NAMES, METHODS, strict=True):
        for seed in range(3):
            launch(root / name / f"secretcat{seed}", *SMALL, *SIZE, *method, f"seed={seed}", filmed=True)
    launch(root / NAMES[0] / "secretowl", *SMALL, *SIZE, *METHODS[0], "prompt=an owl", filmed=True)
    return [str(root / name) for name in NAMES]


@pytest.fixture(scope="session")
def made(sets, tmp_path_factory):
    """A study of the two sets, with six trials: three pairs, one of them again mirrored, and two spoilt scenes."""
    folder = tmp_path_factory.mktemp("made") / "study"
    make(sets, folder, names=NAMES, seed=3)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    """The same, to be voted on and changed."""
    return shutil.copytree(made, tmp_path / "study")
