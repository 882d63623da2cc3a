"""A .ply of Gaussians of another program: the scene that starts from it is the same, wherever it is put."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from launch import SMALL
from made_runs import random_splats
from plyfile import PlyData, PlyElement
from quick_config import quick

from gsd.errors import GsdError
from gsd.experiment import build
from gsd.geometry import orbit
from gsd.init.parts.cloud import Growing
from gsd.init.point_cloud import PointCloudFile
from gsd.random import Stream
from gsd.rasterizer.ply import Splats, save_ply
from gsd.representation.gaussians import SH_C0, Gaussians
from gsd.types import Context, PointCloud


def anisotropic(degree=0, count=40):
    """Needles and plates in all directions, in opposite places, so that turning leaves their box's centre at 0."""
    splats = random_splats(degree, count)
    g = torch.Generator().manual_seed(3)
    log_scales = torch.tensor([-1.5, -2.5, -4.0]) + 0.3 * torch.randn(count, 3, generator=g)
    means = torch.cat([splats.means[: count // 2], -splats.means[: count // 2]])
    logits = 3 * torch.rand(count, generator=g) - 1  # all can be seen
    return replace(splats, means=means, log_scales=log_scales, opacity_logits=logits)


def started(file, sh_degree=0, **options):
    cloud = PointCloudFile(str(file), **options)(Stream(0, "init"))
    return Gaussians(Context(points=cloud), decay=1.0, sh_degree=sh_degree)


def scene_of(splats, sh_degree=0):
    points = PointCloud(splats.means, torch.zeros_like(splats.means), splats=splats)
    return Gaussians(Context(points=points), decay=1.0, sh_degree=sh_degree)


@torch.no_grad()
def seen(scene, turned=0.0, nearer=1.0):
    azimuth = torch.tensor([0.0, 70.0, 200.0]) + turned
    elevation, distance = torch.tensor([0.0, 30.0, -20.0]), torch.full((3,), 3.0 * nearer)
    return scene.render(orbit(azimuth, elevation, distance, torch.full((3,), 40.0), 32, 32)).rgb


@pytest.mark.parametrize("degree", [0, 2])
@pytest.mark.parametrize("yaw", [0.0, 50.0])
@pytest.mark.parametrize("radius", [None, 0.3])
def test_it_looks_the_same_turned_and_scaled(tmp_path, degree, yaw, radius):
    """From cameras that turn and come nearer with it."""
    splats = anisotropic(degree)
    save_ply(tmp_path / "theirs.ply", splats)
    size = 1.0 if radius is None else radius / float(splats.means.norm(dim=1).max())
    before = seen(scene_of(splats, degree))
    after = seen(started(tmp_path / "theirs.ply", degree, radius=radius, yaw=yaw), yaw, size)
    assert torch.allclose(after, before, atol=1e-3)
    assert (before - 1).abs().mean() > 0.05
    round_ones = scene_of(replace(splats, log_scales=splats.log_scales.mean(1, keepdim=True).expand(-1, 3)), degree)
    assert (seen(round_ones) - before).abs().mean() > 0.01


def written(path, splats, **changed):
    """In INRIA's columns and order, as float64, by nothing of gsd's."""
    count = len(splats.means)
    numbers = {
        **dict(zip("xyz", splats.means.T, strict=True)),
        **{f"n{axis}": torch.zeros(count) for axis in "xyz"},
        **{f"f_dc_{i}": splats.sh[:, 0, i] for i in range(3)},
        **{
            f"f_rest_{i}": splats.sh[:, 1:].transpose(1, 2).flatten(1)[:, i]
            for i in range(3 * splats.sh[0, 1:, 0].numel())
        },
        "opacity": splats.opacity_logits,
        **{f"scale_{i}": splats.log_scales[:, i] for i in range(3)},
        **{f"rot_{i}": splats.quats[:, i] for i in range(4)},
    } | changed
    numbers = {name: np.asarray(column, np.float64) for name, column in numbers.items() if column is not None}
    table = np.empty(count, dtype=[(name, "f8") for name in numbers])
    for name, column in numbers.items():
        table[name] = column
    PlyData([PlyElement.describe(table, "vertex")]).write(str(path))
    return path


def test_values(tmp_path):
    """One by one: sizes, opacities and colours as stored, means and rotations in our axes; rotations of any length."""
    splats = anisotropic(1)
    theirs = replace(splats, quats=splats.quats * torch.linspace(0.1, 9, 40)[:, None])
    p = started(written(tmp_path / "a.ply", theirs), 3, radius=None).params
    assert torch.allclose(p["log_scales"], splats.log_scales)
    assert torch.allclose(p["opacity_logits"], splats.opacity_logits)
    assert torch.allclose(p["sh"][:, 0], splats.sh[:, 0], atol=1e-6)
    assert not p["sh"][:, 4:].any()
    assert p["sh"].shape == (40, 16, 3)
    x, y, z = splats.means.unbind(1)  # right, down, forward; ours: front, left, up as seen by who looks at it
    assert torch.allclose(p["means"], torch.stack([-z, x, -y], 1), atol=1e-6)
    assert torch.allclose(p["quats"].norm(dim=1), torch.ones(40))
    scaled = started(tmp_path / "a.ply", radius=0.5)
    shift = math.log(0.5 / float(splats.means.norm(dim=1).max()))
    assert torch.allclose(scaled.params["log_scales"], splats.log_scales + shift, atol=1e-5)
    assert float(scaled.params["means"].norm(dim=1).max()) == pytest.approx(0.5, rel=1e-5)
    assert scaled.params["sh"].shape == (40, 1, 3)


def test_faint_ones_come_along_and_do_not_decide_on_the_size(tmp_path):
    splats = anisotropic()
    stray, faint = splats.means.clone(), splats.opacity_logits.clone()
    stray[0], faint[0] = 50.0, -5.0
    file = written(tmp_path / "a.ply", replace(splats, means=stray, opacity_logits=faint))
    cloud = PointCloudFile(str(file), radius=0.6)(Stream(0, "init"))
    scene = Gaussians(Context(points=cloud), decay=1.0)
    assert len(cloud.xyz) == 39
    assert len(scene.ids) == len(scene.params["means"]) == 40
    assert torch.allclose(scene.params["means"][1:], cloud.xyz, atol=1e-5)
    assert scene.params["means"][0].norm() > 5


def test_points_stay_points(tmp_path):
    """Without one of the columns, with colours under another name, grown, and asked to be grey."""
    splats = anisotropic()
    lacking = written(tmp_path / "lacking.ply", splats, rot_3=None)
    red = {name: np.ones(40) for name in ("red", "green", "blue")}
    coloured = written(tmp_path / "coloured.ply", replace(splats, sh=0 * splats.sh), **red)
    whole = written(tmp_path / "whole.ply", splats)
    clouds = [PointCloudFile(str(file)) for file in (lacking, coloured)]
    clouds.append(PointCloudFile(str(whole), grow=Growing(samples=1000, distance=0.05)))
    for cloud in clouds:
        assert cloud(Stream(0, "init")).splats is None
    points = PointCloudFile(str(whole))(Stream(0, "init"))
    grey = Gaussians(Context(points=points), decay=1.0, sh_degree=1, grey=0.25).params["sh"]
    assert torch.allclose(grey[:, 0], torch.full((40, 3), -0.25 / SH_C0))
    assert not grey[:, 1:].any()


def test_damaged_files_are_refused(tmp_path):
    splats = anisotropic()
    nan = splats.log_scales[:, 1].numpy().copy()
    nan[7] = np.nan
    quats = splats.quats.clone()
    quats[3] = 0
    whole = written(tmp_path / "whole.ply", splats)
    (tmp_path / "cut.ply").write_bytes(whole.read_bytes()[:-50])
    written(tmp_path / "nan.ply", splats, scale_1=nan)
    written(tmp_path / "zero.ply", replace(splats, quats=quats))
    written(tmp_path / "large.ply", replace(splats, log_scales=100 + splats.log_scales))
    written(tmp_path / "rest.ply", splats, f_rest_0=np.zeros(40))
    for name, sentence in {
        "cut": "declares 40 vertices, which take .* bytes, and has",
        "nan": r"a number of scale_0 \.\.\. scale_2 is not finite; write the file anew",
        "zero": "the rotation of Gaussian 3 is 0 0 0 0; write the file anew",
        "large": r"a Gaussian of it is e\^.* world units large; scale_0 \.\.\. are logarithms",
        "rest": "it has 1 columns f_rest; 0, 9, 24, 45 are those of degrees 0 to 3",
    }.items():
        with pytest.raises(GsdError, match=sentence) as refused:
            PointCloudFile(str(tmp_path / f"{name}.ply"))
        assert "\n" not in str(refused.value)


def test_one_gaussian_is_enough(tmp_path):
    one = Splats(**{name: value[:1] for name, value in vars(anisotropic()).items()})
    p = started(written(tmp_path / "one.ply", one)).params
    assert p["means"].tolist() == [[0, 0, 0]]
    assert torch.allclose(p["log_scales"], one.log_scales)


def test_a_run_starts_as_them(tmp_path):
    splats = anisotropic()
    file, small = written(tmp_path / "a.ply", splats), [o for o in SMALL if "init" not in o]
    given = (*small, "init=point_cloud", f"init.path={file}", "init.radius=null", "particles=2")
    for scene in build(quick(*given)).representation.scenes:
        assert torch.allclose(scene.params["log_scales"], splats.log_scales)
        assert torch.allclose(scene.params["opacity_logits"], splats.opacity_logits)
