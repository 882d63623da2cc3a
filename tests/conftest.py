"""Runs before any import of the package: shapes in signatures are checked in every test."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
import torch
from jaxtyping import install_import_hook

CHECKED = (
    "camera config errors experiment export finish folder geometry guidance init loss.consistency loss.regularisers menagerie metric "
    "noising.consistent noising.counter noising.random noising.splat optimise pictures prior progress prompting protocols random "
    "rasterizer.cpu rasterizer.sh rasterizer.torch_twin record representation run schedule sigma types"
)
install_import_hook([f"gsd.{name}" for name in CHECKED.split()], "typecheck.checked")


@pytest.fixture(autouse=True)
def _one_thread():
    """Two cores, and perhaps other processes on them: one thread each is faster and deterministic."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def _no_network():
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["WANDB_MODE"] = "offline"
