import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gsd.noising.points.canvas import Values
from gsd.noising.points.drift import Drift
from gsd.random import Stream
from gsd.schedule import Linear, Step, at

RNG, IDS = Stream(0, "values"), torch.arange(20_000)
FALLING = Linear(kind="linear", start=0.5, end=0.1, until=9)


def draw(ids, step):
    return Values(RNG.at(step), 1.0, 0.0).of(ids, 1, 4)


@pytest.mark.parametrize("gamma", [0.19, 0.001, FALLING], ids=str)
def test_is_the_process_that_it_says(gamma):
    """Gaussian, so means (0), variances and correlations are all there is: for all pairs of the first dozen steps."""
    drift = Drift(gamma)
    n = torch.stack([drift(IDS, step, draw).flatten() for step in range(13)])
    expected = torch.eye(13)
    for s in range(13):
        for t in range(s + 1, 13):
            expected[s, t] = expected[t, s] = expected[s, t - 1] * (1 - at(gamma, t)) ** 0.5
    assert n.mean(1).abs().max() < 5 / n.shape[1] ** 0.5
    assert (n @ n.T / n.shape[1] - expected).abs().max() < 5 * (2 / n.shape[1]) ** 0.5


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**9))
def test_any_step_can_be_asked_for(step):
    ids = IDS[:500]
    n = Drift(0.3)(ids, step, draw)
    assert abs(n.var() - 1) < 6 * (2 / n.numel()) ** 0.5
    assert torch.equal(n[[7, 3]], Drift(0.3)(ids[[7, 3]], step, draw))  # whatever else there is, in any order


def test_neighbours_in_time_far_along():
    drift = Drift(0.19)
    for step in (1023, 1024, 100_000):
        product = (drift(IDS, step, draw) * drift(IDS, step + 1, draw)).mean()
        assert product == pytest.approx(0.9, abs=5 * (2 / (4 * len(IDS))) ** 0.5)


def test_limits():
    fresh, kept = Drift(1.0), Drift(0.0)
    assert (fresh(IDS, 3, draw) * fresh(IDS, 4, draw)).mean().abs() < 5 / (4 * len(IDS)) ** 0.5
    assert torch.equal(kept(IDS, 5, draw), kept(IDS, 0, draw))
    jump = Drift(Step(kind="step", values=[0.0, 1.0, 0.0], at=[3, 4]))  # all anew at step 3, constant otherwise
    assert torch.allclose(jump(IDS, 2, draw), jump(IDS, 0, draw))
    assert torch.allclose(jump(IDS, 6, draw), jump(IDS, 3, draw), atol=1e-6)
    assert (jump(IDS, 2, draw) * jump(IDS, 3, draw)).mean().abs() < 5 / (4 * len(IDS)) ** 0.5
