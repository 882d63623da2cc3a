import dataclasses

import pytest
import torch

from gsd.errors import GsdError
from gsd.loss.consistency import Consistency, _Compiled, compare_torch, ordered_pairs
from gsd.noising.reference import cameras, render
from gsd.types import Render, Scene, Score, StepState


def state_of(cams, shown, maps, **score):
    zero = torch.zeros_like(maps)
    values = {"gradient": zero, "eps": maps, "cfg_delta": None, "prior_calls": 2} | score
    scene = Scene(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long))
    return StepState(0, cams, shown, scene, zero, zero, torch.full((len(maps),), 2.0), Score(**values))


def field(cams, shown, channels=4, wavelength=0.2, seed=0):
    """Maps of a smooth random field on the true surface: what perfectly consistent gradients look like."""
    from gsd.geometry import unproject

    generator = torch.Generator().manual_seed(seed)
    waves = torch.randn(3, channels * 8, generator=generator) * 2 * torch.pi / wavelength / 3
    phases = torch.rand(channels * 8, generator=generator) * 2 * torch.pi
    points = unproject(shown.depth.float(), cams)
    values = torch.cos(points @ waves + phases).unflatten(-1, (channels, 8)).sum(-1)
    return values.permute(0, 3, 1, 2) * (shown.alpha > 0.5)


def with_depth(shown: Render, depth: torch.Tensor) -> Render:
    return dataclasses.replace(shown, depth=depth)


def test_identical_views_have_no_loss():
    cams = cameras(30.0, 30.0)
    loss = Consistency()(state_of(cams, render(cams), torch.randn(1, 4, 64, 64).repeat(2, 1, 1, 1)))
    assert loss.abs() < 1e-3  # a sum over some 1,400 pixels


def test_bounds_and_what_it_sees():
    cams = cameras(0.0, 5.0)
    shown = render(cams)
    agree = Consistency()(state_of(cams, shown, field(cams, shown)))
    independent = Consistency()(state_of(cams, shown, torch.randn(2, 4, 64, 64)))
    opposite = field(cams, shown) * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    against = Consistency()(state_of(cams, shown, opposite))
    covered = shown.alpha.sum() / 2  # pixels of one view; two ordered pairs over two views
    assert 0 <= agree < 0.1 * independent
    assert independent / covered == pytest.approx(1.0, abs=0.1)
    assert 1.7 * covered < against <= 2 * covered


@pytest.mark.parametrize("warp", ["straight_through", "bilinear"])
def test_gradient_reaches_the_depth_alone_and_is_not_zero(warp):
    cams = cameras(0.0, 5.0)
    shown = render(cams)
    leaves = {
        "depth": shown.depth.clone().requires_grad_(),
        "alpha": shown.alpha.clone().requires_grad_(),
        "rgb": shown.rgb.clone().requires_grad_(),
    }
    loss = Consistency(warp=warp)(state_of(cams, Render(**leaves), field(cams, shown)))
    gradients = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    assert gradients[0].abs().sum() > 1
    assert gradients[1:] == (None, None)


def test_printed_nearest_sampler_has_no_gradient():
    cams = cameras(0.0, 5.0)
    shown = render(cams)
    depth = shown.depth.clone().requires_grad_()
    loss = Consistency(warp="nearest")(state_of(cams, with_depth(shown, depth), field(cams, shown)))
    assert loss > 0
    assert not loss.requires_grad


def test_gradcheck_of_the_whole_comparison():
    cams = cameras(0.0, 5.0, size=8)
    cams = dataclasses.replace(cams, viewmats=cams.viewmats.double(), Ks=cams.Ks.double())
    shown = render(cams)
    depth = shown.depth.double().requires_grad_()
    alpha = shown.alpha.double()
    maps = torch.randn(2, 3, 8, 8, dtype=torch.float64)

    def value(d):
        return compare_torch(maps, d, alpha, cams, "bilinear", 0.5)

    assert value(depth) > 0
    assert torch.autograd.gradcheck(value, depth)


@pytest.mark.parametrize("warp", ["nearest", "straight_through", "bilinear"])
@pytest.mark.parametrize("degrees", [5.0, 40.0])
def test_kernel_equals_its_torch_twin(warp, degrees):
    cams = cameras(0.0, degrees, 2 * degrees, elevation=10.0)
    shown, maps = render(cams), torch.randn(3, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    maps[0, :, 20:25] = 0  # nothing to compare there
    values, gradients = [], []
    for compare in (_Compiled.apply, compare_torch):
        depth = shown.depth + 0.01 * torch.rand(shown.depth.shape, generator=torch.Generator().manual_seed(1))
        depth.requires_grad_()
        value = compare(maps, depth, shown.alpha, cams, warp, 0.07)
        values.append(value.detach())
        if warp == "nearest":
            assert not value.requires_grad
        else:
            gradients.append(torch.autograd.grad(3 * value, depth)[0])
    assert values[0] > 100
    assert torch.allclose(values[0], values[1], rtol=2e-3)  # a pixel may fall on the other side of an edge
    if gradients:
        differs = (gradients[0] - gradients[1]).abs() > 1e-3 * gradients[1].abs() + 1e-3
        assert differs.float().mean() < 1e-3
        assert gradients[0].abs().sum() > 1


@pytest.mark.parametrize(("warp", "reach"), [("straight_through", 0.06), ("bilinear", 0.04)])
def test_depth_is_mended_by_consistent_maps(warp, reach):
    """A smooth error of the depth (rms 0.16 world units) shrinks when maps agree on the true surface."""
    cams = cameras(0.0, 5.0)
    true = render(cams)
    maps, covered = field(cams, true, wavelength=0.2), true.alpha > 0.5
    error = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    up = torch.nn.functional.interpolate(error, (64, 64), mode="bicubic")
    error = (error * 0.16 / up[covered].square().mean().sqrt()).requires_grad_()
    optimizer, loss = torch.optim.Adam([error], lr=0.01), Consistency(warp=warp, tolerance=0.6)

    def rms():
        off = torch.nn.functional.interpolate(error, (64, 64), mode="bicubic")
        return float(off[covered].square().mean().sqrt()), off

    start, _ = rms()
    for _ in range(120):
        optimizer.zero_grad()
        loss(state_of(cams, with_depth(true, true.depth + rms()[1] * true.alpha), maps)).backward()
        optimizer.step()
    assert start == pytest.approx(0.16, abs=0.01)
    assert rms()[0] < reach


def test_inputs():
    cams = cameras(0.0, 5.0)
    shown, maps = render(cams), torch.randn(2, 4, 64, 64)
    residual = Consistency()(state_of(cams, shown, maps))
    score = Consistency(input="score")(state_of(cams, shown, -2.0 * maps))  # a cosine does not see the scale
    delta = Consistency(input="cfg_delta")(state_of(cams, shown, torch.zeros_like(maps), cfg_delta=maps))
    assert torch.allclose(residual, score, rtol=1e-5)
    assert torch.allclose(residual, delta, rtol=1e-5)
    with pytest.raises(GsdError, match="guidance_scale above 1"):
        Consistency(input="cfg_delta")(state_of(cams, shown, maps))


def test_pairs_stay_within_groups():
    i, j = ordered_pairs(torch.tensor([0, 0, 0, 1, 1]))
    assert set(zip(i.tolist(), j.tolist(), strict=True)) == {
        (0, 1),
        (0, 2),
        (1, 0),
        (1, 2),
        (2, 0),
        (2, 1),
        (3, 4),
        (4, 3),
    }


def test_empty_views_have_no_loss():
    cams = cameras(0.0, 5.0)
    nothing = torch.zeros(2, 1, 64, 64)
    shown = Render(torch.zeros(2, 3, 64, 64), nothing.requires_grad_(), nothing)
    loss = Consistency()(state_of(cams, shown, torch.randn(2, 4, 64, 64)))
    assert loss == 0
    loss.backward()
    assert nothing.grad.isfinite().all()
