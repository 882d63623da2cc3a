import dataclasses

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from gsd.camera.orbit import Orbit
from gsd.errors import GsdError
from gsd.geometry import correspond, geometry_at, in_bounds, sample, unproject
from gsd.loss.consistency import Consistency
from gsd.noising.check.reference import cameras, render
from gsd.random import Stream
from gsd.types import Render, Scene, Score, StepState
from gsd.warping.compare import Compared, compare_torch, gradient_cosine, ordered_pairs

seeds = st.integers(0, 2**31)


def state_of(cams, shown, maps, **score):
    zero = torch.zeros_like(maps)
    values = {"gradient": zero, "eps": maps, "cfg_delta": None, "prior_calls": 2} | score
    scene = Scene(torch.zeros(1, 3), torch.zeros(1, dtype=torch.long))
    return StepState(
        0,
        cams,
        geometry_at(scene, shown, cams, *maps.shape[2:]),
        zero,
        zero,
        torch.full((len(maps),), 2.0),
        Score(**values),
    )


def field(cams, shown, channels=4, wavelength=0.2, seed=0):
    """Maps of a smooth random field on the true surface: what perfectly consistent gradients look like."""
    generator = torch.Generator().manual_seed(seed)
    waves = torch.randn(3, channels * 8, generator=generator) * 2 * torch.pi / wavelength / 3
    phases = torch.rand(channels * 8, generator=generator) * 2 * torch.pi
    points = unproject(shown.depth.float(), cams)
    values = torch.cos(points @ waves + phases).unflatten(-1, (channels, 8)).sum(-1)
    return values.permute(0, 3, 1, 2) * (shown.alpha > 0.5)


def with_depth(shown: Render, depth: torch.Tensor) -> Render:
    return dataclasses.replace(shown, depth=depth)


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def double(cams):
    return dataclasses.replace(cams, viewmats=cams.viewmats.double(), Ks=cams.Ks.double())


@pytest.mark.parametrize("warp", ["straight_through", "bilinear"])
@pytest.mark.parametrize("resolution", ["latent", "render"])
def test_identical_views_have_no_loss(warp, resolution):
    cams = cameras(30.0, 30.0)
    shown, maps = render(cams), drawn(0, 1, 4, 16, 16).repeat(2, 1, 1, 1)
    loss = Consistency(warp=warp, resolution=resolution)
    assert loss(state_of(cams, shown, maps)).abs() < 1e-6 * 16**2  # rounding of the cosine, pixel by pixel
    exact = Render(shown.rgb, shown.depth.double(), shown.alpha.double())
    assert loss(state_of(double(cams), exact, maps.double())).abs() < 1e-6


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
@pytest.mark.parametrize("resolution", ["latent", "render"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # the kernel and its twin
def test_gradient_reaches_the_depth_alone_and_is_not_zero(warp, resolution, dtype):
    cams = cameras(0.0, 5.0, size=32)
    shown, maps = render(cams), field(cameras(0.0, 5.0, size=16), render(cameras(0.0, 5.0, size=16)))
    leaves = [
        part.to(dtype).clone().requires_grad_()
        for part in (shown.depth, shown.alpha, shown.rgb, maps, torch.zeros_like(maps), cams.viewmats, cams.Ks)
    ]
    depth, alpha, rgb, eps, noise, viewmats, Ks = leaves
    cams = dataclasses.replace(cams, viewmats=viewmats, Ks=Ks)
    state = dataclasses.replace(state_of(cams, Render(rgb, depth, alpha), eps), noise=noise)
    loss = Consistency(warp=warp, resolution=resolution)(state)
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    assert gradients[0].abs().sum() > 0.1
    assert gradients[1:] == (None,) * 6


def test_printed_nearest_sampler_has_no_gradient():
    cams = cameras(0.0, 5.0)
    shown = render(cams)
    depth = shown.depth.clone().requires_grad_()
    loss = Consistency(warp="nearest")(state_of(cams, with_depth(shown, depth), field(cams, shown)))
    assert loss > 0
    assert not loss.requires_grad


@pytest.mark.parametrize("size", [6, 3])  # of the maps: those of the render, or half
def test_gradcheck_of_the_whole_comparison(size):
    cams = double(cameras(0.0, 5.0, -5.0, size=6))
    shown, maps = render(cams), drawn(0, 3, 3, size, size).double()
    depth, alpha = shown.depth.double().requires_grad_(), shown.alpha.double()

    def value(d):
        return compare_torch(maps, d, alpha, cams, ordered_pairs(cams), "bilinear", 0.5)

    assert value(depth) > 0
    assert torch.autograd.gradcheck(value, depth, fast_mode=True)


@pytest.mark.parametrize("warp", ["nearest", "straight_through", "bilinear"])
@pytest.mark.parametrize("degrees", [5.0, 40.0])
@pytest.mark.parametrize("size", [(64, 64), (24, 15), (80, 96)])  # of the maps; the depth is 64 x 64
def test_kernel_equals_its_torch_twin(warp, degrees, size):
    cams = cameras(0.0, degrees, 2 * degrees, elevation=10.0)
    shown, maps = render(cams), drawn(0, 3, 4, *size)
    maps[0, :, 8:10] = 0  # nothing to compare there
    values, gradients = [], []
    for compare in (Compared.apply, compare_torch):
        depth = shown.depth + 0.01 * torch.rand(shown.depth.shape, generator=torch.Generator().manual_seed(1))
        depth.requires_grad_()
        value = compare(maps, depth, shown.alpha, cams, ordered_pairs(cams), warp, 0.07)
        values.append(value.detach())
        if warp == "nearest":
            assert not value.requires_grad
        else:
            gradients.append(torch.autograd.grad(3 * value, depth)[0])
    assert values[0] > 100
    assert torch.allclose(values[0], values[1], rtol=2e-3)  # a pixel may fall on the other side of an edge
    if gradients:
        # each is about this far from float64
        differs = (gradients[0] - gradients[1]).abs() > 2e-3 * gradients[1].abs() + 2e-3
        assert differs.float().mean() < 1e-3
        assert gradients[0].abs().sum() > 1


@pytest.mark.parametrize("warp", ["straight_through", "bilinear"])
def test_render_resolution_is_latent_resolution_where_they_are_one(warp):
    cams = cameras(0.0, 5.0)
    shown, maps = render(cams), drawn(0, 2, 4, 64, 64)
    values, gradients = [], []
    for resolution in ("latent", "render"):
        depth = shown.depth.clone().requires_grad_()
        value = Consistency(warp=warp, resolution=resolution)(state_of(cams, with_depth(shown, depth), maps))
        values.append(value)
        gradients += torch.autograd.grad(value, depth)
    assert torch.equal(*values)
    assert torch.equal(*gradients)


@pytest.mark.parametrize("warp", ["straight_through", "bilinear"])
def test_resolution_changes_neither_the_size_of_the_loss_nor_its_pull_on_the_whole(warp):
    """On a depth too large everywhere. But each pixel of the render is pulled in its own way."""
    cams, small = cameras(0.0, 5.0, size=128), cameras(0.0, 5.0, size=32)
    shown, maps = render(cams), field(small, render(small), wavelength=0.4)
    values, pulls = [], []
    for resolution in ("latent", "render"):
        loss = Consistency(warp=warp, resolution=resolution, tolerance=0.6)
        values.append(float(loss(state_of(cams, shown, drawn(0, 2, 4, 32, 32)))))
        depth = (shown.depth + 0.15 * shown.alpha).requires_grad_()
        pulls += torch.autograd.grad(loss(state_of(cams, with_depth(shown, depth), maps)), depth)
    assert values[1] == pytest.approx(values[0], rel=0.1)
    assert float(pulls[1].sum()) == pytest.approx(float(pulls[0].sum()), rel=0.3)
    latent, fine = (F.pixel_unshuffle(pull, 4) for pull in pulls)  # the 16 pixels of the render in one of the latents
    inside = F.pixel_unshuffle(shown.alpha, 4).amin(1) > 0
    assert latent.std(1)[inside].max() < 1e-6
    assert fine.std(1)[inside].median() > 0.1 * fine[:, 0][inside].abs().mean()


@given(seeds, st.sampled_from(["latent", "render"]))
@settings(max_examples=20, deadline=None)
def test_bounds_order_and_scale(seed, resolution):
    """0 <= loss <= 2 |o| a pair; the order of the views and the length of the maps do not matter."""
    cams = cameras(0.0, 5.0, -5.0, size=32)
    shown, maps = render(cams), drawn(seed, 3, 4, 16, 16)
    loss = Consistency(resolution=resolution)
    value = loss(state_of(cams, shown, maps))
    pixels = (shown.alpha > 0.5).sum() / 4 * 2  # of the latents, seen from two other views
    assert 0 <= value <= 2 * pixels / 3 * 1.1  # a latent at the silhouette may count whole
    order = torch.randperm(3, generator=torch.Generator().manual_seed(seed))
    turned = Render(shown.rgb[order], shown.depth[order], shown.alpha[order])
    assert torch.allclose(value, loss(state_of(cams[order], turned, maps[order])), rtol=1e-5)
    lengths = drawn(seed + 1, 3, 1, 1, 1).exp()
    assert torch.allclose(value, loss(state_of(cams, shown, lengths * maps)), rtol=1e-5)


@given(seeds, st.sampled_from([1, 3, 8]), st.sampled_from(["latent", "render"]), st.sampled_from([0.0, 1.0, 180.0]))
@settings(max_examples=40, deadline=None)
def test_always_finite(seed, size, resolution, degrees):
    """Whatever the depth: behind the cameras, at them, far away; with maps of a single pixel and vanishing ones."""
    cams, generator = cameras(0.0, degrees, size=8), torch.Generator().manual_seed(seed)
    depth = torch.tensor([-1.0, 0.0, 1e-3, 1.0, 1.6, 1e6])[torch.randint(6, (2, 1, 8, 8), generator=generator)]
    alpha = torch.rand(2, 1, 8, 8, generator=generator).round()
    maps = (
        drawn(seed, 2, 4, size, size)
        * torch.tensor([0.0, 1e-12, 1.0])[torch.randint(3, (2, 1, size, size), generator=generator)]
    )
    for dtype in (torch.float32, torch.float64):  # the kernel and its twin
        shown = Render(torch.zeros(2, 3, 8, 8), depth.to(dtype).requires_grad_(), alpha.to(dtype))
        view = cams if dtype == torch.float32 else double(cams)
        loss = Consistency(resolution=resolution, tolerance=5.0)(state_of(view, shown, maps.to(dtype)))
        assert loss.isfinite()
        assert torch.autograd.grad(loss, shown.depth)[0].isfinite().all()


def mended(true, views, state, loss, seed):
    """What 120 steps leave of a smooth error of .16 world units (rms) in the depth of the first views."""
    size, covered = true.alpha.shape[-2:], true.alpha[:views] > 0.5

    def error():
        return F.pad(F.interpolate(grid, size, mode="bicubic"), (0, 0, 0, 0, 0, 0, 0, len(true.alpha) - views))

    def rms():
        return float(error().detach()[:views][covered].square().mean().sqrt())

    grid = drawn(seed, views, 1, 8, 8)
    grid = (grid * 0.16 / rms()).requires_grad_()
    optimizer = torch.optim.Adam([grid], lr=0.01)
    for _ in range(120):
        optimizer.zero_grad()
        loss(state(true.depth + error() * true.alpha)).backward()
        optimizer.step()
    return rms()


@pytest.mark.parametrize(("warp", "reach"), [("straight_through", 0.06), ("bilinear", 0.04)])
def test_depth_is_mended_by_consistent_maps(warp, reach):
    cams, loss = cameras(0.0, 5.0), Consistency(warp=warp, tolerance=0.6)
    true = render(cams)
    for seed in range(4):
        maps = field(cams, true, seed=seed)
        assert mended(true, 2, lambda d, maps=maps: state_of(cams, with_depth(true, d), maps), loss, seed) < reach


def test_render_resolution_mends_what_steps_of_a_latent_leave():
    cams, small = cameras(0.0, 5.0, size=128), cameras(0.0, 5.0)
    true, maps = render(cams), field(small, render(small))
    left = [
        mended(
            true,
            2,
            lambda d: state_of(cams, with_depth(true, d), maps),
            Consistency(warp="straight_through", tolerance=0.6, resolution=resolution),
            seed=0,
        )
        for resolution in ("latent", "render")
    ]
    assert left[1] < 0.8 * left[0]


def test_noise_drawn_on_an_earlier_geometry_holds_the_depth_there():
    """In eq. 9's maps, which contain it; not in the residual."""
    cams = cameras(0.0, 5.0)
    true = render(cams)
    signal, left = field(cams, true) / 2, {}  # variance 1, as the noise
    for input in ("residual", "score"):
        generator, first = torch.Generator().manual_seed(1), []

        def state(depth, generator=generator, first=first):
            first.append(depth.detach()[:1])
            coords, _ = correspond(first[0], cams[:1], cams[1:])
            own, other = torch.randn(2, 1, 4, 64, 64, generator=generator)
            own = torch.where(in_bounds(coords, 64, 64)[:, None], sample(other, coords, "nearest"), own)
            noise = torch.cat([own, other])
            return dataclasses.replace(state_of(cams, with_depth(true, depth), signal + noise), noise=noise)

        left[input] = mended(true, 1, state, Consistency(input=input, tolerance=0.6), seed=1)
    assert left["residual"] < 0.06
    assert left["score"] > 0.12


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
    i, j = ordered_pairs(Orbit(groups=2, views=3)(Stream(0, "camera")))
    assert set(zip(i.tolist(), j.tolist(), strict=True)) == {
        (a + first, b + first) for first in (0, 3) for a in range(3) for b in range(3) if a != b
    }


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])  # the kernel and its twin
def test_a_view_alone_has_no_loss(dtype):
    """gsd.experiment refuses camera.views=1; a camera may still bring a group of one."""
    cams = Orbit(groups=3, views=1, resolution=16)(Stream(0, "camera"))
    depth = torch.full((3, 1, 16, 16), 2.2, dtype=dtype, requires_grad=True)
    shown = Render(torch.zeros(3, 3, 16, 16), depth, torch.ones_like(depth))
    view = cams if dtype == torch.float32 else double(cams)
    loss = Consistency()(state_of(view, shown, drawn(0, 3, 4, 16, 16).to(dtype)))
    assert loss == 0
    assert torch.autograd.grad(loss, depth)[0].abs().sum() == 0


@pytest.mark.parametrize("resolution", ["latent", "render"])
def test_empty_views_have_no_loss(resolution):
    cams = cameras(0.0, 5.0)
    nothing = torch.zeros(2, 1, 64, 64)
    shown = Render(torch.zeros(2, 3, 64, 64), nothing.requires_grad_(), nothing)
    loss = Consistency(resolution=resolution)(state_of(cams, shown, drawn(0, 2, 4, 16, 16)))
    assert loss == 0
    loss.backward()
    assert nothing.grad.abs().sum() == 0


@pytest.mark.parametrize("kind", ["agree", "independent", "opposite"])
def test_gradient_cosine_is_one_less_the_loss_a_pixel(kind):
    cams = cameras(0.0, 5.0)
    shown = render(cams)
    maps = drawn(3, 2, 4, 64, 64) if kind == "independent" else field(cams, shown)
    if kind == "opposite":
        maps = maps * torch.tensor([1.0, -1.0]).view(2, 1, 1, 1)
    state = state_of(cams, shown, maps, gradient=0.3 * maps)  # of the applied gradient; its scale does not matter
    found = gradient_cosine(state)
    low, high = {"agree": (0.9, 1.0), "independent": (-0.05, 0.05), "opposite": (-1.0, -0.9)}[kind]
    assert low <= found <= high
    same_noise = dataclasses.replace(state, noise=torch.zeros_like(maps))
    loss = Consistency(input="residual")(same_noise) * len(cams)
    alone = Consistency(input="residual")(dataclasses.replace(same_noise, score=state_of(cams, shown, 0 * maps).score))
    seen = alone * len(cams)  # maps that vanish have a cosine of 0: the loss counts the pixels compared
    assert found == pytest.approx(1 - float(loss / seen), abs=2e-3)


def test_gradient_cosine_has_nothing_to_say_of_views_that_share_nothing():
    single = cameras(0.0)
    assert gradient_cosine(state_of(single, render(single), drawn(0, 1, 4, 64, 64))) is None
    alone = cameras(0.0, 5.0)
    alone = dataclasses.replace(alone, group=torch.tensor([0, 1]))
    assert gradient_cosine(state_of(alone, render(alone), drawn(0, 2, 4, 64, 64))) is None


def test_gradient_cosine_at_half_the_renders_resolution():
    cams = cameras(0.0, 5.0)
    small = cameras(0.0, 5.0, size=32)
    maps = field(small, render(small), wavelength=0.4)
    assert gradient_cosine(state_of(cams, render(cams), maps, gradient=maps)) > 0.9
