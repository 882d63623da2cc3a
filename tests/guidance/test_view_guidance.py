"""View guidance against independent lines, for every guidance that takes it."""

import json
from dataclasses import replace

import pytest
import torch
from launch import LIGHT, launch, records
from pipelines import random_multiview
from quick_config import quick
from views import looking
from worlds import RNG, TEXTS, exact, network, per_view

from gsd.config import make
from gsd.errors import GsdError
from gsd.experiment import build
from gsd.guidance.csd import CSD
from gsd.guidance.esd_exact import ExactESD
from gsd.guidance.ism import ISM
from gsd.guidance.nfsd import NFSD
from gsd.guidance.parts.branches import LEAST_NORM, View, contrast, guide, without_view
from gsd.guidance.rfds_rev import RFDSRev
from gsd.guidance.sdi import SDI
from gsd.guidance.sds import SDS
from gsd.guidance.sjc import SJC
from gsd.guidance.vsd import VSD
from gsd.prior.menagerie import Menagerie
from gsd.protocols import Prior, Prompting
from gsd.random import Stream
from gsd.results.outcome import outcome
from gsd.schedule import Step
from gsd.types import Condition, Context

BEHIND = ("a corgi, back view", "a corgi, side view")
FOUR = Step(kind="step", values=[4.0, 0.0], at=[RNG.step + 1])  # at the step of RNG
SMALL = (*LIGHT, "prior.azimuths=12", "prior.elevations=[15]", "prior.variants=1", "steps=3")
METHODS = {
    "sds": lambda **o: SDS(guidance_scale=7.5, weighting="uniform", **o),
    "sds, text alone": lambda **o: SDS(guidance_scale=1.0, weighting="uniform", **o),
    "sjc": lambda **o: SJC(guidance_scale=7.5, **o),
    "csd": lambda **o: CSD(weighting="uniform", **o),
    "nfsd": lambda **o: NFSD(weighting="uniform", **o),
    "ism": lambda **o: ISM(weighting="uniform", **o),
    "sdi": lambda **o: SDI(1.0, 1.0, weighting="uniform", **o),
    "rfds_rev": lambda **o: RFDSRev(guidance_scale=7.5, weighting="uniform", **o),
    "esd_exact": lambda **o: ExactESD(guidance_scale=7.5, weighting="uniform", **o),
}


def opposed(condition, **more):
    return replace(condition, opposite=Condition(BEHIND), **more)


@pytest.mark.parametrize("negatives", [None, ("ugly", "an owl")])
@pytest.mark.parametrize("name", METHODS)
def test_adds_the_difference_of_opposite_views(name, negatives, world, queries):
    """Where the guidance asks the prior, which for ism and sdi is at the end of an inverted path."""
    condition = opposed(world.condition, negatives=negatives)
    unled = world.run(METHODS[name](), condition=condition)
    assert not any(BEHIND[0] in texts for *_, texts in queries)
    queries.clear()
    led = world.run(METHODS[name](view_scale=FOUR), condition=condition)
    x, sigma, texts = queries[-1]
    assert texts[-2:] == BEHIND
    assert not any(BEHIND[0] in texts for *_, texts in queries[:-1])  # the inversion is left as it is
    difference = world.eps(x[:2], sigma[:2], TEXTS) - world.eps(x[:2], sigma[:2], BEHIND)
    assert world.near(led.gradient, unled.gradient + 4 * difference)
    assert world.near(led.view_delta, difference)
    assert led.prior_calls == unled.prior_calls + 2
    after = RNG.at(RNG.step + 1)
    ended, never = (world.run(METHODS[name](view_scale=s), condition=condition, rng=after) for s in (FOUR, 0.0))
    assert torch.equal(ended.gradient, never.gradient)
    assert (ended.prior_calls, ended.view_delta) == (never.prior_calls, None)


@pytest.mark.parametrize("projection", ["opposed", "all"])
@pytest.mark.parametrize("negatives", [None, ("ugly", "an owl")])
@pytest.mark.parametrize("name", METHODS)
def test_projection_takes_the_views_part_from_what_the_scale_multiplies(name, negatives, projection, world, queries):
    """With the scale that each method of METHODS has; of a text alone, the empty text is then asked for too."""
    behind = ("a corgi, back view", "a corgi, front view")
    condition = replace(world.condition, opposite=Condition(behind), negatives=negatives)
    led, projected = (
        world.run(METHODS[name](view_scale=4.0, view_projection=each), condition=condition)
        for each in ("none", projection)
    )
    x, sigma, _ = queries[-1]
    x, sigma = x[:2], sigma[:2]
    base = ("", "") if name == "nfsd" else negatives or ("", "")
    text, low, other = (world.eps(x, sigma, texts) for texts in (TEXTS, base, behind))
    scale = {"csd": 1.0, "sds, text alone": 1.0, "sdi": 1.0}.get(name, 7.5)
    for k in range(2):
        towards = (text - other)[k]
        # Inverted paths end on a picture, where the menagerie's texts differ by nothing but rounding
        along = ((text - low)[k] * towards).sum() / towards.square().sum().clamp(min=LEAST_NORM)
        assert name in ("ism", "sdi") or abs(along) > 0.01
        if projection == "opposed":
            along = min(along, 0 * along)
        expected = led.gradient[k] - scale * along * towards
        assert (projected.gradient[k] - expected).norm() < 1e-9 * (expected.norm() + text[k].norm())
    alone = name in ("sds, text alone", "sdi")
    assert projected.prior_calls == led.prior_calls + 2 * alone
    unled = [world.run(METHODS[name](view_projection=each), condition=condition) for each in ("none", projection)]
    assert torch.equal(unled[0].gradient, unled[1].gradient)  # without view guidance nothing is projected


def test_projection_by_the_sign_of_the_inner_product():
    view = torch.tensor([[3.0, 4.0], [3.0, 4.0], [0.0, 0.0]]).view(3, 1, 1, 2)
    direction = torch.tensor([[10.0, 5.0], [-10.0, -5.0], [1.0, 2.0]]).view(3, 1, 1, 2)
    aside = torch.tensor([[4.0, -3.0], [-4.0, 3.0], [1.0, 2.0]]).view(3, 1, 1, 2)  # 50 / 25 = 2 times the view is gone
    assert torch.equal(without_view(direction, view, "none"), direction)
    torch.testing.assert_close(without_view(direction, view, "all"), aside)
    torch.testing.assert_close(without_view(direction, view, "opposed"), torch.cat([direction[:1], aside[1:]]))


@pytest.mark.parametrize(("words", "against"), [(4.0, True), (16.0, False)])
def test_guidance_points_against_the_words_from_behind_where_the_bias_is_stronger(words, against):
    """At high noise, of the menagerie with view_bias 8: the theory of `without_view`."""
    prior = make(
        quick(*SMALL, "prior.view_bias=8", f"prior.view_words={words}").prior, "prior", Context("a corgi"), Prior
    )
    sigma = torch.tensor([60.0], dtype=torch.float64)
    x = sigma * torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    condition = Condition(("a corgi, back view",), opposite=Condition(("a corgi, front view",)))
    both = contrast(prior, x, sigma, condition, condition.unconditional(), view=View(1.0))
    assert both.view is not None
    assert ((both.direction * both.view).sum() < 0) == against


@pytest.fixture(scope="module")
def world():
    return exact()


@pytest.fixture
def queries(world, monkeypatch):
    """What the prior is asked: x, sigma and texts of every call."""
    found, denoise = [], world.prior.denoise

    def watched(x, sigma, condition):
        found.append((x, sigma, condition.texts))
        return denoise(x, sigma, condition)

    monkeypatch.setattr(world.prior, "denoise", watched)
    return found


def test_perp_neg_and_rescale_go_with_it(world):
    x, sigma = world.noised(), world.sigma
    weights = torch.tensor([[-1.5, -0.5]], dtype=torch.float64)
    condition = opposed(world.condition, against=(("an owl", "an owl"),), against_weights=weights)
    text, empty, owl, behind = (world.eps(x, sigma, texts) for texts in (TEXTS, ("", ""), ("an owl",) * 2, BEHIND))
    delta, other = text - empty, owl - empty
    along = (other * delta).sum((1, 2, 3)) / delta.square().sum((1, 2, 3))
    aside = per_view(weights[0]) * (other - per_view(along) * delta)
    eps = empty + 3 * (delta + aside) + 4 * (text - behind)
    eps = 0.3 * eps + 0.7 * eps * text.std((1, 2, 3), keepdim=True) / eps.std((1, 2, 3), keepdim=True)
    score = world.run(SDS(guidance_scale=3.0, view_scale=4.0, rescale=0.7), condition=condition)
    assert world.near(score.eps, eps)
    assert score.prior_calls == 8


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_networks(prediction, tmp_path, monkeypatch):
    """With sds and vsd, whose LoRA predicts what the text alone does before it has learnt."""
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    world = network(tmp_path / "model", prediction)
    condition, x = opposed(world.condition), world.noised()
    text, empty, behind = (world.eps(x, world.sigma, texts) for texts in (TEXTS, ("", ""), BEHIND))
    expected = empty + 3 * (text - empty) + 4 * (text - behind)
    assert world.near(world.run(SDS(guidance_scale=3.0, view_scale=4.0), condition=condition).eps, expected)
    vsd = VSD(Context("a corgi"), guidance_scale=3.0, view_scale=4.0, camera=False, weighting="uniform")
    vsd.attach(world.prior, Stream(0, "guidance"))
    score = world.run(vsd, condition=condition)
    assert world.near(score.gradient, expected - text)
    assert world.near(score.view_delta, text - behind)
    assert score.prior_calls == 6 + 2 + 2


def view(condition, k=0):
    """The words of a view and their weights."""
    others, blend = (condition.others, condition.blend.tolist()) if condition.others else (condition.texts, [0.0])
    words = {condition.texts[k]: 0.0, others[k]: 0.0}
    words[condition.texts[k]] += 1 - blend[k]
    words[others[k]] += blend[k]
    return {word: pytest.approx(weight, abs=1e-5) for word, weight in words.items() if weight > 1e-5}


@pytest.mark.parametrize("name", ["interpolated", "view_dependent", "perp_neg"])
@pytest.mark.parametrize(("azimuth", "elevation"), [(0, 0), (30, 0), (100, 20), (200, 59), (-60, 0), (20, 75)])
def test_the_opposite_text_is_that_of_the_turned_camera(name, azimuth, elevation):
    prompting = make(quick(f"prompting={name}").prompting, "prompting", Context("an owl"), Prompting)
    here, there = (prompting(looking(angle, elevation=elevation)) for angle in (azimuth, azimuth + 180))
    opposite = here.opposite_view()
    assert view(opposite) == view(there)
    assert opposite.cameras is here.cameras
    assert {*opposite.texts, *(opposite.others or ())} <= set(prompting.texts)


@pytest.mark.parametrize("name", ["interpolated", "view_dependent", "perp_neg"])
def test_away_from_plain_the_prompt_alone_is_the_other_text(name):
    settings = quick(f"prompting={name}", "prompting.away_from=plain").prompting
    prompting = make(settings, "prompting", Context("an owl"), Prompting)
    here = prompting(looking(0, 90, 180, -90))
    other = here.opposite_view()
    assert other.texts == ("an owl",) * 4
    assert (other.others, other.cameras) == (None, here.cameras)
    assert "an owl" in prompting.texts
    unbound = make(quick(f"prompting={name}").prompting, "prompting", Context("an owl"), Prompting)
    assert view(unbound(looking(0, 90, 180, -90))) == view(here)  # the views' own texts are as they were


def test_away_from_plain_a_side_without_a_name_is_led_too():
    """Of the prior's mean over sigma, since "side view" is its own opposite and the plain prompt is not."""
    prior = Menagerie(Context("a corgi"), resolution=16, azimuths=12, elevations=(15.0,), variants=1)
    x, sigma = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 5, torch.tensor([5.0])
    found = {}
    for kind in ("opposite", "plain"):
        settings = quick("prompting=view_dependent", f"prompting.away_from={kind}").prompting
        condition = make(settings, "prompting", Context("a corgi"), Prompting)(looking(90))
        found[kind] = guide(prior, x, sigma, condition, scale=1.0, view=View(3.0)).view
    assert float(found["opposite"].norm()) < 1e-4
    assert float(found["plain"].norm()) > 0.1


@pytest.mark.parametrize(
    ("prompting", "told"),
    [
        ("prompting=view_dependent", True),
        ("prompting=perp_neg", True),
        ("prompting=interpolated", False),
        ("prompting=perp_neg prompting.sides=named", False),
        ("prompting=view_dependent prompting.away_from=plain", False),
    ],
)
def test_sides_that_it_does_not_lead_are_told(prompting, told, caplog):
    build(quick(*prompting.split(), "guidance.view_scale=2"))
    assert ("leaves the sides to the prior's bias" in caplog.text) is told


def test_view_words_are_needed_and_cameras_contradict_them(tmp_path):
    late = "guidance.view_scale={kind: step, values: [0, 1], at: [500]}"
    with pytest.raises(GsdError, match=r"set prompting=interpolated, .* or guidance.view_scale=0"):
        build(quick(*SMALL, "prompting=plain", late))
    build(quick(*SMALL, "prompting=plain"))
    multiview = (*LIGHT, "prior=mvdream", f"prior.model={tmp_path}", "camera.views=4", "camera.delta_deg=90")
    random_multiview(tmp_path)
    with pytest.raises(GsdError, match=r"knows the cameras.* set guidance.view_scale=0"):
        build(quick(*multiview, late))


def test_a_run_counts_and_logs_it(tmp_path):
    schedule = "guidance.view_scale={kind: step, values: [2, 0], at: [2]}"
    folder = launch(tmp_path / "run", *SMALL, "guidance.guidance_scale=3", schedule)
    assert [record["prior_calls"] for record in records(folder)] == [6, 12, 16]
    first, _, last = records(folder)
    assert 0.01 < first["score/view_ratio"] < 10
    assert not {"score/view_ratio", "score/view_rms"} & last.keys()
    alone = launch(tmp_path / "alone", *SMALL, schedule)  # without guidance by the text: nothing to compare with
    assert "score/view_ratio" not in records(alone)[0]
    assert 1e-3 < records(alone)[0]["score/view_rms"] < 1


@pytest.mark.slow
def test_right_views_where_the_prior_asks_for_fronts_alone(tmp_path):
    """At view_bias 8 and view_words 4 even "back view" asks for a front. Equal prior calls, no guidance by the text."""
    world = ("prior.view_bias=8", "prior.azimuths=36", "prior.elevations=[15]", "prior.variants=1", "threads=1")
    views = ("camera.views=1", "camera.resolution=64", "camera.elevation=[10,20]", "images_every=0")
    judge = ("turntable.views=60", "turntable.resolution=64", "metric.truth.azimuths=36")
    sds = (*world, *views, *judge, "prompt=an elephant", "noising=random", "loss=none", "guidance.guidance_scale=1")
    found = {}
    for scale, steps in ((0, 1200), (5, 600)):
        folder = launch(tmp_path / str(scale), *sds, f"steps={steps}", f"guidance.view_scale={scale}")
        found[scale] = json.loads((folder / "summary.json").read_text())
    assert found[0]["prior_calls"] == found[5]["prior_calls"]
    assert outcome(found[0]) != "coherent"
    assert outcome(found[5]) == "coherent"
    assert found[5]["view_error_deg"] < 10 < found[0]["view_error_deg"]
