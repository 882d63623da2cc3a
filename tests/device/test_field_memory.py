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
    cfg = config(
        "experiment=dreamfusion_3dfuse_gsd", "representation.log2_table=9", "representation.occupancy_cells=16"
    )
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


def test_a_step_of_the_field_is_less_than_100_launches():
    """Forward, backward and Adam, once Adam has its moments; with an update of the occupancy grid it is a few more."""
    smaller = ("log2_table=9", "samples=16", "occupancy_cells=8", "occupancy_every=2")
    cfg = config("experiment=dreamfusion_3dfuse_gsd", *(f"representation.{option}" for option in smaller))
    launches = []
    with virtual_cuda() as book:
        context = Context(device=torch.device("cuda"), steps=cfg.steps, points=PointCloud(*torch.rand(2, 50, 3)))
        cameras = make(cfg.camera, "camera", context, Camera)(Stream(0, "camera")).resized(4, 4).to("cuda")
        scene = make(cfg.representation, "representation", context, Representation)
        for _ in range(3):
            book.start_again()
            shown = scene.render(cameras)
            maps = [shown.rgb, shown.depth, shown.alpha, shown.orientation]
            torch.autograd.backward(maps, [torch.ones_like(x) for x in maps])
            scene.step()
            launches.append(book.count("kernel") - len(maps))  # without those ones
            assert book.count("wait") == 2, book.table("wait")  # how many samples there are, and how many light reaches
    assert launches[2] <= 82, book.table("kernel")
    assert launches[1] <= 100, launches
