"""What part of the geometry's gradient a term makes, and weights that aim at a part."""

import math

import pytest
import torch
from launch import LIGHT, launch, records
from quick_config import quick

from gsd.errors import GsdError
from gsd.experiment import build
from gsd.loop import optimise
from gsd.loss.opaque import Opaque
from gsd.schedule import Linear, Share
from gsd.shares import EVERY, KEPT, SCORE, Shares

AIM = "loss.consistency.weight={kind: share, value: 0.2}"


def shares(**weights):
    """Of losses that are not called here: their gradients are given."""
    return Shares({name: Opaque(weight) for name, weight in weights.items()})


def linear(p, **gradients):
    return {name: (p * torch.tensor(g)).sum() for name, g in gradients.items()}


def test_a_share_is_a_ratio_of_norms_and_changes_nothing_else():
    p = torch.zeros(2, requires_grad=True)
    terms = linear(p, score=[3.0, 4.0], a=[0.0, 2.0], b=[1.0, 0.0])
    weighted, found = shares(a=0.5, b=3.0)(terms, 0, [p])
    assert found == pytest.approx({"a": 0.5 * 2 / 5, "b": 3 * 1 / 5})
    assert weighted[SCORE] is terms[SCORE]
    torch.stack(list(weighted.values())).sum().backward()
    assert p.grad.tolist() == [3 + 3 * 1, 4 + 0.5 * 2]
    assert shares(a=0.5)({name: terms[name] for name in ("score", "a")}, 1, [p])[1] == {}


def test_a_weight_that_aims_meets_its_share_and_is_smoothed():
    p = torch.zeros(2, requires_grad=True)
    aiming = shares(a=Share(kind="share", value=Linear(kind="linear", start=0.1, end=0.3, until=2 * EVERY)))

    def share(step, size):
        return aiming(linear(p, score=[3.0, 4.0], a=[0.0, size]), step, [p])[1]

    assert share(0, 2.0) == pytest.approx({"a": 0.1})
    assert share(1, 50.0) == {}  # not measured again yet
    assert aiming.smoothed["a"] == pytest.approx(math.log(2 / 5))
    assert share(EVERY, 8.0)["a"] == pytest.approx(0.2 * (8 / 5) / ((2 / 5) ** KEPT * (8 / 5) ** (1 - KEPT)))
    saved = aiming.state()
    other = shares(a=aiming.losses["a"].weight)
    other.restore(saved)
    assert share(2 * EVERY, 8.0) == other(linear(p, score=[3.0, 4.0], a=[0.0, 8.0]), 2 * EVERY, [p])[1]


def test_without_a_gradient_the_weight_waits():
    p = torch.zeros(2, requires_grad=True)
    aiming = shares(a=Share(kind="share", value=0.1))
    weighted, found = aiming(linear(p, score=[3.0, 4.0], a=[0.0, 0.0]), 0, [p])
    assert (float(weighted["a"].detach()), found) == (0.0, {"a": 0.0})
    assert aiming(linear(p, score=[3.0, 4.0], a=[0.0, 1.0]), 1, [p])[1] == pytest.approx({"a": 0.1})  # at once
    with pytest.raises(GsdError, match="shape_parameters"):
        aiming(linear(p, score=[3.0, 4.0], a=[0.0, 1.0]), 2, [])
    assert not shares(a=Share(kind="share", value=0.0)).wants("a", 0)
    with pytest.raises(ValueError, match="from 0 to"):
        Share(kind="share", value=-0.1)


@pytest.mark.parametrize("representation", ["gaussians", "instant_ngp"])
def test_in_a_run_the_loss_has_the_share_it_aims_at(representation, monkeypatch):
    monkeypatch.setattr("gsd.shares.EVERY", 2)
    monkeypatch.setattr("gsd.shares.KEPT", 0.0)
    found = [s.shares for s in optimise(build(quick(*LIGHT, AIM, f"representation={representation}", "steps=4")))]
    assert found[0] == pytest.approx({"consistency": 0.2})
    assert found[2] == pytest.approx({"consistency": 0.2})
    assert found[1] == found[3] == {}


def test_measuring_does_not_change_a_run(monkeypatch):
    scenes = []
    for every in (1, 1000):
        monkeypatch.setattr("gsd.shares.EVERY", every)
        growing = ("densify=default", "densify.start=1", "densify.every=2")
        experiment = build(quick(*LIGHT, *growing, "steps=4", "loss.consistency.weight=0.02"))
        list(optimise(experiment))
        scenes.append(experiment.representation.params)
    for name, p in scenes[0].items():
        assert torch.equal(p, scenes[1][name])


def test_a_run_writes_its_shares(tmp_path, monkeypatch):
    monkeypatch.setattr("gsd.shares.EVERY", 2)
    folder = launch(tmp_path, *LIGHT, AIM, "loss=[consistency,opaque]", "steps=3")
    found = [{k for k in r if k.endswith("/share")} for r in records(folder)]
    assert found == [
        {"loss/consistency/share", "loss/opaque/share"},
        set(),
        {"loss/consistency/share", "loss/opaque/share"},
    ]
