"""Noise levels of rectified flows."""

import pytest
import torch
from quick_config import quick
from scipy import stats

from gsd.camera.orbit import Orbit
from gsd.config import make
from gsd.errors import GsdError
from gsd.protocols import Sigma
from gsd.random import Stream
from gsd.types import Context

STEPS = 600


def _drawn(option, step, *more):
    cfg = quick(f"sigma={option}", *more)
    cams = Orbit(groups=4000, views=1, resolution=8)(Stream(0, "camera"))
    return make(cfg.sigma, "sigma", Context(steps=STEPS), Sigma)(cams, Stream(0, "sigma", step))


def test_t_is_uniform():
    t = 0.2 + 0.5 * 0.5
    sigma = _drawn("flow", 0, "sigma.t_min=0.2", "sigma.t_max=0.7").double()
    drawn = sigma / (1 + sigma)
    assert stats.kstest(drawn, stats.uniform(0.2, 0.5).cdf).pvalue > 0.01
    assert float(drawn.mean()) == pytest.approx(t, abs=4 * 0.5 / (12 * 4000) ** 0.5)


@pytest.mark.parametrize("step", [0, STEPS])
def test_the_range_is_that_of_the_other_schedule(step):
    """In sigma, to what whole percents of t allow."""
    flow, vp = (_drawn(option, step) for option in ("flow", "vp"))
    assert float(flow.min()) == pytest.approx(float(vp.min()), rel=0.05)
    assert float(flow.max()) == pytest.approx(float(vp.max()), rel=0.05)


def test_a_shift_multiplies_the_noise():
    """As t -> s t / (1 + (s - 1) t) does."""
    plain, shifted = (_drawn("flow", 100, f"sigma.shift={shift}").double() for shift in (1.0, 3.0))
    t = plain / (1 + plain)
    expected = 3 * t / (1 + 2 * t)
    assert torch.allclose(shifted / (1 + shifted), expected, rtol=1e-5)


def test_an_empty_range_is_refused():
    with pytest.raises(GsdError, match="t_min <= t_max"):
        _drawn("flow", 0, "sigma.t_min=0.8", "sigma.t_max=0.5")
