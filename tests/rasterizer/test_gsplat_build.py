"""gsplat's kernels are found or compiled before anything large is loaded, by one process at a time."""

import sys
from threading import Thread
from types import SimpleNamespace

import pytest
import torch
from filelock import FileLock
from quick_config import quick
from virtual_cuda import virtual_cuda

from gsd.backend import triton
from gsd.errors import GsdError
from gsd.experiment import build
from gsd.rasterizer import gsplat_cuda

why_not = gsplat_cuda.why_not
BACKEND = "gsplat.cuda._backend"


@pytest.fixture
def compiled(monkeypatch, tmp_path):
    """A gsplat whose kernels have been compiled, and a cache folder of its own."""
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, BACKEND, SimpleNamespace(_C=object()))
    return tmp_path / "cache"


@pytest.fixture
def no_compiler(monkeypatch, tmp_path):
    """No CUDA but in an empty folder; gsplat looks for it when this module is imported."""
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, BACKEND, None)
    del sys.modules[BACKEND]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a virtual device is for machines without a GPU")
def test_without_nvcc_a_run_is_refused_in_a_sentence_before_the_prior_is_loaded(no_compiler, monkeypatch):
    missing = ("prior=stable_diffusion", "prior.model=/nowhere")
    with virtual_cuda():
        with pytest.raises(GsdError, match="/nowhere"):
            build(quick("device=cuda", *missing))
        monkeypatch.setattr(gsplat_cuda, "why_not", why_not.__wrapped__)
        words = r"no nvcc was found.*representation\.backend=triton.*device=cpu"
        with pytest.raises(GsdError, match=words) as refused:
            build(quick("device=cuda", "representation.backend=gsplat", *missing))
        assert "\n" not in str(refused.value)
        with pytest.raises(GsdError, match="/nowhere"):  # Triton takes its place
            build(quick("device=cuda", *missing))
        monkeypatch.setattr(triton, "usable", lambda: False)
        with pytest.raises(GsdError, match=words):
            build(quick("device=cuda", *missing))
        with pytest.raises(GsdError, match="/nowhere"):
            build(quick("device=cuda", "representation=instant_ngp", *missing))
        with pytest.raises(GsdError, match="/nowhere"):
            build(quick("device=cuda", "representation.backend=torch", *missing))


def test_what_the_compiler_says_is_in_the_sentence(monkeypatch):
    def fails(name):
        raise RuntimeError("Error building extension 'gsplat_cuda': nvcc fatal\n  and a page of output")

    monkeypatch.setattr(gsplat_cuda, "import_module", fails)
    monkeypatch.setattr(gsplat_cuda, "why_not", why_not.__wrapped__)
    with pytest.raises(GsdError, match=r"\(Error building extension 'gsplat_cuda': nvcc fatal\)"):
        gsplat_cuda.prepare("gsplat")


def test_only_one_process_at_a_time_compiles(compiled):
    compiled.mkdir()
    said = []
    waiting = Thread(target=lambda: said.append(why_not.__wrapped__()), daemon=True)
    with FileLock(compiled / "gsplat.lock"):
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive()
    waiting.join(20)
    assert said == [""]


def test_without_a_folder_for_the_lock_it_is_done_without(compiled):
    compiled.write_text("a file in its place")
    assert why_not.__wrapped__() == ""
