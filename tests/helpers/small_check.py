"""Sizes at which gsd gpu-check takes minutes without a GPU, on a virtual device."""

from gsd.tools.gpu_check.random_model import Network
from gsd.tools.gpu_check.sizes import Sizes

SMALL_CHECK = Sizes(
    points=300,
    many=600,
    pixels=32,
    latents=16,
    compared_points=200,
    compared_pixels=24,
    features=300,
    levels=(3, 9),
    warm=0,
    repeats=1,
    draws=20,
    checked=("split_nearest",),
    steps=2,
    network=Network((32, 64), (2, 4), (32, 32), latents=16, text=64, layers=1),
    dtype="fp32",  # half precision takes fifty times as long on a CPU
    batches=(1, 2),
    whole=("init.points=150", "camera.resolution=16", "turntable.views=2", "threads=1"),
    run=(
        *("steps=8", "checkpoint_every=2", "init.points=150", "camera.resolution=16", "turntable.views=8"),
        *("turntable.resolution=16", "images_every=0", "metric=none", "threads=1"),
    ),
    run_seconds=900.0,
    presets=("camera.resolution=32",),
    fields=("representation.log2_table=10", "representation.samples=24"),
)
