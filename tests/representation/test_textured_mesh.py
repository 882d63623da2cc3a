"""A mesh with a texture: what it shows and how that depends on the texture, and whole runs from other scenes."""

import numpy as np
import pytest
import torch
import trimesh
from launch import SMALL, config, crash, launch, same
from quick_config import quick

from gsd.browser.splats import Drawing
from gsd.errors import GsdError
from gsd.experiment import build
from gsd.geometry import turntable
from gsd.identity import identity
from gsd.loop import optimise
from gsd.meshing import views
from gsd.meshing.extract import points_on
from gsd.meshing.triangles import rasterise
from gsd.representation.textured_mesh import Textured
from gsd.results.scene import load
from gsd.tools.export.__main__ import main as export
from gsd.types import Context, PointCloud

CPU = torch.device("cpu")
FEW = (*(o for o in SMALL if not o.startswith("init.")), "metric=none", "loss=none", "noising=random")
MESH = ("representation=textured_mesh", "representation.texture=32", "representation.faces=300")
MESH += ("representation.voxels=16", "init.points=200")


def cloud(count=60, seed=0):
    generator = torch.Generator().manual_seed(seed)
    xyz = 0.4 * torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return PointCloud(xyz, 0.5 + xyz)


@pytest.fixture(scope="module")
def scene():
    options = {"texture": 12, "faces": 60, "voxels": 12}
    return Textured(Context(points=cloud()), **options)


def shown_slowly(scene, cameras, texture):
    """Pixel by pixel and ray by ray, the texture's four texels by hand."""
    rays, side = scene.rays, texture.shape[-1]
    fine = cameras.resized(rays * cameras.width, rays * cameras.height)
    hits = rasterise(scene.vertices, scene.faces, fine)
    rgb = torch.ones(len(cameras), 3, cameras.height, cameras.width, dtype=torch.float64)  # white, and then less of it
    alpha = torch.zeros(len(cameras), 1, cameras.height, cameras.width, dtype=torch.float64)
    depth = torch.zeros_like(alpha)
    for pixel, face, weights, z in zip(hits.pixel.tolist(), hits.face, hits.weights, hits.depth, strict=True):
        view, rest = divmod(pixel, fine.height * fine.width)
        row, column = rest // fine.width // rays, rest % fine.width // rays
        u, v = (scene.uv[scene.faces[face]] * weights[:, None]).sum(0).double() * side - 0.5
        left, top = int(u.floor()), int(v.floor())
        colour = torch.zeros(3, dtype=torch.float64)
        for x, y in ((left, top), (left + 1, top), (left, top + 1), (left + 1, top + 1)):
            share = (1 - (u - x).abs()) * (1 - (v - y).abs())
            colour += share * texture[:, min(max(y, 0), side - 1), min(max(x, 0), side - 1)].double()
        rgb[view, :, row, column] += (colour - 1) / rays**2
        alpha[view, 0, row, column] += 1 / rays**2
        depth[view, 0, row, column] += z.double() / rays**2
    return rgb, torch.where(alpha > 0, depth / alpha, 0.0), alpha


def test_it_shows_what_a_slow_loop_shows(scene):
    cameras = turntable(2, 14)
    shown, slow = scene.render(cameras), shown_slowly(scene, cameras, scene.texture.detach())
    for fast, expected in zip((shown.rgb, shown.depth, shown.alpha), slow, strict=True):
        assert torch.allclose(fast.detach().double(), expected, atol=1e-5)
    assert shown.alpha.unique().tolist() == [0, 0.25, 0.5, 0.75, 1]  # of four rays
    assert not shown.depth.requires_grad
    black = Textured(Context(points=cloud()), texture=12, faces=60, voxels=12, background="black").render(cameras)
    assert torch.allclose(black.rgb + 1 - black.alpha, shown.rgb, atol=1e-6)


def test_the_gradient_is_that_of_differences_texel_by_texel(scene):
    """The picture is linear in the texture: differences are exact, whatever their size."""
    cameras = turntable(2, 8)
    weights = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (gradient,) = torch.autograd.grad((scene.render(cameras).rgb * weights).sum(), scene.texture)
    texture = scene.texture.detach()
    for row in range(12):
        for column in range(12):
            moved = texture.clone()
            moved[:, row, column] += 1.0
            with torch.no_grad():
                scene.texture.data = moved
                there = scene.render(cameras).rgb.double()
                scene.texture.data = texture
                change = ((there - scene.render(cameras).rgb) * weights).sum((0, 2, 3))
            assert torch.allclose(gradient[:, row, column].double(), change, atol=1e-4)
    assert 20 < (gradient != 0).any(0).sum() < 144


def test_colours_stay_colours_and_the_mesh_where_it_is(scene):
    ours, cameras = Textured(Context(points=cloud()), texture=12, faces=60, voxels=12, texture_lr=0.5), turntable(3, 8)
    before = {name: getattr(ours, name).clone() for name in ("vertices", "faces", "uv", "points")}
    for _ in range(3):
        (-ours.render(cameras).rgb.sum()).backward()
        ours.step()
    assert float(ours.texture.max()) == 1.0
    assert float(ours.texture.min()) >= 0.0
    assert all(torch.equal(getattr(ours, name), value) for name, value in before.items())


@pytest.fixture(scope="module")
def quicker():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "PIXELS", 48)
        patch.setattr(views, "AZIMUTHS", 6)
        yield


@pytest.fixture(scope="module")
def gaussians(tmp_path_factory):
    return launch(
        tmp_path_factory.mktemp("runs") / "gaussians",
        *(*SMALL, "metric=none", "loss=none", "noising=random", "representation.opacity=0.95", "steps=4"),
    )


@pytest.fixture(scope="module")
def refined(gaussians, quicker, tmp_path_factory):
    return launch(tmp_path_factory.mktemp("runs") / "refined", *given(gaussians), "noising=consistent")


def given(start, *more):
    return (*FEW, *MESH, "init=run", f"init.path={start}", "steps=8", *more)


def started(start, *overrides):
    return build(quick(*FEW, "init=run", f"init.path={start}", *overrides))


def test_gaussians_become_a_mesh_that_shows_the_same(gaussians, quicker):
    theirs, _ = load(gaussians, 0, CPU)
    ours = started(gaussians, *MESH, "representation.texture=128", "representation.voxels=32").representation
    cameras = turntable(4, 32)
    with torch.no_grad():
        one, other = theirs.render(cameras), ours.render(cameras)
    both = (one.alpha > 0.9) & (other.alpha == 1)
    assert both.float().mean() > 0.03
    assert (one.alpha - other.alpha).abs().mean() < 0.08
    assert ((one.rgb - other.rgb).abs() * both).sum() / (3 * both.sum()) < 0.06
    assert len(ours.scene().points) == 200


def test_a_field_becomes_a_mesh(quicker, tmp_path):
    field = ("representation=instant_ngp", "representation.levels=3", "representation.log2_table=9", "init.points=9")
    run = launch(tmp_path / "field", *FEW, *field, "steps=3")
    ours, (theirs, _) = started(run, *MESH).representation, load(run, 0, CPU)
    cameras = turntable(2, 24)
    with torch.no_grad():
        solid = theirs.render(cameras).alpha > 0.9
        assert ours.render(cameras).alpha[solid].mean() > 0.9


def test_a_run_leaves_films_and_the_texture_that_it_has_learnt(refined, gaussians, tmp_path, call, refusal):
    assert not (refined / "scene.ply").exists()
    assert (refined / "turntable.mp4").exists()
    scene, step = load(refined, 0, CPU)
    assert (step, scene.steps_taken) == (8, 8)
    start = started(gaussians, *MESH).representation
    assert torch.equal(start.vertices, scene.vertices)
    assert (start.texture - scene.texture).abs().max() > 0.05
    for kind in ("glb", "obj"):
        call(export, refined, "--out", tmp_path / f"cat.{kind}")
        written = trimesh.load(tmp_path / f"cat.{kind}", force="mesh")
        picture = written.visual.material
        image = picture.baseColorTexture if kind == "glb" else picture.image
        pixels = torch.tensor(np.asarray(image.convert("RGB")) / 255).float()
        mesh = scene.mesh()
        assert torch.allclose(pixels, mesh.texture, atol=0.003)
        assert len(written.faces) == len(scene.faces)
    call(export, refined, "--out", tmp_path / "plain.obj", "--colors", "vertex")
    assert trimesh.load(tmp_path / "plain.obj", force="mesh").visual.kind == "vertex"
    assert "choose --format glb or --format obj" in refusal(export, refined, "--format", "ply")
    drawn = Drawing(48, CPU)(scene, whole=True)
    assert len(drawn["centers"]) > 100


def test_stopped_and_continued_equals_straight(refined, gaussians, tmp_path, monkeypatch):
    back = crash(monkeypatch, 6)
    with pytest.raises(RuntimeError):
        launch(tmp_path / "run", *given(gaussians), "noising=consistent")
    back()
    run = launch(tmp_path / "run", *given(gaussians), "noising=consistent")
    same(run, refined)
    one, other = (load(folder, 0, CPU)[0] for folder in (run, refined))
    assert torch.equal(one.texture, other.texture)
    assert torch.equal(one.vertices, other.vertices)


def test_a_mesh_goes_on_whole_and_is_a_start_for_gaussians(refined):
    theirs, _ = load(refined, 0, CPU)
    ours = started(refined, *MESH).representation
    assert torch.equal(ours.texture, theirs.texture)
    assert torch.equal(ours.points, theirs.points)
    assert not ours.optimizer.state_dict()["state"]
    means = started(refined, "init.points=150").representation.params["means"]
    assert len(means) == 150
    on_it = points_on(theirs.mesh(), 20_000, torch.Generator().manual_seed(0)).xyz
    assert torch.cdist(means.detach(), on_it).amin(1).max() < 0.05
    with pytest.raises(GsdError, match=r"set representation\.texture=32"):
        started(refined, *MESH, "representation.texture=64")
    with pytest.raises(GsdError, match="leads to a scene of Textured, and InstantNGP does not start at points"):
        started(refined, "representation=instant_ngp")


def test_what_shows_no_surface_is_refused(tmp_path, quicker):
    thin = launch(tmp_path / "thin", *SMALL, "metric=none", "loss=none", "noising=random", "steps=2", "init.points=9")
    with pytest.raises(GsdError, match="There is no surface"):
        started(thin, *MESH)


def test_it_cannot_be_densified():
    with pytest.raises(GsdError, match="densify=none with representation=textured_mesh"):
        build(quick(*SMALL, *MESH, "densify=mcmc"))


def test_the_scene_that_it_starts_from_counts(gaussians, refined):
    one, other = (identity(config(*MESH, "init=run", f"init.path={folder}")) for folder in (gaussians, refined))
    assert one.signature != other.signature


def test_a_texture_comes_nearer_to_the_true_animal():
    """Points of the true animal in grey: the prior gives the mesh around them its colours."""
    sizes = ("camera.resolution=32", "prior.resolution=32", "prior.azimuths=24", "prior.elevations=[15]")
    few = ("prior.variants=1", "init=menagerie", "init.points=3000", "metric=none", "noising=random", "loss=none")
    experiment = build(
        quick(*sizes, *few, "representation=textured_mesh", "representation.texture=64", "steps=40", "threads=1")
    )
    scene, cameras = experiment.representation, turntable(6, 32)
    with torch.no_grad():
        truth = scene.render(cameras).rgb
        scene.texture.fill_(0.5)
        grey = (scene.render(cameras).rgb - truth).square().mean()
    for _ in optimise(experiment):
        pass
    with torch.no_grad():
        after = (scene.render(cameras).rgb - truth).square().mean()
    assert after < 0.8 * grey
