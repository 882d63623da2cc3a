"""A memory that is full in the middle of a run ends it in a sentence, and what was computed is kept."""

import errno

import numpy as np
import pytest
import torch
from launch import SMALL, launch, same

import gsd.loop
from gsd.errors import GsdError
from gsd.results.folder import RunFolder

RUN = (*SMALL, "steps=8", "metric=none", "noising=random", "loss=none", "densify=mcmc")
TOO_MANY = 2**52


def of_cuda():
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("runs") / "straight", *RUN)


@pytest.mark.parametrize(
    ("fill", "whose"),
    [
        (of_cuda, "the GPU"),
        (lambda: torch.empty(TOO_MANY), "this machine"),
        (lambda: np.empty(TOO_MANY), "this machine"),
    ],
    ids=["CUDA", "PyTorch", "NumPy"],
)
def test_it_says_what_to_lower_and_the_same_command_continues(tmp_path, straight, fill, whose, monkeypatch):
    taken, stock = [], gsd.loop.geometry_at

    def geometry_at(*arguments):
        taken.append(1)
        return fill() if len(taken) == 6 else stock(*arguments)

    monkeypatch.setattr(gsd.loop, "geometry_at", geometry_at)
    with pytest.raises(GsdError) as refused:
        launch(tmp_path / "run", *RUN)
    said = str(refused.value)
    assert said.startswith(f"The memory of {whose} is too small; lower camera.resolution=16, camera.views=2, ")
    assert "init.points=150, densify.cap_max=1000000" in said
    assert said.endswith(f"the same command continues from the checkpoint in {tmp_path / 'run'}.")
    assert (tmp_path / "run/FAILED").read_text() == f"{said}\n"
    assert RunFolder(tmp_path / "run").read_checkpoint()["step"] == 4
    same(launch(tmp_path / "run", *RUN), straight)


def test_other_errors_keep_their_traceback(tmp_path, monkeypatch):
    def geometry_at(*arguments):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(gsd.loop, "geometry_at", geometry_at)
    with pytest.raises(RuntimeError, match="mat1"):
        launch(tmp_path / "run", *RUN)
    assert "Traceback" in (tmp_path / "run/FAILED").read_text()


def test_a_limit_on_the_size_of_files_is_a_sentence(tmp_path, monkeypatch):
    def limited(*arguments, **options):
        raise OSError(errno.EFBIG, "File too large")

    monkeypatch.setattr(RunFolder, "save_checkpoint", limited)
    with pytest.raises(GsdError, match=r"larger than this shell allows \(ulimit -f\); raise that"):
        launch(tmp_path / "run", *SMALL, "steps=2", "metric=none")
