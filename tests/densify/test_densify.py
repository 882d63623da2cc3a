"""Densification: what grows, what goes, what the survivors keep, and that a resumed run equals a straight one."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from gsd.densify.default import Default
from gsd.densify.mcmc import Mcmc, relocation
from gsd.geometry import turntable
from gsd.random import Stream
from gsd.rasterizer import rasterize


def splats(count=60, seed=0):
    g = torch.Generator().manual_seed(seed)
    params = {
        "means": torch.randn(count, 3, generator=g) * 0.3,
        "quats": torch.randn(count, 4, generator=g),
        "log_scales": torch.full((count, 3), math.log(0.05)),
        "opacity_logits": torch.zeros(count),
        "sh": torch.randn(count, 4, 3, generator=g),
    }
    params = nn.ParameterDict({name: nn.Parameter(value) for name, value in params.items()})
    groups = [{"params": [p], "name": name, "lr": 0.01} for name, p in params.items()]
    return params, torch.optim.Adam(groups, betas=(0.9, 0.99)), torch.arange(count)


def info_of(norms, size=32):
    """What the rasteriser would report if every Gaussian had this gradient norm, in units of half the image."""
    means2d = torch.zeros(1, len(norms), 2, requires_grad=True)
    means2d.grad = torch.stack([norms, torch.zeros_like(norms)], -1)[None] / (size / 2)
    radii = torch.ones(1, len(norms), 2, dtype=torch.int32)
    return {"means2d": means2d, "radii": radii, "width": size, "height": size, "n_cameras": 1}


def warm(params, optimizer):
    """One step, so that the optimiser has moments that tell the rows apart."""
    for p in params.values():
        p.grad = torch.arange(1.0, p.numel() + 1).reshape(p.shape)
    optimizer.step()


def moments(optimizer, name):
    group = next(g for g in optimizer.param_groups if g["name"] == name)
    return optimizer.state[group["params"][0]]["exp_avg"]


def check_consistent(params, optimizer, ids):
    assert len(ids.unique()) == len(ids)
    for group in optimizer.param_groups:
        assert group["params"] == [params[group["name"]]]
        p = group["params"][0]
        assert len(p) == len(ids)
        assert all(v.shape == p.shape for k, v in optimizer.state[p].items() if k != "step")
    assert len(optimizer.state) == len(params)


def test_default_clones_the_small_splits_the_large_and_keeps_the_rest():
    params, optimizer, ids = splats(6)
    with torch.no_grad():
        params["log_scales"][3:] = math.log(0.2)
    warm(params, optimizer)
    before, rows = copy.deepcopy(dict(params)), moments(optimizer, "sh").clone()
    control = Default(start=0, every=1, grow_gradient=0.1, split_scale=0.1)
    norms = torch.tensor([0.0, 0.5, 0.05, 0.0, 0.5, 0.5])  # 1 is cloned, 4 and 5 are split
    ids = control(params, optimizer, ids, info_of(norms), 1, Stream(0, "densify"))
    assert ids.tolist() == [0, 1, 2, 3, 6, 7, 8, 9, 10]
    check_consistent(params, optimizer, ids)
    assert torch.equal(params["sh"][:4], before["sh"][:4])
    assert torch.equal(params["means"][4], before["means"][1])
    assert torch.equal(moments(optimizer, "sh")[:4], rows[:4])
    assert not moments(optimizer, "sh")[4:].any()
    halves = params["log_scales"][5:]
    assert torch.allclose(halves, before["log_scales"][[4, 5, 4, 5]] - math.log(1.6))
    assert (params["means"][5:7] != params["means"][7:9]).all()
    offsets = (params["means"][5:] - before["means"][[4, 5, 4, 5]]).norm(dim=-1)
    assert ((offsets > 0) & (offsets < 5 * 0.21)).all()


def test_default_respects_the_cap_and_lets_the_steepest_grow():
    params, optimizer, ids = splats(10)
    control = Default(start=0, every=1, grow_gradient=0.1, split_scale=1.0, cap_max=12)
    ids = control(params, optimizer, ids, info_of(torch.arange(10) / 5.0), 1, Stream(0, "densify"))
    assert len(ids) == 12
    assert torch.equal(params["means"][10:], params["means"][8:10])


def test_default_prunes_the_faint_and_later_the_large_but_never_everything():
    params, optimizer, ids = splats(8)
    with torch.no_grad():
        params["opacity_logits"][:3] = -9.0
        params["log_scales"][7] = math.log(0.5)
    flat = info_of(torch.zeros(8))
    control = Default(start=0, every=5, reset_every=10, prune_scale=0.3)
    ids = control(params, optimizer, ids, flat, 5, Stream(0, "densify"))
    assert ids.tolist() == [3, 4, 5, 6, 7]
    ids = control(params, optimizer, ids, info_of(torch.zeros(5)), 15, Stream(0, "densify"))
    assert ids.tolist() == [3, 4, 5, 6]
    with torch.no_grad():
        params["opacity_logits"][:] = torch.tensor([-9.0, -8.0, -9.0, -9.0])
    ids = control(params, optimizer, ids, info_of(torch.zeros(4)), 20, Stream(0, "densify"))
    assert ids.tolist() == [4]
    check_consistent(params, optimizer, ids) if optimizer.state else None


def test_opacity_is_really_reset():
    params, optimizer, ids = splats(5)
    warm(params, optimizer)
    with torch.no_grad():
        params["opacity_logits"][0] = -7.0
    control = Default(start=100, reset_every=30, prune_opacity=0.005)
    flat = info_of(torch.zeros(5))
    for step in range(30):
        control(params, optimizer, ids, flat, step, Stream(0, "densify", step))
    assert params["opacity_logits"][1:].sigmoid().min() > 0.2
    control(params, optimizer, ids, flat, 30, Stream(0, "densify", 30))
    assert torch.allclose(params["opacity_logits"][1:].sigmoid(), torch.tensor(0.01))
    assert params["opacity_logits"][0] == -7.0
    assert not moments(optimizer, "opacity_logits").any()
    assert moments(optimizer, "means").any()


@settings(max_examples=40, deadline=None)
@given(opacity=st.floats(0.006, 0.995), copies=st.integers(1, 51))
def test_relocation_keeps_the_image(opacity, copies):
    """n equal Gaussians of opacity o' in front of each other let through what one of opacity o does at the centre.

    Equation 9 makes the integral of what they hide the same too; it is computed here by quadrature over the radius.
    """
    new, factor = relocation(torch.tensor([opacity]), torch.tensor([copies]))
    assert 1 - (1 - new.item()) ** copies == pytest.approx(opacity, rel=1e-4)
    x = torch.linspace(-12, 12, 20001, dtype=torch.float64)
    one = (opacity * torch.exp(-0.5 * x**2)).sum()
    many = (1 - (1 - new * torch.exp(-0.5 * (x / factor) ** 2)) ** copies).sum()
    assert many.item() == pytest.approx(one.item(), rel=1e-3)


def test_mcmc_moves_the_dead_and_grows_to_the_cap():
    params, optimizer, ids = splats(40)
    warm(params, optimizer)
    with torch.no_grad():
        params["opacity_logits"][:4] = -9.0
    kept_before = params["sh"].detach().clone()
    control = Mcmc(start=0, every=1, cap_max=43, growth=1.2, noise=0.0)
    ids = control(params, optimizer, ids, {}, 1, Stream(3, "densify"))
    assert len(ids) == 43
    check_consistent(params, optimizer, ids)
    assert ids[:4].tolist() == [40, 41, 42, 43]  # the dead came back as others
    assert ids[4:40].tolist() == list(range(4, 40))
    assert ids[40:].tolist() == [44, 45, 46]
    assert torch.equal(params["sh"][4:40], kept_before[4:40])
    assert (params["opacity_logits"].sigmoid() > 0.005).all()
    assert not moments(optimizer, "means")[:4].any()
    again = control(params, optimizer, ids, {}, 2, Stream(3, "densify", 1))
    assert torch.equal(again, ids)


def test_mcmc_noise_moves_faint_gaussians_along_their_axes():
    params, optimizer, ids = splats(200)
    with torch.no_grad():
        params["opacity_logits"][:100] = -9.0
        params["quats"][:] = torch.tensor([1.0, 0, 0, 0])
        params["log_scales"][:, 0] = math.log(0.5)
    before = params["means"].detach().clone()
    Mcmc(noise=100.0)(params, optimizer, ids, {}, 7, Stream(0, "densify"))
    moved = (params["means"] - before).abs()
    assert moved[100:].max() < 1e-12
    assert moved[:100, 0].mean() > 20 * moved[:100, 1].mean()


def run(control, steps, state=None):
    """A little optimisation on the real rasteriser; `state` continues an earlier one."""
    params, optimizer, ids = splats(80, seed=5)
    first = 0
    cameras = turntable(4, 24)
    if state is not None:
        first, ids = state["step"], state["ids"]
        for group in optimizer.param_groups:
            params[group["name"]] = nn.Parameter(state["params"][group["name"]].clone())
            group["params"] = [params[group["name"]]]
        optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))
        control.restore(copy.deepcopy(state["control"]))
    for step in range(first, steps):
        p = params
        shot = cameras[torch.tensor([step % 4])]
        render, _, info = rasterize(
            p["means"], p["quats"], p["log_scales"].exp(), p["opacity_logits"].sigmoid(), p["sh"][:, 0].sigmoid(),
            shot.viewmats, shot.Ks, 24, 24,
        )  # fmt: skip
        (render[..., :3] - 0.5).square().mean().backward()
        optimizer.step()
        ids = control(params, optimizer, ids, info, step, Stream(1, "densify", step))
        optimizer.zero_grad()
    tensors = {name: p.detach().clone() for name, p in params.items()}
    return {
        "step": steps, "ids": ids, "params": tensors, "optimizer": copy.deepcopy(optimizer.state_dict()),
        "control": copy.deepcopy(control.state()),
    }  # fmt: skip


@pytest.mark.parametrize(
    "make",
    [
        lambda: Default(start=2, every=5, reset_every=11, grow_gradient=1e-6, split_scale=0.05, cap_max=150),
        lambda: Mcmc(start=2, every=5, cap_max=120, noise=10.0),
    ],
    ids=["default", "mcmc"],
)
def test_resumed_equals_straight_and_ids_are_never_reused(make):
    straight = run(make(), 24)
    half = run(make(), 13)
    resumed = run(make(), 24, half)
    assert len(straight["ids"]) > 80
    assert torch.equal(straight["ids"], resumed["ids"])
    for name, value in straight["params"].items():
        assert torch.equal(value, resumed["params"][name]), name
    assert straight["control"]["next_id"] == resumed["control"]["next_id"] > 80
    gone = set(range(80)) - set(half["ids"].tolist())
    assert not gone & set(straight["ids"].tolist())


def test_the_previous_graph_may_still_be_alive():
    params, optimizer, ids = splats(30)
    control = Default(start=0, every=1, grow_gradient=1e-9)
    cameras = turntable(1, 16)
    alive = []
    for step in range(1, 4):
        p = params
        render, _, info = rasterize(
            p["means"], p["quats"], p["log_scales"].exp(), p["opacity_logits"].sigmoid(), p["sh"][:, 0].sigmoid(),
            cameras.viewmats, cameras.Ks, 16, 16,
        )  # fmt: skip
        render.sum().backward()
        alive.append(render)
        optimizer.step()
        ids = control(params, optimizer, ids, info, step, Stream(0, "densify", step))
        optimizer.zero_grad()
    assert len(ids) > 30
