"""The truth metrics are right by construction for true, turned, two-faced and meaningless turntables."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from gsd.errors import GsdError
from gsd.geometry import angle_between, turntable
from gsd.menagerie import load, trace
from gsd.metric.parts.faces import count_faces
from gsd.metric.truth import Truth
from gsd.protocols import Metric
from gsd.types import Context, Render

VIEWS = 40
FAST = {"resolution": 32, "variants": 2, "azimuths": 36}


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GSD_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def _measure(figure, name, yaw=0.0, views=VIEWS, resolution=32, elevation=15.0, **options):
    cameras = turntable(views, resolution, elevation=elevation)
    render = trace(figure, turntable(views, resolution, elevation=elevation, start=yaw))
    return Truth(Context(name), **{**FAST, **options})(render, cameras, name)


@pytest.mark.parametrize("index", range(20))
def test_every_true_animal_has_one_face_at_any_yaw_and_its_two_faced_twin_two(index):
    name, creature = list(load().items())[index]
    variant, yaw = index % 2, (0.0, 2.5, 101.7, 312.2, 44.9)[index % 5]
    true = _measure(creature.figure(variant), name, yaw)
    assert true["face_count"] == true["front_count"] == 1
    assert true["janus"] == 0
    assert 0.25 <= true["face_fraction"] <= 0.4
    assert true["variant"] == variant
    assert true["view_error_deg"] <= 5
    assert true["psnr_aligned"] > 30
    assert float(angle_between(torch.tensor(true["yaw_deg"]), torch.tensor(yaw)).abs()) <= 1
    janus = _measure(creature.figure(variant).two_faced(), name, yaw)
    assert janus["janus"] == 1
    assert janus["face_count"] >= 2
    assert janus["psnr_aligned"] < true["psnr_aligned"] - 5


def test_a_perfect_copy_scores_the_cap_and_floats_are_plain():
    result = _measure(load()["fox"].figure(1), "fox", yaw=30.0, resolution=32)
    assert result["psnr_aligned"] == pytest.approx(100)
    assert result["yaw_deg"] == 30
    assert result["view_error_deg"] <= 2.5  # a quarter of the bank's step, as views fall between its azimuths
    assert all(type(value) is float for value in result.values())
    assert isinstance(Truth(Context("fox")), Metric)


def test_psnr_of_a_known_error():
    """A constant error of 0.01 in an opaque picture that stays in [0, 1] is 40 dB."""
    cameras = turntable(VIEWS, 32)
    render = trace(load()["fox"].figure(0), cameras)
    worse = Render(render.rgb - 0.01, render.depth, torch.ones_like(render.alpha))
    assert float(worse.rgb.min()) >= 0
    assert Truth(Context("fox"), **FAST)(worse, cameras, "fox")["psnr_aligned"] == pytest.approx(40, abs=0.01)


def test_the_order_and_resolution_of_the_views_do_not_matter():
    name, figure = "pig", load()["pig"].figure(0)
    cameras = turntable(VIEWS, 64)
    render = trace(figure, cameras)
    order = torch.randperm(VIEWS, generator=torch.Generator().manual_seed(0))
    shuffled = Render(render.rgb[order], render.depth[order], render.alpha[order])
    truth = Truth(Context(name), **FAST)
    assert truth(render, cameras, name) == truth(shuffled, cameras[order], name)
    assert truth(render, cameras, name)["psnr_aligned"] > 30


def test_other_elevations_are_known():
    assert _measure(load()["owl"].figure(0), "owl", elevation=28.0)["psnr_aligned"] == pytest.approx(100)


def test_a_faceless_animal_has_no_face():
    for name in ("cat with a hat", "penguin", "elephant"):
        figure = load()[name].figure(0)
        result = _measure(figure[~figure.face], name)
        assert result["face_fraction"] == 0
        assert result["janus"] == 0


@pytest.mark.parametrize("name", ["penguin", "corgi", "owl"])
def test_the_verdict_survives_an_imperfect_copy(name):
    """Smooth blotches of colour at 25 dB, about what a good run leaves, neither make nor hide a second face."""
    cameras, generator = turntable(VIEWS, 32), torch.Generator().manual_seed(0)
    blotches = interpolate(torch.randn(VIEWS, 3, 8, 8, generator=generator), (32, 32), mode="bicubic")
    blotches *= 10 ** (-25 / 20) / blotches.square().mean().sqrt()
    figure = load()[name].figure(0)
    for shape, janus in ((figure, 0), (figure.two_faced(), 1)):
        render = trace(shape, cameras)
        spoilt = Render((render.rgb + blotches).clamp(0, 1), render.depth, render.alpha)
        assert Truth(Context(name), **FAST)(spoilt, cameras, name)["janus"] == janus


def _from_everywhere(figure, azimuth):
    """One view of a figure, shown to every camera of the turntable."""
    picture = trace(figure, turntable(1, 32, start=azimuth))
    render = Render(*(t.expand(VIEWS, *t.shape[1:]) for t in (picture.rgb, picture.depth, picture.alpha)))
    return Truth(Context("owl"), **FAST)(render, turntable(VIEWS, 32), "owl")


def test_the_same_front_from_everywhere_is_janus():
    result = _from_everywhere(load()["owl"].figure(0), 0.0)
    assert result["face_fraction"] == 1
    assert result["face_count"] == result["front_count"] == 3
    assert result["janus"] == 1


def test_a_front_from_everywhere_is_janus_even_when_its_face_has_melted():
    figure = load()["owl"].figure(0)
    result = _from_everywhere(figure[~figure.face], 0.0)
    assert result["face_count"] == 0
    assert result["front_count"] == 3
    assert result["janus"] == 1


def test_a_back_from_everywhere_is_wrong_but_not_janus():
    result = _from_everywhere(load()["owl"].figure(0), 180.0)
    assert result["face_count"] == result["front_count"] == result["janus"] == 0
    assert result["view_error_deg"] > 60


@pytest.mark.parametrize("kind", ["white", "black", "grey", "noise"])
def test_meaningless_turntables_show_nothing(kind):
    rgb = torch.full((VIEWS, 3, 32, 32), {"white": 1.0, "black": 0.0}.get(kind, 0.5))
    if kind == "noise":
        rgb = torch.rand(rgb.shape, generator=torch.Generator().manual_seed(1))
    cameras = turntable(VIEWS, 32)
    result = Truth(Context("a corgi"), **FAST)(Render(rgb, rgb[:, :1], rgb[:, :1]), cameras, "a corgi")
    assert (result["face_count"], result["face_fraction"], result["janus"]) == (0, 0, 0)
    assert result["view_error_deg"] == 90
    assert result["empty"] == 1
    assert all(torch.isfinite(torch.tensor(value)) for value in result.values())


@pytest.mark.parametrize("name", ["owl", "corgi", "elephant"])
def test_a_ball_of_one_colour_is_empty_and_not_janus(name):
    figure = load()[name].figure(0)
    ball = figure[np.arange(len(figure)) == 0]
    colour = np.full_like(ball.colours, figure.colours.mean())
    result = _from_everywhere(replace(ball, centres=np.zeros((1, 3)), radii=np.full((1, 3), 0.5), colours=colour), 0.0)
    assert (result["empty"], result["janus"], result["face_count"], result["view_error_deg"]) == (1, 0, 0, 90)


def test_fog_is_measured_where_the_animal_is_not():
    figure, cameras = load()["owl"].figure(0), turntable(VIEWS, 64)
    clear = trace(figure, cameras)
    hazy = replace(clear, alpha=clear.alpha.clamp(min=0.1))
    results = [Truth(Context("owl"), **FAST)(show, cameras, "owl") for show in (clear, hazy)]
    assert [result["empty"] for result in results] == [0, 0]
    assert results[0]["fog"] < 0.003  # what the best yaw, half a degree off at most, lets stand over
    assert results[1]["fog"] == pytest.approx(0.1, abs=0.003)
    assert results[0]["foggy_fraction"] < 0.02
    assert results[1]["foggy_fraction"] > float((clear.alpha == 0).float().mean())


@pytest.mark.parametrize(
    ("runs", "count"),
    [
        ([(0, 40)], 1),
        ([(100, 140)], 1),  # across azimuth 0
        ([(0, 40), (60, 100)], 2),
        ([(0, 15), (25, 40)], 1),  # one face, not recognised from its very front
        ([(0, 40), (60, 62)], 1),  # a flicker
        ([(0, 40), (60, 66)], 2),
        ([(0, 54)], 1),
        ([(0, 55)], 2),  # wider than any one face
        ([(0, 120)], 3),
        ([], 0),
    ],
)
def test_faces_are_counted_around_the_circle(runs, count):
    face = torch.zeros(120, dtype=torch.bool)
    for first, last in runs:
        face[torch.arange(first, last) % 120] = True
    for shift in (0, 17, 60):
        assert count_faces(face.roll(shift)) == count


def test_unknown_subjects_are_refused_at_construction():
    with pytest.raises(GsdError, match=r"compares with the menagerie.*metric=\[\]"):
        Truth(Context("a bicycle"))


GEOMETRY = ("depth_error", "chamfer", "silhouette_iou", "ssim_aligned", "gmsd_aligned")


def test_geometry_is_that_of_the_best_yaw():
    perfect = _measure(load()["fox"].figure(1), "fox", yaw=30.0)
    assert [perfect[key] for key in GEOMETRY] == [0, 0, 1, 1, 0]
    off = _measure(load()["fox"].figure(1), "fox", yaw=33.3)  # the best yaw lies within half a degree
    assert off["depth_error"] < 0.005
    assert off["chamfer"] < 0.005
    assert off["silhouette_iou"] > 0.97
    assert off["ssim_aligned"] > 0.95
    janus = _measure(load()["fox"].figure(1).two_faced(), "fox", yaw=30.0)
    assert janus["chamfer"] > 0.02
    assert janus["ssim_aligned"] < 0.9
    assert janus["gmsd_aligned"] > 0.05


def test_depth_error_of_a_known_error():
    """Colours as they should be, every depth 0.04 too far: nothing but the geometry is worse."""
    cameras = turntable(VIEWS, 32, start=20.0)
    render = trace(load()["pig"].figure(0), turntable(VIEWS, 32))
    worse = Render(render.rgb, (render.depth + 0.04) * (render.alpha > 0), render.alpha)
    right, wrong = (Truth(Context("pig"), **FAST)(r, cameras, "pig") for r in (render, worse))
    assert (right["depth_error"], right["chamfer"]) == pytest.approx((0, 0), abs=1e-6)
    assert wrong["depth_error"] == pytest.approx(0.04, abs=1e-6)
    assert 0.01 < wrong["chamfer"] <= 0.04  # the nearest point lies across the surface, not along the ray
    for key in right.keys() - {"depth_error", "chamfer"}:
        assert wrong[key] == right[key]


@pytest.mark.parametrize("background", ["black", "sky"])
def test_the_background_does_not_matter(background):
    """Black as Gaussians may have it, or a picture of its own in every view as a radiance field may."""
    cameras = turntable(VIEWS, 48)
    figure = load()["penguin"].figure(0)
    white = trace(figure, cameras)
    bare = trace(figure, cameras, background=(0.0, 0.0, 0.0)).rgb
    behind = torch.zeros_like(bare)
    if background == "sky":
        behind += 0.3 + 0.4 * torch.linspace(0, 1, 48)[:, None] * torch.tensor([0.5, 0.7, 1.0]).view(3, 1, 1)
    other = Render(bare + (1 - white.alpha) * behind, white.depth, white.alpha)
    right, found = (Truth(Context("penguin"), **FAST)(r, cameras, "penguin") for r in (white, other))
    # behind the edges of the animal stands the mean of a background that varies
    assert found["psnr_aligned"] == pytest.approx(right["psnr_aligned"], abs={"black": 0.01, "sky": 3.0}[background])
    for key in ("janus", "face_count", "front_count", "variant", "yaw_deg", "silhouette_iou", "depth_error"):
        assert found[key] == right[key]


@pytest.mark.slow
@pytest.mark.parametrize("name", list(load()))
def test_no_true_animal_is_janus_and_every_two_faced_one_is(name):
    """All variants that the prior has, at the default settings and resolution of a run, at yaws on no grid."""
    cameras = turntable(120, 64)
    truth = Truth(Context(name))
    for variant in range(4):
        figure = load()[name].figure(variant)
        for yaw in (0.0, 127.1, 298.9):
            true = truth(trace(figure, turntable(120, 64, start=yaw)), cameras, name)
            assert (true["janus"], true["face_count"], true["front_count"]) == (0, 1, 1), (variant, yaw)
            if yaw > 180:
                twin = truth(trace(figure.two_faced(), turntable(120, 64, start=yaw)), cameras, name)
                assert twin["janus"] == 1, (variant, yaw)
