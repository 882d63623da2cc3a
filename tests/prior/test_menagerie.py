"""The menagerie's denoiser against brute force in float64, its score against finite differences."""

import math
from itertools import product
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gsd.errors import GsdError
from gsd.geometry import orbit
from gsd.guidance.nfsd import UNWANTED
from gsd.menagerie import find, load, mixture, trace
from gsd.menagerie.mixture import ByteRows
from gsd.prior.menagerie import Menagerie
from gsd.protocols import Prior
from gsd.types import Condition, Context

SMALL: dict[str, Any] = {"resolution": 16, "variants": 2, "azimuths": 12, "elevations": (0.0, 30.0)}
SIGMAS = (1e-2, 3e-2, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GSD_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def _prior(prompt="a corgi", **options) -> Menagerie:
    return Menagerie(Context(prompt), **{**SMALL, **options})


def _images(prior: Menagerie, name: str, background=None):
    bank = prior._bank(load()[name], resolution=prior.resolution)
    if background is None:
        return bank.rgb.double() / 127.5 - 1, bank
    clear = 1 - bank.alpha.double() / 255
    return bank.rgb.double() / 127.5 - 1 + 2 * clear * (torch.tensor(background)[:, None, None] - 1), bank


def _log_weights(bank, bias=2.0, words=None):
    azimuth = torch.deg2rad(bank.azimuth.double())
    heard = {None: 0, "front": azimuth.cos(), "back": -azimuth.cos(), "side": 2 * azimuth.sin().abs() - 1}
    log_weights = bias * azimuth.cos() + 4.0 * heard[words]
    return log_weights - log_weights.logsumexp(0)


def _brute(x, sigma, images, log_weights):
    distance = (x.double()[None] - images).square().flatten(1).sum(1)
    return torch.einsum("m,mchw->chw", torch.softmax(log_weights - distance / (2 * sigma**2), 0), images)


def _cameras(azimuth, elevation=3.0, group=None):
    full = torch.ones(len(azimuth))
    return orbit(torch.tensor(azimuth), elevation * full, 2.2 * full, 40 * full, 16, 16, group)


def _start(images, kind, sigma, seed):
    noise = torch.randn(images[0].shape, generator=torch.Generator().manual_seed(seed)).double()
    starts = {
        "exactly an image": images[5],
        "between two": (images[3] + images[40]) / 2,
        "noised": images[7] + sigma * noise,
        "far away": torch.full_like(images[0], 3.0),
    }
    return starts[kind]


@pytest.mark.parametrize("kind", ["exactly an image", "between two", "noised", "far away"])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_equals_brute_force_at_every_noise_level(sigma, kind):
    prior = _prior()
    images, bank = _images(prior, "corgi")
    x = _start(images, kind, sigma, 1).float()[None]
    denoised = prior.denoise(x, torch.tensor([sigma]), Condition(("a corgi, side view",)))[0]
    expected = _brute(x[0], torch.tensor([sigma]).double(), images, _log_weights(bank, words="side"))
    assert denoised.dtype == torch.float32
    assert (denoised - expected).norm() < 1e-6 * expected.norm()


def test_the_default_size_holds_the_same_accuracy():
    prior = Menagerie(Context("a cat"), resolution=64, variants=2, azimuths=36, elevations=(15.0,))
    images, bank = _images(prior, "cat with a hat")
    for sigma in SIGMAS:
        x = _start(images, "between two", sigma, 2).float()[None]
        denoised = prior.denoise(x, torch.tensor([sigma]), Condition(("cat",)))[0]
        expected = _brute(x[0], torch.tensor([sigma]).double(), images, _log_weights(bank))
        assert (denoised - expected).norm() < 1e-6 * expected.norm()


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(-2, 2))
def test_views_of_a_batch_do_not_mix(seed, exponent):
    prior = _prior()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(4, 3, 16, 16, generator=generator)
    sigma = 10.0 ** (exponent + torch.tensor([0.0, 0.3, -0.3, 0.1]))
    texts = ("a corgi, back view", "an owl", "a corgi", "a corgi, back view")
    together = prior.denoise(x, sigma, Condition(texts))
    for i in range(4):
        alone = prior.denoise(x[i : i + 1], sigma[i : i + 1], Condition(texts[i : i + 1]))
        torch.testing.assert_close(together[i : i + 1], alone)


@pytest.mark.parametrize("joint", [False, True])
def test_the_score_is_the_gradient_of_the_log_density(joint):
    """Tweedie: (D - x) / sigma^2 = grad log p_sigma(x), by central differences in float64."""
    prior = _prior(joint=joint)
    images, bank = _images(prior, "corgi")
    cameras = _cameras([0.0, 30.0], group=torch.zeros(2, dtype=torch.long))
    generator = torch.Generator().manual_seed(3)
    x = images[[3, 4]] + 0.5 * torch.randn(2, 3, 16, 16, generator=generator).double()
    # A noise level at which several candidates compete: the nearest images are about this far apart.
    sigma = torch.tensor([4.0, 5.0]).double()
    condition = Condition(("a corgi",) * 2, cameras)

    def log_density(x):
        energy = (x[:, None] - images).square().flatten(2).sum(2) / (2 * sigma[:, None] ** 2)
        if not joint:
            return (_log_weights(bank) - energy).logsumexp(1).sum()
        energy = energy.view(2, *bank.shape)[:, :, 0]  # both cameras are nearest to elevation 0
        weights = _log_weights(bank).view(bank.shape)[:, 0]
        weights = weights - weights.flatten().logsumexp(0)
        return (weights - energy[0] - energy[1].roll(-1, -1)).flatten().logsumexp(0)

    score = (prior.denoise(x, sigma, condition) - x) / sigma[:, None, None, None] ** 2
    for trial in range(4):
        direction = torch.randn(x.shape, generator=generator).double()
        if trial == 0:
            direction = torch.stack([images[0] - images[8], images[20] - images[2]])
        direction /= direction.norm()
        step = 1e-4
        numeric = (log_density(x + step * direction) - log_density(x - step * direction)) / (2 * step)
        assert float(numeric) == pytest.approx(float((score * direction).sum()), rel=1e-6, abs=1e-8)


@pytest.mark.parametrize("texts", [("a corgi, side view", "a corgi, back view", "a corgi"), ("",) * 3])
def test_the_score_of_the_product_is_the_gradient_of_its_log_density(few, texts):
    """log p(x_1, x_2, x_3) = log sum_h prod_v w_v(h) N(x_v; image of h from v), by autograd, over far views."""
    prior = _prior(joint=True, joint_weights="product", view_bias=8.0, view_bias_unconditional=0.7)
    names, bias = (few, 0.7) if texts[0] == "" else (["corgi"], 8.0)
    cells, sigma = [1, 4, 8], torch.tensor([4.0, 6.0, 5.0]).double()
    cameras = _cameras([30.0, 120.0, 240.0], elevation=0.0, group=torch.zeros(3, dtype=torch.long))
    cubes = [_images(prior, name)[0].view(2, 2, 12, 3, 16, 16)[:, 0] for name in names]
    heard = {"side": lambda a: 2 * abs(math.sin(a)) - 1, "back": lambda a: -math.cos(a)}

    def log_weight(text, angle):
        return bias * math.cos(angle) + sum(4 * f(angle) for word, f in heard.items() if f"{word} view" in text)

    def log_density(x):
        logs = []
        for cube, variant, yaw in product(cubes, range(2), range(12)):
            turns = [(cell + yaw) % 12 for cell in cells]
            energy = ((x - cube[variant, turns]).square().flatten(1).sum(1) / (2 * sigma**2)).sum()
            weights = [log_weight(*each) for each in zip(texts, [math.radians(30 * t) for t in turns], strict=True)]
            logs.append(sum(weights) - energy)
        return torch.logsumexp(torch.stack(logs), 0)

    noise = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(8)).double()
    x = (cubes[0][1, [0, 3, 6]] + sigma[:, None, None, None] * noise).requires_grad_()
    gradient = torch.autograd.grad(log_density(x), x)[0]
    score = (prior.denoise(x.detach(), sigma, Condition(texts, cameras)) - x.detach()) / sigma[:, None, None, None] ** 2
    torch.testing.assert_close(score, gradient, rtol=1e-9, atol=1e-10)


def test_all_around_a_product_has_no_view_bias_and_heeds_the_words():
    """At a noise level that drowns the images the weights alone are left: the view behind shows the back."""
    words, sigma = ("front", "side", "back", "side"), torch.full((4,), 1e4)
    cameras = _cameras([0.0, 90.0, 180.0, 270.0], elevation=0.0, group=torch.zeros(4, dtype=torch.long))
    x = 1e4 * torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    behind = {}
    for weights in ("anchor", "product"):
        prior = _prior(joint=True, joint_weights=weights, view_bias=8.0)
        for texts in ((f"a corgi, {word} view" for word in words), ("a corgi",) * 4):
            found = prior.posterior(x, sigma, Condition(tuple(texts), cameras))
            behind[weights, len(behind) % 2] = float(found.probs[2, (found.azimuth - 180).abs() < 40].sum())
    assert behind["product", 0] > 0.9
    assert behind["product", 1] == pytest.approx(3 / 12, abs=0.02)
    assert behind["anchor", 1] > 0.9  # the first view is the one that is biased


@pytest.mark.parametrize("sigma", [0.1, 2.0, 30.0])
def test_joint_equals_brute_force(sigma):
    """Every (variant, yaw) in a plain loop; views of two groups and two texts, given in one batch."""
    prior = _prior(joint=True)
    images, bank = _images(prior, "corgi")
    azimuths = [20.0, 62.0, 200.0, 235.0]  # nearest of the bank's: 30, 60, 210, 240
    cells, high = [1, 2, 7, 8], 1
    cameras = _cameras(azimuths, elevation=29.0, group=torch.tensor([0, 0, 1, 1]))
    x = images[:4] + sigma * torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(4)).double()
    sigmas = sigma * torch.tensor([1.0, 1.5, 1.0, 0.5]).double()
    texts = ("a corgi, front view", "a corgi, side view", "a corgi", "a corgi")
    denoised = prior.denoise(x, sigmas, Condition(texts, cameras))
    cube = images.view(*bank.shape, 3, 16, 16)
    for anchor, words in ((0, "front"), (2, None)):
        weights = _log_weights(bank, words=words).view(bank.shape)
        logs, means = [], []
        for variant in range(2):
            for yaw in range(12):
                shown = [cube[variant, high, (cells[v] + yaw) % 12] for v in (anchor, anchor + 1)]
                energy = sum(
                    (x[v] - y).square().sum() / (2 * sigmas[v] ** 2)
                    for v, y in zip((anchor, anchor + 1), shown, strict=True)
                )
                logs.append(weights[variant, high, (cells[anchor] + yaw) % 12] - energy)
                means.append(torch.stack(shown))
        probs = torch.softmax(torch.stack(logs), 0)
        expected = torch.einsum("k,kvchw->vchw", probs, torch.stack(means))
        torch.testing.assert_close(denoised[anchor : anchor + 2], expected, rtol=1e-9, atol=1e-9)


def test_joint_views_agree_where_single_views_do_not():
    """A clear first view decides for a view that is pure noise."""
    x = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(5)) * 50
    cameras = _cameras([180.0, 210.0], group=torch.zeros(2, dtype=torch.long))
    condition = Condition(("a corgi",) * 2, cameras)
    sigma = torch.tensor([0.1, 50.0])
    single, joint = _prior(), _prior(joint=True)
    images, _ = _images(single, "corgi")
    x[0] = images[6].float()
    best = joint.posterior(x, sigma, condition)
    assert best.azimuth[best.probs.argmax(1)].tolist() == [180.0, 210.0]
    assert float(best.probs[1].max()) > 0.99
    assert float(single.posterior(x, sigma, condition).probs[1].max()) < 0.6


def test_joint_takes_stacked_branches_and_refuses_to_guess_cameras():
    prior = _prior(joint=True)
    x = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(6))
    cameras = _cameras([0.0, 30.0], group=torch.zeros(2, dtype=torch.long))
    texts = ("a corgi", "a corgi", "an owl", "an owl")
    sigma = torch.full((4,), 2.0)
    stacked = prior.denoise(x, sigma, Condition(texts, cameras))
    for part in (slice(0, 2), slice(2, 4)):
        alone = prior.denoise(x[part], sigma[part], Condition(texts[part], cameras))
        torch.testing.assert_close(stacked[part], alone)
    with pytest.raises(GsdError, match="needs the cameras"):
        prior.denoise(x, sigma, Condition(texts))


@pytest.fixture
def few(monkeypatch):
    """A menagerie of three."""
    few = {name: load()[name] for name in ("corgi", "owl", "snail")}
    monkeypatch.setattr("gsd.prior.menagerie.load", lambda: few)
    return few


@pytest.mark.parametrize("bias", [0.0, 1.5])
def test_a_text_without_a_creature_is_the_mixture_over_all_with_a_bias_of_its_own(few, bias):
    prior = _prior(view_bias=2.0, view_bias_unconditional=bias)
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(7)) * 3
    stack = [_images(prior, name) for name in few]
    images = torch.cat([images for images, _ in stack])
    # The same batch has a negative prompt that names the creature: that one has the prompt's bias
    texts = ("", "blurry, low quality", UNWANTED, "low quality, front view", "a corgi, front view")
    for sigma in (0.5, 3.0, 20.0):
        denoised = prior.denoise(x.repeat(5, 1, 1, 1), torch.full((5,), sigma), Condition(texts))
        for shown, words in zip(denoised[:4], (None, None, None, "front"), strict=True):
            expected = _brute(x[0], sigma, images, torch.cat([_log_weights(bank, bias, words) for _, bank in stack]))
            assert (shown - expected).norm() < 1e-6 * expected.norm()
        corgi, bank = stack[0]
        expected = _brute(x[0], sigma, corgi, _log_weights(bank, 2.0, "front"))
        assert (denoised[4] - expected).norm() < 1e-6 * expected.norm()
    posterior = prior.posterior(x, torch.tensor([1e6]), Condition(("",)))
    for name in few:
        mass = sum(p for p, n in zip(posterior.probs[0].tolist(), posterior.creature, strict=True) if n == name)
        assert mass == pytest.approx(1 / 3, abs=1e-6)


def test_a_blend_with_a_text_without_a_creature_keeps_both_biases(few):
    """In either order and again: what is kept of a text does not depend on what it was blended with."""
    prior, x, sigma = _prior(), torch.zeros(1, 3, 16, 16), torch.tensor([1e6])

    def bias(text, other, blend):
        posterior = prior.posterior(x, sigma, Condition((text,), None, (other,), torch.tensor([blend])))
        front, back = (float(posterior.probs[0, posterior.azimuth == azimuth].sum()) for azimuth in (0, 180))
        return math.log(front / back) / 2

    for _ in range(2):
        assert bias("a corgi", "", 0.25) == pytest.approx(1.5, abs=1e-5)
        assert bias("", "a corgi", 0.25) == pytest.approx(0.5, abs=1e-5)


def test_joint_views_without_a_creature_have_the_unconditional_bias_once(few):
    """Brute force over every (creature, variant, yaw); the bias is that of the first view, the others follow."""
    prior = _prior(joint=True, view_bias=2.0, view_bias_unconditional=0.7)
    cells, sigma = [1, 3], torch.tensor([4.0, 6.0]).double()
    cameras = _cameras([30.0, 90.0], elevation=0.0, group=torch.zeros(2, dtype=torch.long))
    cubes = [_images(prior, name)[0].view(2, 2, 12, 3, 16, 16)[:, 0] for name in few]
    x = cubes[1][0, :2] + sigma[:, None, None, None] * torch.randn(
        2, 3, 16, 16, generator=torch.Generator().manual_seed(8)
    )
    logs, means = [], []
    for cube in cubes:
        for variant in range(2):
            for yaw in range(12):
                shown = torch.stack([cube[variant, (cell + yaw) % 12] for cell in cells])
                energy = ((x - shown).square().flatten(1).sum(1) / (2 * sigma**2)).sum()
                logs.append(0.7 * math.cos(math.radians(30 * (cells[0] + yaw))) - energy)
                means.append(shown)
    expected = torch.einsum("k,kvchw->vchw", torch.softmax(torch.stack(logs), 0), torch.stack(means))
    denoised = prior.denoise(x, sigma, Condition(("", ""), cameras))
    torch.testing.assert_close(denoised, expected, rtol=1e-9, atol=1e-9)


def test_loading_all_creatures_is_told_once(few, caplog):
    prior = _prior()
    with caplog.at_level("INFO", "gsd"):
        for text in ("a corgi", "", "ugly"):
            prior.denoise(torch.zeros(1, 3, 16, 16), torch.ones(1), Condition((text,)))
    (told,) = [record.message for record in caplog.records if "names no animal" in record.message]
    assert "all 3: loading their images of 16 pixels (144)" in told


def test_weights_are_what_is_left_when_noise_drowns_everything():
    prior = _prior(view_bias=1.5, view_words=3.0)
    x, sigma = torch.zeros(1, 3, 16, 16), torch.tensor([1e6])

    def odds(text, one, other):
        posterior = prior.posterior(x, sigma, Condition((text,)))
        mass = [float(posterior.probs[0, posterior.azimuth == azimuth].sum()) for azimuth in (one, other)]
        return math.log(mass[0] / mass[1])

    assert odds("a corgi", 0.0, 180.0) == pytest.approx(3.0, abs=1e-5)
    assert odds("a corgi, front view", 0.0, 180.0) == pytest.approx(9.0, abs=1e-5)
    assert odds("a corgi, BACK VIEW", 0.0, 180.0) == pytest.approx(-3.0, abs=1e-5)
    assert odds("a corgi, side view", 90.0, 0.0) == pytest.approx(-1.5 + 6.0, abs=1e-5)
    assert odds("a corgi, overhead view", 0.0, 180.0) == pytest.approx(3.0, abs=1e-5)
    overhead = prior.posterior(x, sigma, Condition(("a corgi, overhead view",)))
    high = float(overhead.probs[0, overhead.elevation == 30].sum())
    assert math.log(high / (1 - high)) == pytest.approx(6.0, abs=1e-5)


def test_a_deaf_prior_does_not_heed_view_words():
    prior = _prior(view_words=0.0)
    x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(8))
    plain, told = (prior.denoise(x, torch.ones(1), Condition((t,))) for t in ("a corgi", "a corgi, back view"))
    assert torch.equal(plain, told)


def test_the_posterior_names_the_image():
    prior = _prior()
    images, _ = _images(prior, "corgi")
    posterior = prior.posterior(images.float(), torch.full((48,), 0.05), Condition(("a corgi",) * 48))
    assert posterior.probs.argmax(1).tolist() == list(range(48))
    torch.testing.assert_close(posterior.probs.sum(1), torch.ones(48).double())
    with pytest.raises(GsdError, match="one subject"):
        prior.posterior(images[:2].float(), torch.ones(2), Condition(("a corgi", "an owl")))


@pytest.mark.parametrize("background", [(1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.2, 0.9, 0.4)])
@pytest.mark.parametrize("sigma", [0.03, 1.0, 30.0])
def test_the_images_lie_over_the_background_that_is_given(sigma, background):
    prior = _prior()
    images, bank = _images(prior, "corgi", background)
    x = _start(images, "between two", sigma, 1).float()[None]
    condition = Condition(("a corgi",), background=torch.tensor([background]))
    denoised = prior.denoise(x, torch.tensor([sigma]), condition)[0]
    expected = _brute(x[0], torch.tensor([sigma]).double(), images, _log_weights(bank))
    assert (denoised - expected).norm() < 1e-6 * expected.norm()


def test_a_bank_over_a_colour_is_what_the_tracer_draws_over_it():
    prior, sky = _prior(variants=1), (0.3, 0.5, 0.9)
    images, bank = _images(prior, "corgi", sky)
    cameras = _cameras(bank.azimuth.tolist(), bank.elevation)
    drawn = trace(find("a corgi").figure(0), cameras, background=sky).rgb
    assert ((images + 1) / 2 - drawn).abs().max() < 1.1 / 255  # two roundings to bytes


def test_views_of_one_batch_have_backgrounds_of_their_own():
    prior = _prior()
    x = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))
    sigma, backgrounds = torch.tensor([0.3, 1.0, 3.0]), torch.tensor([[1.0, 1, 1], [0, 0, 0], [0.1, 0.5, 0.9]])
    texts = ("a corgi", "an owl", "a corgi, back view")
    together = prior.denoise(x, sigma, Condition(texts, background=backgrounds))
    for i in range(3):
        alone = Condition(texts[i : i + 1], background=backgrounds[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], prior.denoise(x[i : i + 1], sigma[i : i + 1], alone))


def test_the_other_devices_path_equals_the_kernels_whatever_the_chunk(monkeypatch):
    generator = torch.Generator().manual_seed(9)
    rgb = torch.randint(0, 255, (37, 3, 8, 8), generator=generator).to(torch.uint8)
    rgb[:, :, :3] = 200  # steady pixels
    rows = ByteRows(rgb.flatten(1))
    assert len(rows.varying) == 3 * 5 * 8
    x = torch.randn(3, 192, generator=generator).double()
    weights = torch.rand(3, 37, generator=generator).double()
    exact = rgb.flatten(1).double() / 255
    torch.testing.assert_close(rows.dots(x), x @ exact.T)
    mean = torch.full((3, 192), torch.nan).double()
    rows.mean(weights, mean)
    torch.testing.assert_close(mean, weights @ exact)
    for chunk in (1, 5, 37, 100):
        monkeypatch.setattr(mixture, "CHUNK", chunk)
        moving = x[:, rows.varying]
        torch.testing.assert_close(mixture._dots_torch(rows.bytes, moving), mixture._dots(rows.bytes, moving))
        torch.testing.assert_close(mixture._mix_torch(rows.bytes, weights), mixture._mix(rows.bytes, weights))


def test_encode_keeps_the_graph_and_decode_inverts_it():
    prior = _prior()
    rgb = torch.rand(2, 3, 32, 32, requires_grad=True)
    z = prior.encode(rgb)
    z.sum().backward()
    assert rgb.grad is not None
    torch.testing.assert_close(rgb.grad, torch.full_like(rgb, 0.5))
    torch.testing.assert_close(z.detach()[0, 0, 0, 0], 2 * rgb[0, 0, :2, :2].mean().detach() - 1)
    same = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(prior.decode(prior.encode(same)), same)
    assert float(prior.decode(torch.full((1, 3, 16, 16), 1.5)).max()) == 1.0
    assert isinstance(prior, Prior)
    assert prior.encode(torch.rand(1, 3, 40, 40)).shape == (1, 3, 16, 16)


def test_unknown_prompts_are_refused_at_construction():
    with pytest.raises(GsdError, match=r"did you mean turtle.*It knows: .*corgi.*prior=stable_diffusion"):
        _prior("a turtel")


def test_a_blend_of_texts_blends_their_log_weights():
    prior = _prior("a cat", view_words=3.0)
    x = torch.randn(3, 3, 16, 16)
    sigma = torch.full((3,), 20.0)
    texts, others = ("a cat, front view",) * 3, ("a cat, left side view",) * 3

    def probs(condition):
        return prior.posterior(x, sigma, condition).probs

    ends = [probs(Condition(texts)), probs(Condition(others))]
    blend = probs(Condition(texts, None, others, torch.tensor([0.0, 0.5, 1.0])))
    assert torch.allclose(blend[0], ends[0][0])
    assert torch.allclose(blend[2], ends[1][2])
    middle = (ends[0][1] * ends[1][1]).sqrt()  # half of each logarithm
    assert torch.allclose(blend[1], middle / middle.sum())


def test_named_sides_are_the_creatures_own():
    prior = _prior("a cat", view_words=8.0, view_bias=0.0)
    seen = prior.posterior(torch.zeros(1, 3, 16, 16), torch.tensor([1e4]), Condition(("a cat, left side view",)))
    assert seen.azimuth[seen.probs[0].argmax()] == 90
