import torch

from gsd.noising.canvas import Values
from gsd.noising.drift import Drift
from gsd.random import Stream
from gsd.schedule import Linear

RNG = Stream(0, "values")


def draw(ids, step):
    return Values(RNG.at(step), 1.0, 0.0).of(ids, 1, 4)


def test_lag_correlation_and_variance():
    ids, drift, gamma = torch.arange(50_000), Drift(0.19), 0.19
    steps = [drift(0, ids, k, draw) for k in range(6)]
    n = steps[0].numel()
    for values in steps:
        assert (values.var() - 1).abs() < 5 * (2 / n) ** 0.5
    for lag in (1, 2, 3):
        found = (steps[2] * steps[2 + lag]).mean()
        assert (found - (1 - gamma) ** (lag / 2)).abs() < 5 / n**0.5


def test_nothing_needs_a_checkpoint():
    ids, straight = torch.arange(100), Drift(Linear(kind="linear", start=0.5, end=0.1, until=9))
    history = [straight(0, ids, k, draw) for k in range(10)]
    resumed = Drift(straight.gamma)
    assert torch.equal(resumed(0, ids, 7, draw), history[7])
    assert torch.equal(resumed(0, ids, 9, draw), history[9])
    assert torch.equal(resumed(0, ids, 9, draw), history[9])
    assert torch.equal(resumed(0, ids, 3, draw), history[3])


def test_points_may_come_and_go():
    everyone = torch.arange(60)
    reference = Drift(0.3)
    history = [reference(0, everyone, k, draw) for k in range(4)]
    changing = Drift(0.3)
    for k, ids in enumerate([everyone[:40], everyone[:40], everyone[[50, 3, 20, 59]], everyone.flip(0)]):
        assert torch.equal(changing(0, ids, k, draw), history[k][ids])


def test_other_values_are_not_mixed_up():
    drift, ids = Drift(0.3), torch.arange(10)
    drift("a", ids, 3, draw)
    other = drift("b", ids, 4, lambda i, k: draw(i + 100, k))
    assert torch.equal(other, Drift(0.3)(0, ids + 100, 4, draw))
