"""D-SDS: the limit of the preset over a run, and clipping in every guidance and with every prior."""

import pytest
import torch
from launch import config
from quick_config import quick
from worlds import RNG

from gsd.cli.folders import CONF
from gsd.config import make
from gsd.protocols import Adapts, Guidance
from gsd.types import Context

CLIPPING = sorted(file.stem for file in (CONF / "guidance").glob("*.yaml") if "\nclip:" in file.read_text())


def made(cfg):
    return make(cfg.guidance, "guidance", Context("a corgi"), Guidance)


@pytest.mark.parametrize("steps", [40, 700])
def test_the_limit_is_two_to_eight_hundredths_of_the_scale_whatever_the_length(steps):
    clip = made(config("experiment=debiased_sds", f"steps={steps}")).clip
    assert clip.per == "value"
    assert [clip.limit(step) for step in (0, steps // 2, steps)] == pytest.approx([0.02, 0.05, 0.08])


def test_the_published_numbers_are_two_options_away():
    limits = [f"guidance.clip.limit.{key}" for key in ("start=2", "end=8")]
    guidance = made(config("experiment=debiased_sds", "guidance=sjc", *limits))
    assert type(guidance).__name__ == "SJC"
    assert [guidance.clip.limit(step) for step in (0, 300, 600)] == [2, 5, 8]


@pytest.mark.parametrize("name", CLIPPING)
def test_every_guidance_clips_its_gradient_by_the_limit_of_the_step(world, name):
    """-limit where the free gradient is below, limit where it is above, and as it is in between."""
    free = made(quick(f"guidance={name}"))
    if isinstance(free, Adapts):
        pytest.skip("puts a LoRA on the prior that the other tests share; it shapes its gradient as the others do")
    limit = {"kind": "linear", "start": 0.0, "end": 0.04, "until": 2 * RNG.step}
    cfg = quick(f"guidance={name}")
    cfg.guidance.clip = {"per": "value", "limit": limit}
    expected = world.run(free).gradient
    assert (expected.abs() > 0.02).any()
    torch.testing.assert_close(world.run(made(cfg)).gradient, expected.clamp(-0.02, 0.02))
