"""metric=clip_view on true animals at any yaw, on made-up curves of which all is known, and beside plain open_clip."""

import numpy as np
import pytest
import torch
from PIL import Image

from gsd.geometry import angle_between, turntable
from gsd.menagerie import load, trace
from gsd.metric.clip_score import ClipScore
from gsd.metric.clip_view import WORDS, ClipView, classified, harmonic
from gsd.metric.parts.clip import TINY
from gsd.protocols import Metric
from gsd.types import Render

VIEWS = 40
CURVES = [f"clip_{word}" for word in WORDS]


def _measure(figure, prompt, yaw=0.0, resolution=64, **options):
    render = trace(figure, turntable(VIEWS, resolution, start=yaw))
    return ClipView(**options)(render, turntable(VIEWS, resolution), prompt)


@pytest.mark.parametrize(("name", "yaw"), [("corgi", 0.0), ("pug", 81.0), ("frog", 198.0), ("meercat", 306.0)])
def test_a_true_animal_has_its_front_where_it_looks(name, yaw):
    figure = load()[name].figure(3)  # never trained on
    result = _measure(figure, f"a full body of a {name}", yaw)
    assert float(angle_between(torch.tensor(result["clip_yaw_deg"]), torch.tensor(yaw)).abs()) <= 15
    assert result["clip_view_accuracy"] >= 0.85  # a view on a border may be told either way
    assert result["clip_janus_share"] == 0
    assert 0 < result["clip_margin_low"] < result["clip_margin"] < result["clip_margin_high"]
    assert result["clip_margin"] <= 1.05 * result["clip_harmonic"]
    nearest_to_front = 9.0 * int(np.argmax(result["clip_front"]))  # degrees of azimuth
    assert float(angle_between(torch.tensor(nearest_to_front), torch.tensor(-yaw)).abs()) <= 45
    straight = _measure(figure, f"a full body of a {name}")
    for curve in CURVES:  # turning the object turns the curve: yaws are whole views here
        assert np.allclose(np.roll(straight[curve], -int(yaw / 9)), result[curve], atol=1e-4)


def test_a_two_faced_animal_has_its_front_twice():
    figure = load()["teddy bear"].figure(3)
    true, janus = (_measure(f, "a teddy bear") for f in (figure, figure.two_faced()))
    assert janus["clip_janus_share"] >= 0.5 > true["clip_janus_share"]
    assert janus["clip_view_accuracy"] < true["clip_view_accuracy"] - 0.2
    assert janus["clip_harmonic"] < true["clip_harmonic"] / 3


def test_values_are_plain_and_curves_have_a_value_a_view():
    result = _measure(load()["owl"].figure(0), "an owl")
    assert isinstance(ClipView(), Metric)
    for name, value in result.items():
        assert type(value) is (list if name in CURVES else float)
    for curve in CURVES:
        assert len(result[curve]) == VIEWS
        assert all(type(value) is float and -1 <= value <= 1 for value in result[curve])


def test_the_curves_are_those_of_plain_open_clip():
    """On 8-bit images through open_clip's own preprocessing, model and tokenizer."""
    import open_clip

    cameras = turntable(6, 256)
    render = trace(load()["fox"].figure(1), cameras)
    result = ClipView(chunk=4)(render, cameras, "a fox")
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{TINY}")
    model.eval()
    pixels = (render.rgb * 255).round().byte().permute(0, 2, 3, 1).numpy()
    with torch.no_grad():
        images = model.encode_image(torch.stack([preprocess(Image.fromarray(p)) for p in pixels]))
        texts = model.encode_text(open_clip.get_tokenizer(f"local-dir:{TINY}")([f"{w} view of a fox" for w in WORDS]))
    cosines = torch.nn.functional.cosine_similarity(images[:, None], texts[None], dim=-1)
    for i, curve in enumerate(CURVES):
        assert np.allclose(result[curve], cosines[:, i], atol=0.01)


def test_order_resolution_and_chunks_of_the_views_do_not_matter():
    cameras = turntable(VIEWS, 128)
    render = trace(load()["pig"].figure(0), cameras)
    order = torch.randperm(VIEWS, generator=torch.Generator().manual_seed(0))
    shuffled = Render(render.rgb[order], render.depth[order], render.alpha[order])
    one = ClipView()(render, cameras, "a pig")
    other = ClipView(chunk=7)(shuffled, cameras[order], "a pig")
    small = _measure(load()["pig"].figure(0), "a pig")
    for curve in CURVES:
        assert np.allclose(one[curve], other[curve], atol=1e-5)
        assert np.abs(np.subtract(one[curve], small[curve])).mean() < 0.03
    assert one["clip_yaw_deg"] == other["clip_yaw_deg"]


def test_both_metrics_share_one_model():
    assert ClipView().clip is ClipView(chunk=3).clip is ClipScore().clip is ClipScore(str(TINY)).clip


AROUND = np.arange(120) * 3.0


@pytest.mark.parametrize("yaw", [0.0, 130.0, 251.5])
def test_the_harmonic_of_a_wave(yaw):
    """Offset and second harmonic are no part of it; a yaw that is 60 degrees off sees half."""
    angle = np.deg2rad(AROUND + yaw)
    margin = 0.3 + 0.07 * np.cos(angle) + 0.02 * np.cos(2 * angle)
    for off, along in ((0.0, 0.07), (60.0, 0.035), (180.0, -0.07)):
        result = harmonic(margin, AROUND, yaw + off)
        assert result["clip_harmonic"] == pytest.approx(0.07)
        assert result["clip_margin"] == pytest.approx(along)
        assert along - 0.02 < result["clip_margin_low"] < along < result["clip_margin_high"] < along + 0.02


def test_the_interval_holds_the_true_margin():
    """Of a wave with noise whose arcs are independent, at a yaw that is known: as often as it says."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(200):
        noise = np.repeat(rng.normal(size=12), 10)
        result = harmonic(np.cos(np.deg2rad(AROUND)) + noise, AROUND, 0.0)
        held += result["clip_margin_low"] <= 1 <= result["clip_margin_high"]
    assert held == pytest.approx(190, abs=9)  # three standard deviations


@pytest.mark.parametrize("views", [1, 2, 8, 12])
def test_few_views_have_numbers_too(views):
    azimuth = np.arange(views) * 360 / views
    result = harmonic(np.cos(np.deg2rad(azimuth)), azimuth, 0.0)
    assert result["clip_harmonic"] <= 1 + 1e-9
    if views >= 8:
        assert result["clip_margin"] == pytest.approx(1)


def _perfect(yaw):
    """Cosines of a model that knows: 0.9 for the right word, 0.1 for the others."""
    away = angle_between(torch.from_numpy(AROUND).float() + yaw, torch.zeros(120)).abs()
    word = torch.where(away <= 45, 0, torch.where(away <= 135, 1, 2))
    return 0.1 + 0.8 * torch.nn.functional.one_hot(word, 3).float()


@pytest.mark.parametrize("yaw", [0.0, 77.0, 300.0])
def test_a_model_that_knows_is_right_after_the_yaw(yaw):
    result = classified(_perfect(yaw), torch.from_numpy(AROUND).float())
    assert result["clip_view_accuracy"] == 1
    assert result["clip_janus_share"] == 0
    assert float(angle_between(torch.tensor(result["clip_yaw_deg"]), torch.tensor(yaw)).abs()) <= 3


def test_fronts_everywhere_are_janus_and_a_blind_guess():
    cosines = torch.tensor([0.9, 0.5, 0.1]).expand(120, 3)
    result = classified(cosines, torch.from_numpy(AROUND).float())
    assert result["clip_view_accuracy"] == pytest.approx(1 / 3)
    assert result["clip_janus_share"] == 1


def test_a_second_face_on_the_back_is_janus():
    cosines = _perfect(20.0)
    cosines[cosines[:, 2] > 0.5] = torch.tensor([0.9, 0.1, 0.1])
    result = classified(cosines, torch.from_numpy(AROUND).float())
    assert result["clip_janus_share"] == 1
    assert result["clip_view_accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("kind", ["white", "noise"])
def test_meaningless_turntables_show_no_front(kind):
    rgb = torch.rand(VIEWS, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    if kind == "white":
        rgb = torch.ones_like(rgb)
    nothing = torch.zeros(VIEWS, 1, 64, 64)
    result = ClipView()(Render(rgb, nothing, nothing), turntable(VIEWS, 64), "an owl")
    assert result["clip_margin_low"] <= 1e-6
    assert result["clip_harmonic"] < 0.02
    assert result["clip_view_accuracy"] <= 0.67


@pytest.mark.parametrize("kind", [ClipView, ClipScore])
def test_a_subject_that_the_small_model_never_saw_is_told(kind, caplog):
    metric = kind()
    views, cameras = trace(load()["fox"].figure(0), turntable(8, 32)), turntable(8, 32)
    metric(views, cameras, "a fox")
    assert not caplog.records
    metric(views, cameras, "a DSLR photo of a motorbike")
    assert "mean nothing here" in caplog.text
    assert ".model=ViT-B-32" in caplog.text
