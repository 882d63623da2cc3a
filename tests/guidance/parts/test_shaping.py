"""Weights and clipping: formulas in abar, and what a bound must and must not do."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gsd.errors import GsdError
from gsd.guidance.parts.branches import rescaled
from gsd.guidance.parts.shaping import GradientClip, shaped, weight
from gsd.random import Stream
from gsd.schedule import Linear
from gsd.types import Condition, Noised

NORMS = {"pixel": (1,), "view": (1, 2, 3)}
maps = st.builds(
    lambda seed, scale: scale * torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(seed)).double(),
    st.integers(0, 10_000),
    st.floats(1e-6, 1e6),
)


def noised(latents, sigma):
    return Noised(latents, latents, sigma, Condition(("",) * len(latents)), Stream(0, "guidance"))


@pytest.mark.parametrize("t", [0.1, 1.0, 14.0])
def test_weights_are_those_of_the_sources(t):
    sigma, abar = torch.tensor([t], dtype=torch.float64), 1 / (1 + t**2)
    direction = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = {
        "one_minus_abar": 1 - abar,
        "uniform": 1.0,
        "fantasia3d": abar**0.5 * (1 - abar),
        "sigma": ((1 - abar) / abar) ** 0.5,
        "dmd": 1 / float(direction.abs().mean()),
    }
    for name, value in expected.items():
        assert float(weight(name, sigma, direction)) == pytest.approx(value, rel=1e-12)
    assert torch.equal(shaped(direction, noised(direction, sigma), "sigma", None), t * direction)


def test_dmd_makes_every_view_as_large_and_bears_zero():
    direction = torch.stack([torch.full((3, 2, 2), 5.0), torch.full((3, 2, 2), -0.01), torch.zeros(3, 2, 2)])
    got = shaped(direction, noised(direction, torch.ones(3)), "dmd", None)
    assert got.abs().mean((1, 2, 3)).tolist() == pytest.approx([1, 1, 0])


@settings(max_examples=40, deadline=None)
@given(maps, st.floats(1e-6, 1e6), st.sampled_from(["value", "pixel", "view"]))
def test_clipping_bounds_and_leaves_the_rest(gradient, limit, per):
    got = GradientClip(per=per, limit=limit)(gradient, 0)
    if per == "value":
        assert got.abs().max() <= limit
        inside = gradient.abs() <= limit
    else:
        norm = gradient.square().sum(NORMS[per], keepdim=True).sqrt()
        assert (got.square().sum(NORMS[per]).sqrt() <= limit * (1 + 1e-12)).all()
        inside = (norm < limit * (1 - 1e-12)).expand_as(gradient)
        shrunk = got * norm  # parallel to the gradient, and of its sign
        assert torch.allclose(shrunk, gradient * got.square().sum(NORMS[per], keepdim=True).sqrt(), rtol=1e-9, atol=0)
    assert torch.equal(got[inside], gradient[inside])
    assert torch.equal(got, GradientClip(per=per, limit=limit)(got, 0)) or torch.allclose(
        got, GradientClip(per=per, limit=limit)(got, 0), rtol=1e-12, atol=0
    )


def test_clipping_follows_a_schedule_and_bears_zeros():
    for per in ("value", "pixel", "view"):
        clip = GradientClip(per=per, limit=Linear(kind="linear", start=0, end=2, until=10))
        ones = torch.ones(1, 1, 1, 1)
        assert [float(clip(ones, step)) for step in (0, 2, 10)] == pytest.approx([0, 0.4, 1])
        assert not clip(torch.zeros(1, 2, 3, 3), 0).isnan().any()


@settings(max_examples=40, deadline=None)
@given(maps, maps, st.floats(0, 1))
def test_rescale_goes_from_the_guided_to_the_spread_of_the_text(eps, text, share):
    def spread(x):
        return x.flatten(1).std(1)

    got = rescaled(eps, text, share)
    assert torch.allclose(spread(got), share * spread(text) + (1 - share) * spread(eps), rtol=1e-9)
    assert torch.allclose(got / spread(got)[:, None, None, None], eps / spread(eps)[:, None, None, None], rtol=1e-9)


def test_rescale_is_that_of_diffusers():
    from gsd.backend.torchvision_mend import mend_torchvision

    mend_torchvision()
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

    eps, text = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(1)).unbind()
    assert torch.allclose(rescaled(eps, text, 0.7), rescale_noise_cfg(eps, text, 0.7), rtol=1e-6)


def test_options_reach_a_guidance_through_a_yaml_and_wrong_ones_are_refused():
    from launch import config

    from gsd.config import make
    from gsd.protocols import Guidance
    from gsd.types import Context

    cfg = config("guidance.clip={per: pixel, limit: {kind: linear, start: 1, end: 4, until: 10}}")
    assert make(cfg.guidance, "guidance", Context(), Guidance).clip.limit(5) == 2.5
    cfg = config("guidance.guidance_scale={kind: step, values: [8.5, 101], at: [2300]}")
    assert make(cfg.guidance, "guidance", Context(), Guidance).guidance_scale(2300) == 101
    for wrong in ("clip={per: all, limit: 1}", "clip=2", "guidance_scale=-1", "rescale=2", "weighting=none"):
        with pytest.raises(GsdError, match=r"guidance\."):
            make(config(f"guidance.{wrong}").guidance, "guidance", Context(), Guidance)
