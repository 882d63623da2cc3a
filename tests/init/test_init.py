from pathlib import Path

import numpy as np
import pytest
import torch
from plyfile import PlyData, PlyElement

from gsd.errors import GsdError
from gsd.init.point_cloud import PointCloudFile
from gsd.init.shell import Shell
from gsd.random import Stream

RNG = Stream(0, "init")


def write_ply(path, text=False, **columns):
    count = len(next(iter(columns.values())))
    table = np.empty(count, dtype=[(k, v.dtype) for k, v in columns.items()])
    for name, values in columns.items():
        table[name] = values
    PlyData([PlyElement.describe(table, "vertex")], text=text).write(str(path))
    return str(path)


def some(count=50):
    xyz = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32) * 7 + 3
    return xyz, dict(zip("xyz", xyz.T, strict=True))


def test_shell_is_soft_and_bounded():
    cloud = Shell(points=5000, radius=0.5)(RNG)
    radii = cloud.xyz.norm(dim=-1)
    assert cloud.xyz.shape == cloud.rgb.shape == (5000, 3)
    assert radii.max() <= 1.0001
    assert cloud.xyz.std() == pytest.approx(0.25, abs=0.01)
    assert (cloud.rgb - 0.5).abs().max() <= 0.05
    assert torch.equal(cloud.xyz, Shell(points=5000, radius=0.5)(RNG).xyz)


@pytest.mark.parametrize("text", [True, False])
def test_ply_with_colours(tmp_path, text):
    xyz, columns = some()
    rgb = np.random.default_rng(1).integers(0, 256, (50, 3)).astype(np.uint8)
    path = write_ply(tmp_path / "a.ply", text, **columns, **dict(zip(("red", "green", "blue"), rgb.T, strict=True)))
    cloud = PointCloudFile(path, radius=None)(RNG)
    assert torch.allclose(cloud.xyz, torch.from_numpy(xyz), atol=1e-4)
    assert torch.allclose(cloud.rgb, torch.from_numpy(rgb / 255.0).float())


def test_cloud_is_centred_and_scaled(tmp_path):
    xyz, _ = some()
    np.savez(tmp_path / "a.npz", xyz=xyz)
    cloud = PointCloudFile(str(tmp_path / "a.npz"), radius=0.6)(RNG)
    assert cloud.xyz.norm(dim=-1).max() == pytest.approx(0.6, abs=1e-5)
    assert ((cloud.xyz.amin(0) + cloud.xyz.amax(0)).abs() < 1e-4).all()
    assert (cloud.rgb == 0.5).all()


def test_bad_files_are_refused_with_what_is_wrong(tmp_path):
    xyz, columns = some()

    def npz(**arrays):
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.npz"
        np.savez(path, **arrays)
        return str(path)

    infinite = xyz.copy()
    infinite[7, 1] = np.nan
    (tmp_path / "noise.ply").write_bytes(b"this is not a ply")
    (tmp_path / "noise.npz").write_bytes(b"PK but not a zip")
    whole = Path(write_ply(tmp_path / "whole.ply", **columns))
    (tmp_path / "cut.ply").write_bytes(whole.read_bytes()[:-40])
    (tmp_path / "a.obj").write_text("v 0 0 0")
    cases = [
        (str(tmp_path / "absent.ply"), "no such file"),
        (str(tmp_path / "a.obj"), "unknown kind of file"),
        (str(tmp_path / "noise.ply"), "not a readable PLY"),
        (str(tmp_path / "cut.ply"), "not a readable PLY"),
        (str(tmp_path / "noise.npz"), "not a readable NPZ"),
        (write_ply(tmp_path / "flat.ply", x=xyz[:, 0], y=xyz[:, 1]), "no property 'z'"),
        (npz(points=xyz), "no array 'xyz'; it has points"),
        (npz(xyz=xyz[:, :2]), r"shape \(50, 2\)"),
        (npz(xyz=xyz[:0]), r"N >= 1"),
        (npz(xyz=infinite), "point 7 is not finite"),
        (npz(xyz=xyz, rgb=xyz[:3]), r"rgb has shape \(3, 3\)"),
        (npz(xyz=xyz, rgb=np.full_like(xyz, 1.5)), "colour of point 0"),
        (npz(xyz=np.array(["a"] * 3)), "not numbers"),
        (npz(xyz=np.array([{}] * 3, dtype=object)), "pickled objects, which are never read"),
    ]
    for path, message in cases:
        with pytest.raises(GsdError, match=message):
            PointCloudFile(path)


def test_one_point_is_enough(tmp_path):
    np.savez(tmp_path / "one.npz", xyz=np.array([[5.0, 5.0, 5.0]]))
    assert PointCloudFile(str(tmp_path / "one.npz"))(RNG).xyz.tolist() == [[0, 0, 0]]


def test_a_stray_point_that_would_make_a_spot_of_all_others_is_named(tmp_path):
    points = np.random.default_rng(0).normal(size=(40, 3))
    points[7] = 1e9
    np.savez(tmp_path / "a.npz", xyz=points)
    for radius in (0.6, None):
        with pytest.raises(GsdError, match="nearly all of its 40 points lie in one spot, since point 7 is so far away"):
            PointCloudFile(str(tmp_path / "a.npz"), radius=radius)
    points[7] = 100.0  # far, but the others keep a shape
    np.savez(tmp_path / "a.npz", xyz=points)
    assert len(PointCloudFile(str(tmp_path / "a.npz"))(Stream(0, "init")).xyz) == 40
