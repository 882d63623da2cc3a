"""init=run: the scene that another run has ended with, whole or as points on its surface."""

import json
import math
import shutil

import pytest
import torch
from launch import LIGHT, SMALL, config, crash, launch, same
from omegaconf import OmegaConf
from quick_config import quick

from gsd.errors import GsdError
from gsd.experiment import build
from gsd.geometry import turntable
from gsd.identity import identity
from gsd.init.parts import surface
from gsd.init.parts.surface import surface_points
from gsd.prior.stable_diffusion import StableDiffusion
from gsd.random import Stream
from gsd.results.scene import load
from gsd.tools import evaluate
from gsd.tools.init import main as init_main
from gsd.types import Render

CPU = torch.device("cpu")
FEW = (*SMALL, "metric=none", "loss=none", "noising=random")
FIELD = ("representation=instant_ngp", "representation.levels=3", "representation.log2_table=9")


@pytest.fixture(scope="module")
def gaussians(tmp_path_factory):
    """A run whose Gaussians are no longer as many as they were, nor their ids 0, 1, 2 ..."""
    growing = ("densify=default", "densify.start=1", "densify.every=3", "densify.grow_gradient=1e-6")
    return launch(tmp_path_factory.mktemp("gaussians") / "run", *FEW, *growing, "steps=9", "seed=1")


@pytest.fixture(scope="module")
def field(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("field") / "run", *FEW, *FIELD, "steps=9", "seed=1")


@pytest.fixture
def not_loaded(monkeypatch):
    monkeypatch.setattr(StableDiffusion, "network_class", lambda self: pytest.fail("the prior is loaded"))


def started(folder, *overrides):
    """The experiment that starts from a run."""
    return build(quick(*(o for o in FEW if not o.startswith("init.")), "init=run", f"init.path={folder}", *overrides))


def test_gaussians_go_on_whole_with_a_fresh_optimiser(gaussians):
    theirs, _ = load(gaussians, 0, CPU)
    ours = started(gaussians).representation
    assert ours.ids.tolist() == theirs.ids.tolist() != list(range(len(theirs.ids)))
    assert ours.params.keys() == theirs.params.keys()
    assert all(torch.equal(ours.params[name], theirs.params[name]) for name in theirs.params)
    assert theirs.optimizer.state_dict()["state"]
    assert not ours.optimizer.state_dict()["state"]
    assert (theirs.steps_taken, ours.steps_taken) == (9, 0)
    cams = turntable(2, 16)
    assert torch.equal(ours.render(cams).depth, theirs.render(cams).depth)


def test_scenes_of_a_run_start_alike_and_go_their_own_ways(gaussians):
    one, other = started(gaussians, "particles=2").representation.scenes
    assert torch.equal(one.params["means"], other.params["means"])
    with torch.no_grad():
        one.params["means"] += 1
    assert not torch.equal(one.params["means"], other.params["means"])


def test_a_field_goes_on_whole_with_a_fresh_optimiser(field):
    theirs, _ = load(field, 0, CPU)
    ours = started(field, *FIELD).representation
    assert {k: v.tolist() for k, v in ours.named_parameters()} == {k: v.tolist() for k, v in theirs.named_parameters()}
    assert torch.equal(ours.occupancy.thickness, theirs.occupancy.thickness)
    assert torch.equal(ours.scene().points, theirs.scene().points)
    assert not ours.optimizer.state_dict()["state"]
    cams = turntable(2, 16)
    with torch.no_grad():
        assert torch.equal(ours.render(cams).rgb, theirs.render(cams).rgb)


def test_a_field_takes_up_another_background(field):
    """Where one side has no network of the environment."""
    assert started(field, *FIELD, "representation.background=environment").representation.environment is not None
    assert started(field, *FIELD, "representation.background=black").representation.background == "black"


@pytest.fixture
def few_pixels(monkeypatch):
    monkeypatch.setattr(surface, "PIXELS", 12)
    monkeypatch.setattr(surface, "AZIMUTHS", 4)


def test_gaussians_start_on_the_surface_of_a_field(field, few_pixels):
    ours = started(field, "init.points=200", "representation.opacity=0.7").representation
    theirs, _ = load(field, 0, CPU)
    assert len(ours.params["means"]) == 200
    assert torch.allclose(ours.params["opacity_logits"].sigmoid(), torch.tensor(0.7))
    density, _ = theirs.field(ours.params["means"].detach())
    elsewhere, _ = theirs.field(0.9 * torch.nn.functional.normalize(torch.randn(200, 3), dim=-1))
    assert density.median() > 5 * elsewhere.median()
    again = started(field, "init.points=200", "representation.opacity=0.7").representation
    assert torch.equal(ours.params["means"], again.params["means"])
    other = started(field, "init.points=200", "seed=5").representation
    assert not torch.equal(ours.params["means"], other.params["means"])


RADIUS = 0.6


def ball(view, alpha):
    """A ball, ray by ray, as opaque as `alpha` everywhere."""
    size = view.height
    rgb, depth, covered = (torch.zeros(1, channels, size, size) for channels in (3, 1, 1))
    rotation, shift = view.viewmats[0, :3, :3], view.viewmats[0, :3, 3]
    eye = -rotation.T @ shift
    for row in range(size):
        for column in range(size):
            pixel = torch.tensor([column + 0.5, row + 0.5, 1.0])
            ray = rotation.T @ torch.linalg.solve(view.Ks[0], pixel)  # one unit of z in the camera
            a, b, c = ray @ ray, eye @ ray, eye @ eye - RADIUS**2
            hit = b * b - a * c
            if hit > 0:
                depth[0, 0, row, column] = (-b - math.sqrt(hit)) / a
                covered[0, 0, row, column] = alpha
    return Render(rgb, depth, covered)


class Balls:
    """A ball of an opacity whose top has no density: rays that end there have met no surface."""

    def __init__(self, alpha):
        self.alpha = alpha

    def render(self, view):
        return ball(view, self.alpha)

    def field(self, xyz):
        return 100.0 * ((xyz.norm(dim=-1) - RADIUS).abs() < 1e-3) * (xyz[:, 2] < 0.3), 0.5 + 0.5 * xyz


def test_surface_points_are_where_rays_end_in_the_fields_colours(few_pixels):
    cloud = surface_points(Balls(0.9), 200, CPU, Stream(0, "init"), "it")
    assert cloud.xyz.shape == (200, 3)
    assert torch.allclose(cloud.xyz.norm(dim=-1), torch.tensor(RADIUS), atol=1e-4)
    assert torch.allclose(cloud.rgb, 0.5 + 0.5 * cloud.xyz)
    assert (cloud.xyz.amax(0)[:2] > 0.4).all()  # from all sides
    assert 0.2 < cloud.xyz[:, 2].max() < 0.3  # but where there is nothing
    assert (cloud.xyz.amin(0) < -0.4).all()
    with pytest.raises(GsdError, match="it shows no surface"):
        surface_points(Balls(0.7), 200, CPU, Stream(0, "init"), "it")


def changed(folder, tmp_path, change):
    copy = shutil.copytree(folder, tmp_path / "copy")
    change(copy)
    return copy


def write(name, content):
    return lambda folder: (folder / name).write_text(content)


def remove(*names):
    return lambda folder: [(folder / name).unlink() for name in names]


def fail(folder):
    (folder / "DONE").unlink()
    (folder / "FAILED").write_text("Step 3: loss is not finite.\n")


REFUSED = {
    "not done": (remove("DONE"), "this run is not done; repeat its command"),
    "failed": (fail, "has failed .Step 3: loss is not finite"),
    "no config": (remove("config.yaml"), "is no run folder: it has no config.yaml"),
    "another layout": (write("config.yaml", "model: x\nsteps: 3\n"), "is not a run's: it lacks"),
    "no checkpoint": (remove("checkpoint.pt"), "has no checkpoint yet"),
    "damaged": (write("checkpoint.pt", "nonsense"), "checkpoint.pt is damaged"),
    "a class of its own": (write("config.yaml", "representation: {_target_: os.system}"), "was not imported"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_no_finished_run_is_refused_before_the_prior_is_loaded(case, gaussians, tmp_path, not_loaded):
    change, sentence = REFUSED[case]
    with pytest.raises(GsdError, match=sentence):
        started(changed(gaussians, tmp_path, change), "prior=tiny")


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (FIELD, "scene of Gaussians, and InstantNGP does not start at points"),
        (("representation.sh_degree=2",), "other sizes than this run's; set representation.sh_degree=0"),
        (("init.particle=1",), r"init.particle=1: .* has one scene, number 0"),
        (("init.path=/not/there",), "init.path=/not/there: no such folder"),
        (("init.path=stage:coarse",), "is a stage of the run's own"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_prior_is_loaded(overrides, sentence, gaussians, not_loaded):
    with pytest.raises(GsdError, match=sentence):
        started(gaussians, "prior=tiny", *overrides)


def test_sizes_of_a_field_are_named_with_theirs(field):
    with pytest.raises(GsdError, match=r"set representation.bound=1.0 representation.levels=3 representation.blob_den"):
        started(field, *FIELD, "representation.levels=4", "representation.bound=2.0", "representation.blob_density=5.0")


def of(folder):
    return identity(config("init=run", f"init.path={folder}"))


def test_the_scene_counts_and_neither_the_clock_nor_the_place(gaussians, tmp_path, monkeypatch):
    first = of(gaussians)
    again = launch(tmp_path / "again", *OmegaConf.load(gaussians / "overrides.yaml"))
    assert (again / "checkpoint.pt").read_bytes() != (gaussians / "checkpoint.pt").read_bytes()  # the seconds
    monkeypatch.chdir(tmp_path)
    assert of("again").signature == of(again).signature == first.signature
    assert of("again").unlike(first) == {}
    from gsd.results.runs import Run

    evaluate.evaluate(Run(again), config("metric=[reprojection]").metric, CPU, 8, 16)
    assert (again / "evaluation.json").exists()
    assert of("again").signature == first.signature
    state = torch.load(again / "checkpoint.pt", weights_only=True)
    state["representation"]["params"]["means"][0, 0] += 1e-6
    torch.save(state, again / "checkpoint.pt")
    assert of("again").unlike(of(gaussians))["init.path"]
    shutil.copy(gaussians / "checkpoint.pt", again / "checkpoint.pt")
    assert of("again").signature == first.signature
    whose = json.loads((again / "identity.json").read_text())
    whose["settings"]["representation.sh_degree"] = 3
    (again / "identity.json").write_text(json.dumps(whose))
    assert of("again").signature != first.signature


def test_a_run_from_a_run_that_was_stopped_ends_with_the_same_bits(gaussians, tmp_path, monkeypatch):
    given = (*(o for o in LIGHT if not o.startswith("init.")), "init=run", f"init.path={gaussians}", "steps=8")
    straight = launch(tmp_path / "straight", *given)
    back = crash(monkeypatch, 6)
    with pytest.raises(RuntimeError):
        launch(tmp_path / "stopped", *given)
    back()
    same(launch(tmp_path / "stopped", *given), straight)


def test_a_surface_can_be_looked_at_first(field, tmp_path, call, capsys, few_pixels):
    call(init_main, "init=run", f"init.path={field}", "init.points=50", "--out", tmp_path / "surface.npz")
    assert "50 points" in capsys.readouterr().out
