"""What a step of a radiance field takes of a GPU at its authors' size, counted on a smaller picture."""

import gc

import pytest
import torch
from launch import config
from virtual_cuda import virtual_cuda

from gsd.config import make
from gsd.field import mlp
from gsd.protocols import Camera, Representation
from gsd.random import Stream
from gsd.types import Context, PointCloud

pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a virtual device is for machines without a GPU")

SIDE, AUTHORS = 4, 256  # pixels; every tensor that is large holds so much per sample, ray or pixel
SMALLER = (AUTHORS // SIDE) ** 2
TABLE = 6_299_960 * 2 * 4  # bytes of the authors' hash grid


def test_dreamfusion_with_3dfuse_and_gsd_fits_16_gb(monkeypatch):
    """Of the first step, where no cell is known to be empty."""
    monkeypatch.setattr(mlp, "CHUNK_ON_CUDA", mlp.CHUNK_ON_CUDA // SMALLER)
    cfg = config("experiment=dreamfusion_3dfuse_gsd", "representation.log2_table=9")
    with virtual_cuda() as book:
        context = Context(device=torch.device("cuda"), steps=cfg.steps, points=PointCloud(*torch.rand(2, 50, 3)))
        cameras = make(cfg.camera, "camera", context, Camera)(Stream(0, "camera"))
        assert cameras.width == AUTHORS
        scene = make(cfg.representation, "representation", context, Representation)
        cameras = cameras.resized(SIDE, SIDE).to("cuda")
        gc.collect()  # else what the interpreter of Triton still holds of the last call counts as held
        before = book.start_again()
        shown = scene.render(cameras)
        (shown.rgb.sum() + shown.depth.sum() + shown.alpha.sum() + shown.orientation.sum()).backward()
        large = (book.peak - before) * SMALLER
        assert len(cameras) == 6
        assert scene.marched * SMALLER > 12e6  # samples
        # The table with both moments of Adam, and at most three gradients that are being added
        assert large + 6 * TABLE < 16e9, f"{large / 1e9:.1f} GB"
        scene.step()
    assert book.count("kernel") <= 320, book.table("kernel")
