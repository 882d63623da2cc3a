import json

import numpy as np
import pytest
import torch
import trimesh
from made_surfaces import SLOPE, Ellipsoid, colour

from gsd.geometry import sample
from gsd.meshing import bake, views
from gsd.meshing.bake import textured
from gsd.meshing.depth import surface_of_depth
from gsd.meshing.mesh import Mesh
from gsd.tools.export.mesh_file import glb, obj

SIDE, VOXELS = 256, 40


@pytest.fixture(scope="module")
def mesh():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "AZIMUTHS", 8)
        patch.setattr(views, "PIXELS", 192)
        patch.setattr(bake, "SIDE", SIDE)
        patch.setattr(bake, "FACES", 2000)
        return textured(surface_of_depth(Ellipsoid(), VOXELS, torch.device("cpu")))


def dark_ramp(count=1000):
    """A strip of triangles, from black to what is still dark."""
    along = torch.linspace(0, 1, count)
    vertices = torch.stack([along, torch.arange(count) % 2, torch.zeros(count)], 1)
    faces = torch.arange(count - 2)[:, None] + torch.arange(3)
    return Mesh(vertices, torch.tensor([[0.0, 0, 1]]).repeat(count, 1), faces, 0.1 * along[:, None].repeat(1, 3))


def parts(content):
    """The tree of a .glb and its binary part."""
    end = 20 + int.from_bytes(content[12:16], "little")
    return json.loads(content[20:end]), content[end + 8 :]


def values(content, name):
    """An attribute of the one primitive, read from the bytes as the format defines it."""
    tree, binary = parts(content)
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"][name]]
    view = tree["bufferViews"][accessor["bufferView"]]
    kind = {5123: "<u2", 5126: "<f4"}[accessor["componentType"]]
    wide = int(accessor["type"][-1])
    flat = np.frombuffer(binary, kind, accessor["count"] * wide, view["byteOffset"] + accessor.get("byteOffset", 0))
    return flat.reshape(-1, wide), accessor


def write(folder, mesh, ending):
    files = {"my cat.glb": glb(mesh)} if ending == "glb" else obj(mesh, "my cat")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder / f"my cat.{ending}"


@pytest.mark.parametrize("ending", ["glb", "obj"])
def test_a_reader_finds_the_colours_of_the_scene_on_the_surface(tmp_path, mesh, ending):
    back = trimesh.load(write(tmp_path, mesh, ending), force="mesh", process=False)
    assert len(back.faces) == len(mesh.faces)
    uv = np.array(back.visual.uv)
    assert uv.min() >= 0
    assert uv.max() <= 1
    material = back.visual.material
    picture = material.baseColorTexture if ending == "glb" else material.image
    texture = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None] / 255
    assert texture.shape == (1, 3, SIDE, SIDE)
    points, face = trimesh.sample.sample_surface(back, 5000, seed=0)
    shares = trimesh.triangles.points_to_barycentric(back.triangles[face], points)
    at = np.einsum("nk,nkc->nc", shares, uv[back.faces[face]])
    at = torch.from_numpy(np.stack([at[:, 0], 1 - at[:, 1]], 1)).float() * SIDE  # the reader counts v from the bottom
    shown = sample(texture, at[None, None], "bilinear")[0, :, 0].T
    left, up, front = torch.from_numpy(points).float().T
    expected = colour(torch.stack([front, left, up], 1))
    # A view shows the point of the scene behind its own pixel: off by the error of the surface, under a voxel, and by
    # interpolation between pixels and between texels, under one of each; the longest side, 1, fills half a picture.
    bound = SLOPE * (1 / VOXELS + 2 / views.PIXELS + 4 / SIDE) + 0.5 / 255
    assert (shown - expected).abs().max() < bound
    assert (shown - expected).square().mean().sqrt() < bound / 5
    outward = trimesh.triangles.normals(back.triangles)[0]
    assert (np.einsum("fc,fkc->fk", outward, back.vertex_normals[back.faces]) > 0.5).mean() > 0.99


def test_names_in_an_obj_have_no_spaces_and_no_folders(mesh):
    files = obj(mesh, "my cat")
    assert set(files) == {"my_cat.mtl", "my_cat.png", "my cat.obj"}
    assert list(files)[-1] == "my cat.obj"  # written when what it names is there
    assert "mtllib my_cat.mtl" in files["my cat.obj"].decode().splitlines()
    assert "map_Kd my_cat.png" in files["my_cat.mtl"].decode().splitlines()
    assert files["my_cat.png"].startswith(b"\x89PNG")


def test_glb_has_what_the_format_asks_for(mesh):
    content = glb(mesh)
    tree, binary = parts(content)
    assert int.from_bytes(content[8:12], "little") == len(content)
    assert tree["extensionsUsed"] == ["KHR_materials_unlit"]
    (material,), (image,), (sampler,) = tree["materials"], tree["images"], tree["samplers"]
    assert material["extensions"] == {"KHR_materials_unlit": {}}
    assert material["pbrMetallicRoughness"] == {
        "baseColorTexture": {"index": 0}, "metallicFactor": 0.0, "roughnessFactor": 1.0,
    }  # fmt: skip
    assert tree["textures"] == [{"source": 0, "sampler": 0}]
    assert sampler["wrapS"] == sampler["wrapT"] == 33071  # clamp to edge
    start = tree["bufferViews"][image["bufferView"]]["byteOffset"]
    assert image["mimeType"] == "image/png"
    assert binary[start : start + 8] == b"\x89PNG\r\n\x1a\n"
    for accessor in tree["accessors"]:
        assert (tree["bufferViews"][accessor["bufferView"]]["byteOffset"] + accessor.get("byteOffset", 0)) % 4 == 0
    positions, accessor = values(content, "POSITION")
    assert np.array_equal(positions.min(0), np.float32(accessor["min"]))
    assert np.array_equal(positions.max(0), np.float32(accessor["max"]))
    assert np.allclose(np.linalg.norm(values(content, "NORMAL")[0], axis=1), 1, atol=1e-5)


def test_vertex_colours_of_a_glb_are_linear_and_fine_in_the_darks():
    mesh = dark_ramp()
    linear, accessor = values(glb(mesh), "COLOR_0")
    assert (accessor["componentType"], accessor["normalized"], accessor["type"]) == (5123, True, "VEC4")
    assert len(np.unique(linear[:, 0])) > 400  # of 8 bits, 3
    assert (linear[:, 3] == 65535).all()
    x = linear[:, :3] / 65535
    srgb = np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)
    assert np.abs(srgb - mesh.rgb.numpy()).max() < 12.92 * 0.51 / 65535 + 1e-6
    assert parts(glb(mesh))[0]["materials"][0]["extensions"] == {"KHR_materials_unlit": {}}


def test_vertex_colours_of_an_obj_follow_the_coordinates(tmp_path):
    mesh = dark_ramp()
    files = obj(mesh, "ramp")
    assert list(files) == ["ramp.obj"]
    back = trimesh.load(write(tmp_path, mesh, "obj"), force="mesh", process=False)
    assert np.array_equal(back.faces, mesh.faces)
    assert np.allclose(back.vertices[:, [2, 0, 1]], mesh.vertices, atol=1e-6)
    assert np.abs(back.visual.vertex_colors[:, :3] / 255 - mesh.rgb.numpy()).max() < 0.51 / 255
