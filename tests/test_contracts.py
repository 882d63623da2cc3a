"""What every option of a group must do, whoever wrote it: one test per protocol, over every yaml of the group.

Options of one's own are held to it by GSD_CONF=FOLDER; without, the documented example is.
"""

import math
import sys
from dataclasses import replace

import pytest
import torch
from families import MAKERS, random_family
from launch import ROOT, launch
from quick_config import LISTED, SMALLEST, quick
from yardsticks import YARDSTICKS

from gsd import protocols, watching
from gsd.camera.orbit import Orbit
from gsd.cli.folders import CONF, VARIABLE, own_folders, use
from gsd.config import make
from gsd.geometry import geometry_at
from gsd.noising.check.reference import cameras, render, surface
from gsd.random import Stream
from gsd.rasterizer.ply import Splats, save_ply
from gsd.results.quantities import QUANTITIES
from gsd.schedule import Share, extremes
from gsd.types import (
    Cameras,
    Condition,
    Context,
    Noised,
    PointCloud,
    Score,
    StepState,
    TrackedResults,
    TrackedRow,
    TrackedRun,
)

CONTEXT = Context("a corgi", steps=10)
PROTOCOLS = {
    group: getattr(watching if group == "logger" else protocols, group.capitalize())
    for group in ("camera", "sigma", "prompting", "init", "prior", "representation", "guidance", "noising", *LISTED)
} | {"densify": protocols.Densifier}
MESH = "v 0 0 0\nv 1 0 0\nv 0 1 0\nv 0 0 1\nf 1 2 3\nf 1 2 4\n"
SMALL = ("camera.resolution=16", "prior.azimuths=12", "prior.elevations=[15]", "prior.variants=1", "init.points=80")
OWN = own_folders() or [ROOT / "docs" / "example"]


def options(group):
    return sorted({f.stem for folder in (CONF, *OWN) for f in (folder / group).glob("*.yaml")} - {"none"})


@pytest.fixture(scope="module", autouse=True)
def _own_folders():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "")
        patch.setattr(sys, "path", [*sys.path])
        use(OWN)
        yield


def built(group, name, folder=None, **context):
    """The object that GROUP=NAME makes."""
    small = [o for o in SMALL if o.split(".")[0] != group or name in ("menagerie", "shell", "orbit")]
    cfg = quick(*small, f"{group}=[{name}]" if group in LISTED else f"{group}={name}")
    section = cfg[group][name] if group in LISTED else cfg[group]
    if group == "init" and name == "point_cloud":
        section.path = str(folder / "cloud.npz")
    if group == "init" and name == "mesh":
        section.path = str(folder / "mesh.obj")
    if group == "init" and name == "run":
        section.path = str(launch(folder / "run", *SMALLEST, "metric=none"))
    if group == "init" and name == "shap_e":
        section.model, section.sampling_steps = str(folder), 2
    if group == "init" and name.startswith("point_e"):
        section.weights, section.clip, section.sampling_steps = str(folder), f"{folder}/clip", 4
    if group == "prior" and name in MAKERS:
        random_family(name, folder)
        section.model, section.resolution = str(folder), 16
    elif group == "metric" and name in YARDSTICKS:
        write, settings = YARDSTICKS[name]
        write(folder / name)
        section.update({key: value.format(folder=folder / name) for key, value in settings.items()})
    elif group == "prior" and name not in ("menagerie", "tiny"):
        from pipelines import random_controlnet, random_multiview, random_pipeline

        pipeline = (random_multiview if name == "mvdream" else random_pipeline)(folder)
        section.model = str(folder)
        if name == "threefuse":
            random_controlnet(folder / "controlnet", pipeline.unet)
            section.controlnet = str(folder / "controlnet")
    return make(section, group, replace(CONTEXT, **context), PROTOCOLS[group])


@pytest.fixture
def folder(tmp_path):
    import numpy as np

    (tmp_path / "mesh.obj").write_text(MESH)
    np.savez(tmp_path / "cloud.npz", xyz=np.random.default_rng(0).normal(size=(60, 3)))
    return tmp_path


@pytest.fixture(scope="module")
def prior():
    return built("prior", "menagerie")


@pytest.mark.parametrize("name", options("noising"))
def test_noising(name):
    """Its distribution is what gsd noising-check is for."""
    noising = built("noising", name)
    cams = cameras(0.0, 5.0, 10.0, size=32)[: noising.max_views]
    geometry = geometry_at(surface(2000), render(cams), cams, 16, 16)
    maps = noising(geometry, 5, Stream(0, "noising", 3))
    assert maps.shape == (len(cams), 5, 16, 16)
    assert maps.dtype == torch.float32
    assert not maps.requires_grad
    assert torch.equal(maps, noising(geometry, 5, Stream(0, "noising", 3)))


@pytest.mark.parametrize("name", options("camera"))
def test_camera(name):
    cams = built("camera", name)(Stream(0, "camera", 2))
    assert isinstance(cams, Cameras)
    assert (cams.group.diff() >= 0).all()
    assert torch.allclose(cams.viewmats[:, :3, :3].det(), torch.ones(len(cams)), atol=1e-5)


@pytest.mark.parametrize("name", options("sigma"))
def test_sigma(name):
    cams = Orbit(groups=3, views=4)(Stream(0, "camera"))
    for step in (0, 9):
        sigma = built("sigma", name)(cams, Stream(0, "sigma", step))
        assert (sigma > 0).all()
        for g in range(3):
            assert sigma[cams.group == g].unique().numel() == 1
        assert sigma.unique().numel() > 1


@pytest.mark.parametrize("name", options("prompting"))
def test_prompting(name):
    cams = Orbit(groups=3, views=2)(Stream(0, "camera"))
    condition = built("prompting", name)(cams)
    assert isinstance(condition, Condition)
    assert len(condition.texts) == 6
    assert all(text.startswith("a corgi") for text in condition.texts)
    assert condition.cameras is cams


@pytest.mark.parametrize("name", options("init"))
def test_init(name, folder, prior, monkeypatch):
    monkeypatch.setenv("GSD_CACHE", str(folder / "kept"))
    if name == "shap_e":
        from pretrained import random_shap_e

        random_shap_e(folder, monkeypatch)
    if name.startswith("point_e"):
        pytest.importorskip("point_e")
        from pretrained import random_point_e

        random_point_e(folder, monkeypatch)
    init = built("init", name, folder=folder)
    if isinstance(init, protocols.AsksPrior) and init.asks_prior:
        init.ask(prior)
    cloud = init(Stream(0, "init"))
    assert isinstance(cloud, PointCloud)
    assert cloud.xyz.norm(dim=-1).max() <= 1.0001
    assert cloud.xyz.isfinite().all()
    assert ((cloud.rgb >= 0) & (cloud.rgb <= 1)).all()


@pytest.mark.parametrize("name", options("prior"))
def test_prior(name, folder):
    prior = built("prior", name, folder=folder)
    if isinstance(prior, protocols.ConditionsOnPoints):
        prior.condition_on(PointCloud(0.3 * torch.randn(80, 3), torch.rand(80, 3)))
    views = prior.views or 2
    rgb = torch.rand(views, 3, 32, 32, requires_grad=True)
    z = prior.encode(rgb)
    assert z.shape[0] == views
    assert z.dim() == 4
    assert torch.autograd.grad(z.sum(), rgb)[0].abs().sum() > 0
    image = prior.decode(z.detach())
    assert image.shape[:2] == (views, 3)
    assert ((image >= 0) & (image <= 1)).all()
    cams = Orbit(views=views)(Stream(0, "camera"))
    for sigma in (0.03, 14.6):
        condition = Condition(("a corgi, front view",) * views, cams)
        clean = prior.denoise(z.detach(), torch.full((views,), sigma), condition)
        assert clean.shape == z.shape
        assert clean.isfinite().all()
        assert not clean.requires_grad


@pytest.mark.parametrize("name", options("guidance"))
def test_guidance(name, prior, folder, monkeypatch):
    guidance = built("guidance", name)
    if isinstance(guidance, protocols.Adapts):
        monkeypatch.setenv("GSD_CACHE", str(folder / "cache"))
        prior = built("prior", "stable_diffusion", folder=folder)
        guidance.attach(prior, Stream(0, "guidance"))
    z = torch.randn(prior.encode(torch.rand(2, 3, 16, 16)).shape)
    cameras = Orbit(views=2)(Stream(0, "camera"))
    condition = Condition(("a corgi",) * 2, cameras, opposite=Condition(("a corgi, back view",) * 2))
    given = Noised(z, torch.randn_like(z), torch.full((2,), 2.0), condition, Stream(0, "guidance", 3))
    score = guidance(prior, given)
    assert isinstance(score, Score)
    assert score.gradient.shape == z.shape
    assert score.gradient.isfinite().all()
    assert not score.gradient.requires_grad
    assert score.prior_calls >= 2


@pytest.mark.parametrize("name", options("guidance"))
def test_guidance_leads_to_what_the_prior_sees(name, prior, folder, monkeypatch):
    guidance, dtype = built("guidance", name), torch.float64
    if guidance.draws_own_noise:
        pytest.skip("does not follow the given noise")
    if isinstance(guidance, protocols.Adapts):
        monkeypatch.setenv("GSD_CACHE", str(folder / "cache"))
        prior, dtype = built("prior", "tiny"), torch.float32
        prior.prepare((*VIEWS, *guidance.texts))
        guidance.attach(prior, Stream(0, "guidance"))
    assert brings_nearer(guidance, prior, dtype)

    def flipped(*given):
        score = guidance(*given)
        return replace(score, gradient=-score.gradient)

    assert not brings_nearer(flipped, prior, dtype)


VIEWS = ("a corgi, front view", "a corgi, side view")
OPPOSITE = ("a corgi, back view", "a corgi, side view")


def brings_nearer(guidance, prior, dtype):
    """Whether one step of gradient descent brings each view's latents nearer to the image that the prior sees in them.

    They are undecided: what the prior sees in noise without a text. From there the text alone, its difference to the
    unconditional branch and any scale of guidance lead the same way.
    """
    shape = prior.encode(torch.rand(2, 3, 16, 16)).shape
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    sigma = torch.tensor([3.0, 8.0], dtype=dtype)
    level = sigma[:, None, None, None]
    condition = Condition(VIEWS, Orbit(views=2)(Stream(0, "camera")), opposite=Condition(OPPOSITE))
    z = prior.denoise(level * noise, sigma, condition.unconditional())
    seen = prior.denoise(z + level * noise, sigma, condition)
    gradient = guidance(prior, Noised(z, noise, sigma, condition, Stream(0, "guidance", 3))).gradient

    def distance(latents):
        return (latents - seen).flatten(1).norm(dim=1)

    rate = 0.01 * distance(z) / gradient.flatten(1).norm(dim=1)  # a hundredth of the way
    return bool((distance(z - rate[:, None, None, None] * gradient) < distance(z)).all())


@pytest.mark.parametrize("name", options("representation"))
def test_representation(name):
    points = PointCloud(0.3 * torch.randn(80, 3), torch.rand(80, 3))
    one, other = built("representation", name, points=points), built("representation", name, points=points)
    cams = Orbit(views=2, resolution=16)(Stream(0, "camera"))
    for _ in range(3):
        shown = one.render(cams)
        (shown.rgb.square().sum() + shown.depth.sum()).backward()
        one.step()
    assert shown.rgb.shape == (2, 3, 16, 16)
    assert shown.depth.shape == shown.alpha.shape == (2, 1, 16, 16)
    assert ((shown.alpha >= 0) & (shown.alpha <= 1)).all()
    scene = one.scene()
    assert scene.ids.unique().numel() == len(scene.points)
    assert all(value.ndim == 0 and value.isfinite() for value in one.vitals().values())
    other.restore(one.state())
    for part in (one, other):
        part.render(cams).rgb.sum().backward()
        part.step()
    assert torch.equal(one.render(cams).rgb, other.render(cams).rgb)


@pytest.mark.parametrize("name", [name for name in options("loss") if name != "crisp"])  # which is two of them
def test_loss(name):
    loss = built("loss", name)
    assert extremes(loss.weight.value if isinstance(loss.weight, Share) else loss.weight)[0] >= 0
    cams = cameras(0.0, 5.0, size=16)
    shown, z = render(cams), torch.randn(2, 4, 16, 16)
    shown = replace(shown, orientation=0.1 * shown.alpha)
    score = Score(z, torch.randn_like(z), torch.randn_like(z), 2)
    scene = surface(50)
    scene = type(scene)(scene.points, scene.ids, torch.full((50, 3), 0.1), None, torch.full((50,), 0.5))
    value = loss(
        StepState(0, cams, geometry_at(scene, shown, cams, 16, 16), z, torch.randn_like(z), torch.ones(2), score)
    )
    assert value.shape == ()
    assert value.isfinite()
    assert value >= 0


@pytest.mark.parametrize("name", options("metric"))
def test_metric(name, folder):
    from gsd.geometry import turntable

    metric = built("metric", name, folder)
    cams = turntable(12, 16)
    blank = type(render(cams))(torch.ones(12, 3, 16, 16), torch.zeros(12, 1, 16, 16), torch.zeros(12, 1, 16, 16))
    for key, value in metric(blank, cams, "a corgi").items():
        assert isinstance(value, float | list)
        if isinstance(value, float):  # tables and plots say what it is, and hold it to its range
            assert QUANTITIES[key].low <= value <= QUANTITIES[key].high or math.isnan(value)


@pytest.mark.parametrize("name", [n for n in options("logger") if n != "files"])
@pytest.mark.parametrize("left_by", [None, SystemExit(143), RuntimeError("failed")], ids=repr)
def test_logger(name, left_by, tmp_path, capsys):
    """It takes all that there is, and passes on what the run is left by."""
    import numpy as np
    from PIL import Image

    pytest.importorskip(name)
    logger = built("logger", name)
    Image.new("RGB", (8, 4)).save(tmp_path / "strip.png")
    for file in ("turntable.mp4", "config.yaml"):
        (tmp_path / file).write_bytes(b"content")
    three = torch.rand(4, 3)
    save_ply(tmp_path / "scene.ply", Splats(three, torch.rand(4, 4), three, torch.zeros(4), three[:, None]))
    config = {"noising": "random", "seed": 0, "config": {"prior": {"view_bias": 1.5}}}
    run = TrackedRun("0123abcd", "seed=0", "sweep", "preset", ("preset", "0a1b2c+"), config, tmp_path)
    cost = {"prior_calls": 4, "seconds": 0.5}
    histogram = (np.array([1, 2]), np.array([-1.0, 0.0, 1.0]))
    media = ({"pictures/strip": tmp_path / "strip.png"}, {"noise/histogram": histogram})
    rows = [TrackedRow(0, {"step": 0, "loss/score": 1e-9} | cost, *media), TrackedRow(1, {"step": 1} | cost)]
    points, curves = np.zeros((5, 6), np.float32), {"clip_view": {"front view": [0.1, 0.2]}}
    files = (tmp_path / "scene.ply", tmp_path / "config.yaml")
    results = TrackedResults(2, 2, {"janus": 1.0} | cost, tmp_path / "turntable.mp4", points, curves, files)
    left = None
    try:
        with logger(run) as tracker:
            assert tracker.known == 0
            tracker.log(rows[:1])
            tracker.log(rows[1:])
            if left_by is not None:
                raise left_by
            tracker.finish(results)
    except BaseException as error:
        left = error
    assert left is left_by
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    assert (captured.out + captured.err).count("\n") <= 1
