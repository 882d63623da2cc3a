"""Where programs write, and what they are given to read: what cannot be is one sentence, and nothing is lost."""

import os

import pytest
from fuzzing import outcome
from launch import SMALL, launch

from gsd.__main__ import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("runs") / "run", *SMALL, "steps=1", "metric=none")


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run").symlink_to(folder)
    (tmp_path / "text").write_text("precious")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("export", "run", "--out", "text/a.ply"), "text cannot be made"),
        (("export", "run", "--out", "/proc/a.splat"), "/proc/a.splat cannot be written"),
        (("export", "run", "--out", "x" * 260 + ".ply"), "File name too long"),
        (("export", "run", "--out", "a.glb", "--resolution", "1000000"), "1000000: must be from 8 to 1024"),
        (("export", "run", "--out", "a.glb", "--level", "inf"), "--level inf must be above 0 and finite"),
        (("report", "run", "--out", "text/a.html"), "text"),
        (("init", "init=shell", "--out", "text/a.npz"), "text/a.npz cannot be"),
        (("init", "init=shell", "--out", "nowhere/a.ply"), "nowhere/a.ply cannot be"),
        (("init", "init=point_cloud", "--out", "a.npz"), "init.path has no value"),
        (("evaluate", "run", "metric=reprojection", "--views", "100000"), "--views 100000: must be from 8 to 3600"),
        (("evaluate", "run", "metric=reprojection", "--resolution", "9999"), "9999: must be from 8 to 4096"),
        (("evaluate", "run", "steps=3"), "steps=3: only metric="),
        (("evaluate", "run", ""), "An argument is empty"),
        (("sweep", "cancel", ""), "An argument is empty"),
        (("dashboard", "run", "--dry-run"), "run is the folder of one run"),
        (("study", "make", "run", "run", "--out", "study"), "is in both sets, run and run; a pair needs two runs"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(here, arguments, said):
    code, _ = outcome(main, *arguments)
    assert isinstance(code, str)
    assert said in code
    assert "\n" not in code
    assert (here / "text").read_text() == "precious"
    assert not (here / "study").exists()


@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_a_device_is_not_replaced_by_a_file(here, kind):
    """As /dev/full and /dev/stdout would be, by whoever may write to their folder."""
    target = here / "there.html"
    if kind == "pipe":
        os.mkfifo(target)
    else:
        target.symlink_to("/dev/null")
    before = os.lstat(target)
    code, _ = outcome(main, "report", "run", "--out", target)
    assert "is a device" in code
    assert os.lstat(target) == before
