"""How large everything is that a check computes. The defaults are those of real use."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from gsd.tools.gpu_check.random_model import STABLE_DIFFUSION, Network

TESTS = Path(__file__).resolve().parents[3] / "tests"  # of a checkout


@dataclass(frozen=True)
class Sizes:
    points: int = 100_000  # Gaussians, and points of the noisings
    many: int = 1_000_000
    pixels: int = 512
    latents: int = 64
    compared_points: int = 20_000  # of what the CPU's and the slow rasterisers are compared on
    compared_pixels: int = 128
    features: int = 500_000  # points that the hash grid encodes
    levels: tuple[int, int] = (16, 19)  # of that grid, and the logarithm of the rows of each: threestudio's
    warm: int = 3  # calls and steps before those that are timed
    repeats: int = 20
    draws: int = 200  # of noising-check
    checked: tuple[str, ...] = (  # by it
        "consistent",
        "consistent noising.kernel=tent",
        "integral",
        "lattice",
        "split_nearest",
    )
    steps: int = 12  # of Stable Diffusion's size, that are timed
    network: Network = STABLE_DIFFUSION
    dtype: str = "auto"  # of it
    batches: tuple[int, ...] = (2, 4, 8, 16)
    whole: tuple[str, ...] = ("init.points=5000", "camera.resolution=64", "turntable.views=8")  # of steps on both
    run: tuple[str, ...] = ("steps=60", "checkpoint_every=20", "turntable.views=8", "images_every=0", "metric=none")
    run_seconds: float = 120.0  # that such a run may take
    presets: tuple[str, ...] = ()  # overrides of each preset
    fields: tuple[str, ...] = ()  # and of those with a radiance field
    tests: Path = field(default=TESTS)
