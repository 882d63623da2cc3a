"""Runs before any import of the package: shapes in signatures are checked in every test."""

import gc
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch
from hypothesis import settings

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # before triton is first imported
from jaxtyping import install_import_hook
from typecheck import spare_jaxtyping

# A shell starts what runs in its background with SIGINT ignored, nohup with SIGHUP, and so would every program that a
# test interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

settings.register_profile("machines that are busy", deadline=None)
settings.load_profile("machines that are busy")
pytest_plugins = ["browser", "programs"]
ROOT = Path(__file__).resolve().parents[1]
SOURCES = [p for p in (ROOT / "gsd").rglob("*.py") if p.name != "__init__.py"]
# numba and Triton compile functions as they are written, so the files that hold kernels are left alone.
CHECKED = [p for p in SOURCES if not any(jit in p.read_text() for jit in ("@njit", "@triton.jit"))]
spare_jaxtyping()
install_import_hook([".".join(p.relative_to(ROOT).with_suffix("").parts) for p in CHECKED], "typecheck.checked")


@pytest.hookimpl(wrapper=True)
def pytest_collection():
    """What the imports leave stays, and the garbage collector need not look at it, now or in any test."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_unconfigure():
    gc.unfreeze()  # C++ libraries look at what is left at the end


@pytest.fixture(autouse=True)
def _one_thread():
    """Two cores, and perhaps other processes on them: one thread each is faster and deterministic."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_network(tmp_path_factory):
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["WANDB_MODE"] = "offline"
    os.environ["TRACKIO_DIR"] = str(tmp_path_factory.mktemp("trackio"))  # which it reads when it is imported


@pytest.fixture
def call(monkeypatch):
    """A program's main() with these arguments."""

    def run(main, *arguments):
        monkeypatch.setattr(sys, "argv", [main.__module__, *map(str, arguments)])
        main()

    return run


@pytest.fixture
def refusal(call):
    """What a program says when it refuses these arguments."""

    def run(main, *arguments):
        with pytest.raises(SystemExit) as stopped:
            call(main, *arguments)
        return str(stopped.value)

    return run
