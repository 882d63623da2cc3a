"""Files of strangers: what is in them is used, or refused in a sentence; nothing is used as what it is not."""

import logging
import zipfile

import numpy as np
import pytest
import torch
from plyfile import PlyData, PlyElement

from gsd.errors import GsdError
from gsd.init.point_cloud import PointCloudFile
from gsd.random import Stream
from gsd.rasterizer.ply_file import vertices

RNG = Stream(0, "init")
HEAD = "ply\nformat ascii 1.0\nelement vertex 2\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"


def ball(count=400):
    directions = np.random.default_rng(2).normal(size=(count, 3))
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def ply(path, text=False, order="<", before=None, **columns):
    table = np.empty(len(columns["x"]), dtype=[(k, v.dtype) for k, v in columns.items()])
    for name, values in columns.items():
        table[name] = values
    elements = [PlyElement.describe(table, "vertex")]
    if before is not None:
        elements.insert(0, before)
    PlyData(elements, text=text, byte_order=order).write(str(path))
    return path


def cloud(path, **options):
    return PointCloudFile(str(path), **options)(RNG)


def axes(xyz):
    return dict(zip("xyz", xyz.T, strict=True))


@pytest.mark.parametrize(("scale", "where"), [(1.0, 3.7e7), (2e-13, 0.0), (4e250, 1e251), (1e307, 0), (3e31, -1e32)])
def test_no_size_and_no_place_takes_points_away(tmp_path, scale, where):
    shape = ball()
    np.savez(tmp_path / "far.npz", xyz=scale * shape + where, rgb=np.full((400, 3), 0.5))
    got = cloud(tmp_path / "far.npz", radius=0.6, yaw=30).xyz
    near = cloud_of(tmp_path, shape, radius=0.6, yaw=30)
    assert torch.allclose(got, near, atol=1e-7)
    with pytest.raises(GsdError, match=r"init\.radius=0\.6"):
        cloud(tmp_path / "far.npz", radius=None)


def cloud_of(folder, xyz, **options):
    np.savez(folder / "near.npz", xyz=xyz, rgb=np.full((len(xyz), 3), 0.5))
    return cloud(folder / "near.npz", **options).xyz


@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("order", ["<", ">"])
def test_every_layout_is_read_as_plyfile_reads_it(tmp_path, text, order):
    faces = np.array([([0, 1, 2],), ([2, 3, 1, 0],)], dtype=[("vertex_indices", object)])
    rng = np.random.default_rng(0)
    columns = axes(rng.normal(size=(30, 3))) | {"n": rng.integers(0, 9, 30).astype(np.uint16)}
    path = ply(tmp_path / "a.ply", text, order, PlyElement.describe(faces, "face"), **columns)
    theirs, ours = PlyData.read(str(path))["vertex"], vertices(path)
    assert list(ours) == [p.name for p in theirs.properties]
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_line_ends_of_windows_and_letters_of_everybody(tmp_path):
    text = HEAD.replace("ascii 1.0", "ascii 1.0\ncomment Münze, größer") + XYZ + "end_header\n1 2 3\n4 5 6\n"
    for number, newline in enumerate(("\n", "\r\n")):
        path = tmp_path / f"{number}.ply"
        path.write_bytes(text.replace("\n", newline).encode("latin-1"))
        assert vertices(path)["z"].tolist() == [3, 6]


@pytest.mark.parametrize(
    "names", ["red green blue", "r g b", "diffuse_red diffuse_green diffuse_blue", "Red Green Blue"]
)
@pytest.mark.parametrize(("dtype", "most"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1)])
def test_colours_under_every_name_and_type(tmp_path, names, dtype, most):
    rgb = np.random.default_rng(1).random((400, 3))
    columns = axes(ball()) | dict(zip(names.split(), (most * rgb).astype(dtype).T, strict=True))
    assert np.allclose(cloud(ply(tmp_path / "a.ply", **columns)).rgb, rgb, atol=1 / 255)


def test_no_colours_is_said(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "gsd"):
        assert (cloud(ply(tmp_path / "a.ply", **axes(ball()))).rgb == 0.5).all()
    assert "has no colours" in caplog.text


def gaussians(count=400, rest=0, **more):
    zeros = np.zeros(count, np.float32)
    return axes(ball(count).astype(np.float32)) | {f"f_rest_{i}": zeros for i in range(rest)} | more


def test_a_start_needs_means_colours_and_opacity_alone(tmp_path):
    rgb = dict(zip(("red", "green", "blue"), np.full((3, 400), 200, np.uint8), strict=True))
    opacity = np.where(np.arange(400) % 4, -9.0, 3.0).astype(np.float32)
    base = {f"f_dc_{i}": np.full(400, i - 1, np.float32) for i in range(3)}
    none = {name: 0 * values for name, values in base.items()}
    for number, (columns, colour) in enumerate(
        [
            (gaussians(**base, opacity=opacity, rest=7), [0.218, 0.5, 0.782]),
            (gaussians(**rgb, opacity=opacity), [0.784] * 3),
            (gaussians(**none, **rgb, opacity=opacity, rest=60), [0.784] * 3),
        ]
    ):
        made = cloud(ply(tmp_path / f"{number}.ply", **columns), radius=1.0)
        assert len(made.xyz) == 100
        assert np.allclose(made.rgb, [colour], atol=1e-3)
    with pytest.raises(GsdError, match="of its 400 Gaussians none can be seen"):
        cloud(ply(tmp_path / "none.ply", **gaussians(**rgb, opacity=opacity * 0 - 30)))


def test_headers_that_ask_for_more_than_there_is(tmp_path):
    cases = {
        HEAD.replace("2", "777000000000") + XYZ + "end_header\n1 2 3\n": "declares 777000000000 vertices",
        HEAD.replace("ascii", "binary_big_endian") + XYZ + "end_header\n": "take 24 bytes, and has 0",
        HEAD + XYZ.replace("float y", "list uchar float y") + "end_header\n": "'y' of its vertices is a list",
        HEAD.replace("ascii", "binary_big_endien") + XYZ + "end_header\n": "did you mean binary_big_endian",
        HEAD.replace("vertex 2", "vertex -2") + XYZ + "end_header\n": "has the count -2",
        HEAD + XYZ.replace("float z", "half z") + "end_header\n": "line 'property half z'",
        HEAD + XYZ + XYZ + "end_header\n": "two properties x",
        HEAD + XYZ + "end_header\n1 2 3\n4 5\n": "not a readable PLY",
        HEAD + XYZ.replace("float z", "uchar z") + "end_header\n1 2 3\n4 5 999\n": "no integers from 0 to 255",
        HEAD.replace("vertex", "face") + XYZ + "end_header\n1 2 3\n4 5 6\n": "no element 'vertex'",
    }
    for text, message in cases.items():
        (tmp_path / "a.ply").write_text(text)
        with pytest.raises(GsdError, match=message):
            cloud(tmp_path / "a.ply")


def test_archives_that_declare_what_they_lack(tmp_path):
    import io

    honest = io.BytesIO()
    np.lib.format.write_array_header_1_0(honest, {"descr": "<f8", "fortran_order": False, "shape": (9 * 10**9, 3)})
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("xyz.npy", honest.getvalue() + bytes(240))
    np.savez(tmp_path / "b.npz", coords=ball(9), R=np.ones(9), G=np.ones(8), B=np.ones(9))
    np.savez(tmp_path / "c.npz", coords=ball(9), R=np.ones(9), G=np.ones(9), B=np.array([None] * 9))
    np.savez(tmp_path / "d.npz", xyz=ball(9) * 1j)
    whole = (tmp_path / "b.npz").read_bytes()
    (tmp_path / "e.npz").write_bytes(whole[: len(whole) // 2])
    for name, message in [
        ("a", "and is shorter"),
        ("b", "the shapes"),
        ("c", "pickled"),
        ("d", "complex"),
        ("e", "NPZ"),
    ]:
        with pytest.raises(GsdError, match=message):
            cloud(tmp_path / f"{name}.npz")
