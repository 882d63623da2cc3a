"""init=mesh: the surface of a mesh that another program wrote, in its colours, its place and its axes."""

import logging

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from launch import SMALL, launch, records
from PIL import Image
from quick_config import quick
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial, SimpleMaterial

from gsd.errors import GsdError
from gsd.experiment import build
from gsd.geometry import turntable, unproject
from gsd.identity import identity
from gsd.init.mesh import MeshFile
from gsd.init.point_cloud import PointCloudFile
from gsd.meshing.loaded import load_mesh
from gsd.meshing.mesh import Mesh, TexturedMesh
from gsd.random import Stream
from gsd.representation.gaussians import FLAT
from gsd.tools.export.mesh_file import glb, obj
from gsd.types import Context

RNG = Stream(0, "init")
FEW = (*(o for o in SMALL if not o.startswith("init.")), "init=mesh", "init.points=150")
PLAIN = ("metric=none", "loss=none", "noising=random")


def sphere(radii=(0.5, 0.3, 0.4), **colours):
    body = trimesh.creation.icosphere(2)
    return trimesh.Trimesh(body.vertices * radii, body.faces, process=False, **colours)


def rainbow(xyz):
    """A colour for each place."""
    return 0.5 + 0.4 * np.sin(4 * np.asarray(xyz))


def coloured(path, **more):
    body = sphere(**more)
    body.visual.vertex_colors = np.round(255 * rainbow(body.vertices)).astype(np.uint8)
    body.export(path)
    return str(path)


def square(folder, kind, texture):
    """A square in the plane of y and z, z up, with a picture on it; as .glb or .obj."""
    corners = np.array([[0, 0, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1]], float)
    picture = Image.fromarray(texture)
    picture.format = "PNG"
    material = PBRMaterial(baseColorTexture=picture) if kind == "glb" else SimpleMaterial(picture)
    visual = TextureVisuals(corners[:, 1:], material)  # trimesh counts from the lower left corner
    trimesh.Trimesh(corners, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False).export(folder / f"square.{kind}")
    return str(folder / f"square.{kind}")


def start(path, **options):
    return MeshFile(Context(), path, **{"points": 400, **options})(RNG)


def test_points_lie_on_the_surface_with_its_colours_and_normals(tmp_path):
    cloud = start(coloured(tmp_path / "a.ply"), radius=None)
    radii = torch.tensor([0.5, 0.3, 0.4])
    on = (cloud.xyz / radii).norm(dim=-1)
    assert on.max() <= 1.0001
    assert on.min() > 0.95  # triangles cut the corners
    assert np.abs(cloud.rgb.numpy() - rainbow(cloud.xyz)).max() < 0.02
    outward = torch.nn.functional.normalize(cloud.xyz / radii**2, dim=-1)
    assert (cloud.normals * outward).sum(-1).min() > 0.9
    assert torch.allclose(cloud.normals.norm(dim=-1), torch.ones(400))
    assert torch.equal(cloud.xyz, start(str(tmp_path / "a.ply"), radius=None).xyz)


@settings(deadline=None, max_examples=25)
@given(
    scale=st.floats(1e-3, 1e4),
    shift=st.tuples(*[st.floats(-100, 100)] * 3),
    yaw=st.floats(-360, 360),
    radius=st.floats(0.05, 1.0),
    up=st.sampled_from(["y", "z"]),
)
def test_whatever_its_units_and_place_it_is_fitted_and_turned(tmp_path_factory, scale, shift, yaw, radius, up):
    """The same mesh in other units, elsewhere, is the same start; its highest point stays the highest."""
    path = tmp_path_factory.mktemp("mesh") / "a.ply"
    body = sphere((0.5, 0.3, 0.4))
    body.vertices = (body.vertices + np.array(shift)) * scale
    body.export(path)
    here = MeshFile(Context(), str(path), radius=radius, up=up, yaw=yaw).mesh.vertices.double()
    assert here.norm(dim=-1).max() == pytest.approx(radius, rel=1e-4)
    assert ((here.amin(0) + here.amax(0)).abs() < 1e-3 * radius).all()
    height = here[:, 2].amax() / radius
    assert height == pytest.approx((0.4 if up == "z" else 0.3) / 0.5, abs=2e-2)


def test_the_front_of_a_glb_looks_along_x(tmp_path):
    """glTF: y up, the front along +z. A nose on the front stays there, and turns with yaw."""
    nose = trimesh.creation.icosphere(1, radius=0.1)
    nose.apply_translation([0, 0, 1])
    trimesh.Scene([sphere((0.2, 0.4, 0.3)), nose]).export(tmp_path / "a.glb")

    def reaches(**options):
        return MeshFile(Context(), str(tmp_path / "a.glb"), radius=None, **options).mesh.vertices.amax(0).tolist()

    assert reaches() == pytest.approx([1.1, 0.2, 0.4], abs=0.01)
    assert reaches(yaw=90) == pytest.approx([0.2, 1.1, 0.4], abs=0.01)
    assert reaches(up="z") == pytest.approx([0.2, 0.4, 1.1], abs=0.01)


@pytest.mark.parametrize("kind", ["glb", "obj"])
def test_textures_repeat_and_lie_the_right_way_up(tmp_path, kind):
    """Red below, green above; blue to the right."""
    texture = np.zeros((8, 8, 3), np.uint8)
    texture[4:, :, 0], texture[:4, :, 1], texture[:, 4:, 2] = 255, 255, 255
    cloud = start(square(tmp_path, kind, texture), radius=None, up="z")
    y, z = cloud.xyz[:, 1], cloud.xyz[:, 2]
    for channel, there in ((0, z < 0.5), (1, z > 0.5), (2, y > 0.5)):
        clear = ((y - 0.5).abs() > 0.1) & ((z - 0.5).abs() > 0.1) & (y.sub(0.5).abs() < 0.4) & (z.sub(0.5).abs() < 0.4)
        assert torch.equal(cloud.rgb[clear, channel] > 0.5, there[clear]), channel


def test_parts_have_their_own_colours_and_places(tmp_path, caplog):
    """A material's colour, which glTF means linear, and a part without any."""
    one, other = sphere(), sphere()
    one.visual = TextureVisuals(material=PBRMaterial(baseColorFactor=[0, 55, 0, 255]))
    scene = trimesh.Scene()
    scene.add_geometry(one)
    scene.add_geometry(other, transform=trimesh.transformations.translation_matrix([0, 5, 0]))
    scene.export(tmp_path / "a.glb")
    with caplog.at_level(logging.WARNING, "gsd"):
        cloud = start(str(tmp_path / "a.glb"), radius=None)
    high = cloud.xyz[:, 2] > 2.5
    assert 100 < high.sum() < 300
    assert torch.allclose(cloud.rgb[high], torch.tensor(0.5))
    assert torch.allclose(cloud.rgb[~high], torch.tensor([0.0, 0.501, 0.0]), atol=0.01)
    assert "320 of 640 faces without colours" in caplog.text


def test_without_colours_it_is_grey_and_that_is_said(tmp_path, caplog):
    sphere().export(tmp_path / "a.ply")
    with caplog.at_level(logging.WARNING, "gsd"):
        assert torch.allclose(start(str(tmp_path / "a.ply")).rgb, torch.tensor(0.5))
    assert "a.ply has no colours" in caplog.text


def exported(kind):
    """What `gsd export` writes of a mesh, and where its colours are."""
    body = trimesh.creation.icosphere(3)
    vertices = torch.from_numpy(np.array(body.vertices * [0.5, 0.3, 0.4])).float()
    shape = (vertices, torch.from_numpy(np.array(body.vertex_normals)).float(), torch.from_numpy(body.faces))
    if kind == "vertices":
        return Mesh(*shape, torch.from_numpy(rainbow(vertices)).float())
    uv = vertices[:, [0, 2]] + 0.5
    grid = torch.linspace(-0.5, 0.5, 65)[:-1] + 0.5 / 64
    place = torch.stack([grid.expand(64, 64), torch.zeros(64, 64), grid[:, None].expand(64, 64)], -1)
    return TexturedMesh(*shape, uv, torch.from_numpy(rainbow(place)).float())


@pytest.mark.parametrize("kind", ["vertices", "texture"])
@pytest.mark.parametrize("write", ["glb", "obj"])
def test_what_gsd_exports_comes_back_as_it_was(tmp_path, kind, write):
    mesh = exported(kind)
    files = {"a.glb": glb(mesh)} if write == "glb" else obj(mesh, "a")
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    cloud = start(str(tmp_path / f"a.{write}"), radius=None)
    assert (cloud.xyz / torch.tensor([0.5, 0.3, 0.4])).norm(dim=-1).min() > 0.98
    place = cloud.xyz * torch.tensor([1.0, float(kind == "vertices"), 1.0])
    assert np.abs(cloud.rgb.numpy() - rainbow(place)).max() < 0.03


def test_gaussians_start_flat_on_it(tmp_path):
    scene = build(quick(*FEW, *PLAIN, f"init.path={coloured(tmp_path / 'a.ply')}")).representation
    log_scales, state = scene.params["log_scales"].detach(), scene.scene()
    assert torch.allclose(log_scales[:, 2], log_scales[:, 0] + np.log(FLAT))
    w, x, y, z = torch.nn.functional.normalize(state.quats.detach(), dim=-1).unbind(1)
    thin = torch.stack([2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)], 1)  # where z is turned to
    outward = torch.nn.functional.normalize(state.points.detach() / torch.tensor([0.5, 0.3, 0.4]) ** 2, dim=-1)
    assert (thin * outward).sum(-1).abs().min() > 0.85


def test_a_textured_mesh_is_the_mesh_itself(tmp_path):
    """With a texture of the size asked for; seen from all around it has the file's colours."""
    path = coloured(tmp_path / "a.ply")
    options = ("representation=textured_mesh", "representation.texture=64", "representation.faces=5000")
    scene = build(quick(*FEW, *PLAIN, *options, f"init.path={path}", "init.radius=null")).representation
    assert len(scene.faces) == 320
    assert scene.texture.shape == (3, 64, 64)
    assert (scene.vertices / torch.tensor([0.5, 0.3, 0.4])).norm(dim=-1).sub(1).abs().max() < 1e-4
    cameras = turntable(4, 48)
    with torch.no_grad():
        view = scene.render(cameras)
    assert view.alpha.amax() == 1
    inside = view.alpha[0, 0] == 1
    places = unproject(view.depth[:1], cameras[torch.tensor([0])])[0][inside]
    shown = view.rgb[0].permute(1, 2, 0)[inside]
    assert np.abs(shown.numpy() - rainbow(places)).mean() < 0.02


def test_a_mesh_that_is_open_and_torn_is_simplified_and_painted(tmp_path):
    """Twelve sheets that share one edge, each half of them facing the other way: no surface of anything."""
    sheets = []
    for k in range(12):
        sheet = trimesh.creation.box([1, 1, 1]).submesh([[0, 1]], append=True)
        sheet = sheet.subdivide().subdivide()
        sheet.vertices -= sheet.vertices.min(0)
        sheet.apply_transform(trimesh.transformations.rotation_matrix(k * np.pi / 6, [0, 0, 1]))
        if k % 2:
            sheet.invert()
        sheets.append(sheet)
    trimesh.util.concatenate(sheets).export(tmp_path / "a.ply")
    mesh = load_mesh(tmp_path / "a.ply")
    made = mesh.painted(100, 64)
    assert len(made.faces) < len(mesh.faces)
    assert made.texture.isfinite().all()


@pytest.mark.parametrize("representation", ["gaussians", "textured_mesh", "instant_ngp"])
def test_a_run_starts_from_it(tmp_path, representation):
    path = square(tmp_path, "glb", np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8))
    options = ("representation.texture=32", "representation.faces=50") if representation == "textured_mesh" else ()
    run = launch(
        tmp_path / "run", *FEW, *PLAIN, f"representation={representation}", *options, f"init.path={path}", "steps=3"
    )
    assert len(records(run)) == 3
    assert (run / "DONE").exists()


def test_what_an_obj_names_counts_too(tmp_path):
    path = square(tmp_path, "obj", np.zeros((8, 8, 3), np.uint8))
    before = identity(quick(*FEW, f"init.path={path}"))
    (picture,) = tmp_path.glob("*.png")
    Image.new("RGB", (8, 8), "red").save(picture)
    after = identity(quick(*FEW, f"init.path={path}"))
    assert after.signature != before.signature
    assert picture.name in after.unlike(before)["init.path"]


def broken(tmp_path):
    """File -> what is said of it."""
    points = trimesh.PointCloud(np.random.default_rng(0).normal(size=(9, 3)))
    points.export(tmp_path / "points.ply")
    (tmp_path / "empty.glb").write_bytes(b"")
    (tmp_path / "empty.obj").write_bytes(b"")
    coloured(tmp_path / "cut.glb")
    (tmp_path / "cut.glb").write_bytes((tmp_path / "cut.glb").read_bytes()[:-500])
    (tmp_path / "wrong.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 9\n")
    (tmp_path / "nan.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 nan 0\nf 1 2 3\n")
    (tmp_path / "line.obj").write_text("v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n")
    (tmp_path / "spot.obj").write_text("v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n")
    (tmp_path / "mesh.stl").write_bytes(b"solid")
    return {
        "gone.glb": "no such file; give a mesh as .glb, .obj, .ply",
        "mesh.stl": "unknown kind of file; save the mesh as .glb",
        "points.ply": "has no faces; give a mesh, or start from points alone: init=point_cloud",
        "empty.obj": "has no faces",
        "empty.glb": "not a readable GLB mesh",
        "cut.glb": "not a readable GLB mesh",
        "wrong.obj": "not a readable OBJ mesh",
        "nan.obj": "is not finite",
        "line.obj": "none of its 1 faces has an area",
        "spot.obj": "none of its 1 faces has an area",
    }


def test_what_cannot_be_a_start_is_refused(tmp_path):
    for name, said in broken(tmp_path).items():
        with pytest.raises(GsdError, match=said) as refused:
            MeshFile(Context(), str(tmp_path / name))
        assert name in str(refused.value)


def test_far_away_it_is_refused_unless_it_is_fitted(tmp_path):
    body = sphere()
    body.apply_translation([1e6, 0, 0])
    body.export(tmp_path / "a.ply")
    with pytest.raises(GsdError, match=r"give init\.radius=0"):
        MeshFile(Context(), str(tmp_path / "a.ply"), radius=None)
    assert MeshFile(Context(), str(tmp_path / "a.ply")).mesh.vertices.norm(dim=-1).max() == pytest.approx(0.6)


def test_a_cloud_that_is_a_mesh_is_sent_here(tmp_path):
    coloured(tmp_path / "a.glb")
    with pytest.raises(GsdError, match="init=mesh"):
        PointCloudFile(str(tmp_path / "a.glb"))
