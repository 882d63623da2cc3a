"""Every option is held to what it claims, and what must be caught is caught by the test that is there for it."""

import sys
from functools import cache

import pytest
import torch
from scipy import stats

from gsd.cli.folders import options
from gsd.errors import GsdError
from gsd.noising.check import acceptance, statistics
from gsd.noising.check.acceptance import check
from gsd.noising.check.reference import RADII, area, cameras, surface, visible_in_both
from gsd.noising.random import Random
from gsd.tools import noising_check as command
from gsd.tools.noising_check import configured
from gsd.types import NoiseClaim

FEW = 50  # draws


@pytest.fixture(scope="module", autouse=True)
def _geometry_once():
    """Every check looks at the same views of the same scene."""
    seen = {}

    def once(cams):
        key = cams.viewmats.numpy().tobytes()
        if key not in seen:
            seen[key] = visible_in_both(cams)
        return seen[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acceptance, "visible_in_both", once)
        patch.setattr(acceptance, "surface", cache(surface))
        yield


def failures(findings):
    return {f.test for f in findings if f.failed}


@pytest.mark.parametrize("name", options("noising"))
def test_option_keeps_its_claims(name):
    assert failures(check(configured([f"noising={name}"]), draws=FEW)) == set()


@pytest.mark.slow
@pytest.mark.parametrize("name", options("noising"))
def test_option_keeps_its_claims_at_full_size(name):
    assert failures(check(configured([f"noising={name}"]))) == set()


# The methods that the paper's Fig. 5 shows to be flawed, and the tests that must say so.
CONTROLS = {
    "noising=bilinear": {
        "variance", "variance of a pixel, least", "Kolmogorov-Smirnov p", "off-diagonal energy, object",
        "largest |correlation|, object", "Moran z, mean of 200", "A A^T: largest |variance - 1|",
        "A A^T: largest |covariance|", "A_i A_j^T: largest singular value - 1",
    },
    "noising=nearest": {
        "off-diagonal energy, object", "largest |correlation|, object", "Moran z, mean of 200",
        "A A^T: largest |covariance|", "A_i A_j^T: largest singular value - 1",
    },
    "noising=consistent noising.upsample=9 noising.cells=0 noising.normalization=eq7_8": {
        "variance", "variance of a pixel, least", "Kolmogorov-Smirnov p",
    },
    "noising=consistent noising.upsample=9 noising.cells=0 noising.normalization=sentence": {
        "variance", "variance of a pixel, least", "Kolmogorov-Smirnov p", "off-diagonal energy, object",
        "Moran z, mean of 200",
    },
}  # fmt: skip


@pytest.mark.parametrize("settings", CONTROLS)
def test_negative_control_is_seen_and_claims_nothing_it_breaks(settings):
    findings = check(configured(settings.split()), draws=2 * FEW)
    assert {f.test for f in findings if not f.holds} >= CONTROLS[settings]
    assert failures(findings) == set()


class Violator(Random):
    """Random noise, spoilt."""

    claims: frozenset[NoiseClaim] = frozenset({"white", "unit"})

    def __call__(self, geometry, channels, rng):
        return self.spoil(super().__call__(geometry, channels, rng))

    def spoil(self, maps):
        return maps


class Faint(Violator):
    def spoil(self, maps):
        return 0.9**0.5 * maps


class FaintPixel(Violator):
    def spoil(self, maps):
        maps[..., 20, 20] *= 0.4
        return maps


class Shifted(Violator):
    def spoil(self, maps):
        return maps + 0.02


class Uniform(Violator):
    def spoil(self, maps):
        return 12**0.5 * (torch.special.ndtr(maps) - 0.5)


class Holes(Violator):
    def spoil(self, maps):
        maps[..., 3, 5] = 0
        return maps


class Undefined(Violator):
    def spoil(self, maps):
        maps[0, 0, 0, 0] = torch.nan
        return maps


class Duplicated(Violator):
    def spoil(self, maps):
        maps[..., 30, 31] = maps[..., 30, 30]
        return maps


class Smooth(Violator):
    def spoil(self, maps):
        return (maps + 0.06 * maps.roll(1, -1)) / (1 + 0.06**2) ** 0.5


class Tinted(Violator):
    """Every map has a shade of its own."""

    def spoil(self, maps):
        return (maps + 0.2 * maps[..., :1, :1].roll(1, 0)) / (1 + 0.2**2) ** 0.5


class GreyChannels(Violator):
    def spoil(self, maps):
        return maps[:, :1].expand_as(maps).clone()


class Unrepeatable(Violator):
    def spoil(self, maps):
        return maps + 1e-3 * torch.randn_like(maps)


class Frozen(Violator):
    def __call__(self, geometry, channels, rng):
        return super().__call__(geometry, channels, rng.at(0))


class Unshared(Violator):
    claims: frozenset[NoiseClaim] = frozenset({"white", "unit", "shared"})


class OnScreen(Unshared):
    """One map for all views, wherever they look."""

    def spoil(self, maps):
        return maps[:1].expand_as(maps).clone()


class Stretched(Violator):
    """An operator that is not an isometry, and not that of the maps."""

    def operator(self, geometry, rng):
        n = geometry.depth.numel()
        diagonal = torch.arange(n).expand(2, n)
        weights = torch.ones(n, dtype=torch.float64)
        weights[7] = 1.1
        one = torch.sparse_coo_tensor(diagonal, weights, (n, n), check_invariants=True)
        neighbour = torch.sparse_coo_tensor([[5], [6]], torch.tensor([1e-3], dtype=torch.float64), (n, n))
        over = diagonal.clone()
        over[0] = (over[0] + n // 2) % n  # as if the views shared everything
        return one + neighbour + 0.5 * torch.sparse_coo_tensor(over, weights, (n, n))


CAUGHT = {
    Faint: {"variance", "Kolmogorov-Smirnov p"},
    FaintPixel: {"variance of a pixel, least"},
    Shifted: {"mean"},
    Uniform: {"excess kurtosis", "Kolmogorov-Smirnov p"},
    Holes: {"pixels not finite, or 0 in all channels", "50 points: pixels not finite, or 0 in all channels"},
    Undefined: {"pixels not finite, or 0 in all channels", "50 points: pixels not finite, or 0 in all channels"},
    Duplicated: {"largest |correlation|, object"},
    Smooth: {"Moran z, mean of 200", "50 points: Moran z, mean of 40"},
    Tinted: {"off-diagonal energy, object", "off-diagonal energy, silhouette"},
    GreyChannels: {"largest |correlation|, channels"},
    Unrepeatable: {"same step twice: largest difference"},
    Frozen: {"steps far apart: correlation"},
    Unshared: {
        "correlation at corresponding pixels, 5 degrees",
        "its smallest loss between 0, 1, 5, 10 and 30 degrees",
        "three views: correlation of views 2 and 3",
    },
    OnScreen: {"opposite views: correlation, same pixels", "opposite views: energy between patches, object"},
    Stretched: {
        "A A^T: largest |variance - 1|",
        "A A^T: largest |covariance|",
        "A_i A_j^T: largest singular value - 1",
        "sampled against exact, a pixel: largest |z|",
        "sampled against exact, mean: z",
    },
}


@pytest.mark.parametrize("violator", CAUGHT)
def test_violation_is_caught(violator):
    assert failures(check(violator(), draws=FEW)) >= CAUGHT[violator]


def test_what_is_not_claimed_is_measured_and_does_not_fail():
    class Modest(Faint):
        claims: frozenset[NoiseClaim] = frozenset({"white"})

    findings = {f.test: f for f in check(Modest(), draws=FEW)}
    assert failures(findings.values()) == set()
    assert findings["variance"].verdict == "not claimed, fails"
    assert findings["mean"].verdict == "not claimed, holds"
    assert findings["Moran z, mean of 200"].verdict == "ok"
    assert findings["views are independent, 5 degrees"].verdict == "not claimed, holds"


def run(monkeypatch, *arguments):
    """The exit code or message of the command."""
    monkeypatch.setattr(sys, "argv", ["check", "--draws", "20", *arguments])
    with pytest.raises(SystemExit) as end:
        command.main()
    return end.value.code


def test_command_prints_a_table_of_every_noising_named(monkeypatch, capsys):
    assert run(monkeypatch, "noising=random,random") == 0
    printed = capsys.readouterr().out
    assert printed.count("Kolmogorov-Smirnov") == 4
    assert "FAILED" not in printed


def test_command_fails_with_a_failed_claim(monkeypatch, capsys):
    monkeypatch.setattr(command, "configured", lambda overrides: Unshared())
    assert run(monkeypatch, "noising=random") == "a claim failed: random"
    assert "FAILED" in capsys.readouterr().out


def test_command_explains_a_wrong_name_in_a_sentence(monkeypatch):
    assert run(monkeypatch, "noising=randon").endswith("; did you mean random?")


def test_configured_checks_its_options():
    with pytest.raises(GsdError, match="upsample"):
        configured(["noising=consistent", "noising.upsample=0"])


def test_moran_z_is_standardised():
    """Against the textbook double sum over a weight matrix."""
    maps = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(5), torch.arange(7), indexing="ij")
    y, x = y.flatten(), x.flatten()
    w = (((y[:, None] - y).abs() + (x[:, None] - x).abs()) == 1).double()
    n, total = 35, w.sum()
    s1, s2 = 0.5 * ((w + w.T) ** 2).sum(), ((w.sum(0) + w.sum(1)) ** 2).sum()
    variance = (n**2 * s1 - n * s2 + 3 * total**2) / ((n**2 - 1) * total**2) - 1 / (n - 1) ** 2
    for image, z in zip(maps, statistics.moran_z(maps), strict=True):
        c = image.flatten() - image.mean()
        index = n / total * (c @ w @ c) / (c @ c)
        assert z == pytest.approx(float((index + 1 / (n - 1)) / variance**0.5), rel=1e-6)


def test_statistics_agree_with_scipy_and_numpy():
    x = torch.randn(400, 6, generator=torch.Generator().manual_seed(1), dtype=torch.float64) ** 3
    assert statistics.excess_kurtosis(x) == pytest.approx(stats.kurtosis(x.numpy(), axis=None))
    assert torch.allclose(statistics.correlations(x, x), torch.corrcoef(x.T))


def test_surface_points_lie_on_the_union_and_carry_discs():
    scene = surface(20_000)
    assert (scene.scales[:, 2] < scene.scales[:, 0]).all()
    w, x, y, z = scene.quats.double().unbind(-1)
    normals = torch.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], -1)
    inward = scene.points.double() - normals * RADII.min()
    depth_below = torch.linalg.vector_norm(inward, dim=-1)  # a step inwards comes nearer to the centre of some sphere
    assert (depth_below < scene.points.norm(dim=-1) + 1e-6).float().mean() > 0.9
    spacing = 2 * scene.scales[0, 0]
    assert spacing**2 * 20_000 == pytest.approx(area(), rel=1e-5)


def test_correspondence_is_exact():
    coords, both = visible_in_both(cameras(10.0, 10.0))
    y, x = both.nonzero().T
    assert torch.allclose(coords[0][both], torch.stack([x, y], -1) + 0.5, atol=1e-4)
    assert 1000 < both.sum() < 2000
    assert visible_in_both(cameras(0.0, 180.0))[1].sum() == 0
