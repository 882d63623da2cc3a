import math

import numpy as np
import pytest
import torch
from made_runs import random_splats
from plyfile import PlyData

from gsd.errors import GsdError
from gsd.geometry import rotation_matrices, turntable
from gsd.rasterizer import rasterize
from gsd.rasterizer.ply import QUAT_TO_FILE, WORLD_TO_FILE, Splats, load_ply, quat_product, save_ply
from gsd.rasterizer.sh import colors_from_sh


def picture(s, viewmats, Ks):
    colors = colors_from_sh(s.sh, s.means, viewmats)
    return rasterize(
        s.means, s.quats, s.log_scales.exp(), s.opacity_logits.sigmoid(), colors, viewmats, Ks, 32, 32, backend="torch"
    )[0]


@pytest.mark.parametrize("degree", [0, 1, 2, 3])
def test_round_trip(tmp_path, degree):
    splats = random_splats(degree)
    save_ply(tmp_path / "scene.ply", splats)
    back = load_ply(tmp_path / "scene.ply")
    for name in ("means", "log_scales", "opacity_logits", "sh"):
        assert torch.allclose(getattr(back, name), getattr(splats, name), atol=1e-5), name
    same_rotation = (back.quats * splats.quats).sum(-1).abs()
    assert torch.allclose(same_rotation, torch.ones_like(same_rotation), atol=1e-5)


@pytest.mark.parametrize("degree", [0, 3])
def test_the_file_read_in_its_own_axes_shows_the_same_picture(tmp_path, degree):
    """Another viewer knows nothing of our world: cameras turned into the file's axes must see what ours see."""
    splats, cams = random_splats(degree), turntable(3, 32)
    save_ply(tmp_path / "scene.ply", splats)
    vertex = PlyData.read(str(tmp_path / "scene.ply"))["vertex"]

    def columns(*names):
        return torch.from_numpy(np.stack([vertex[n] for n in names], 1).astype(np.float32))

    rest = columns(*(f"f_rest_{i}" for i in range(3 * ((degree + 1) ** 2 - 1)))) if degree else torch.zeros(40, 0)
    foreign = Splats(
        columns("x", "y", "z"),
        columns(*(f"rot_{i}" for i in range(4))),
        columns(*(f"scale_{i}" for i in range(3))),
        columns("opacity")[:, 0],
        torch.cat([columns("f_dc_0", "f_dc_1", "f_dc_2")[:, None], rest.unflatten(1, (3, -1)).transpose(1, 2)], 1),
    )
    viewmats = cams.viewmats.clone()
    viewmats[:, :3, :3] = viewmats[:, :3, :3] @ WORLD_TO_FILE.T
    ours, theirs = picture(splats, cams.viewmats, cams.Ks), picture(foreign, viewmats, cams.Ks)
    assert torch.allclose(ours, theirs, atol=2e-4)


def test_axes():
    """Up (+z) is the file's -y, the front (+x) faces a viewer at -z."""
    assert (WORLD_TO_FILE @ torch.tensor([0.0, 0.0, 1.0])).tolist() == [0, -1, 0]
    assert (WORLD_TO_FILE @ torch.tensor([1.0, 0.0, 0.0])).tolist() == [0, 0, -1]
    assert torch.allclose(rotation_matrices(QUAT_TO_FILE[None])[0], WORLD_TO_FILE, atol=1e-6)
    a, b = torch.nn.functional.normalize(torch.randn(2, 5, 4), dim=-1)
    product = rotation_matrices(quat_product(a, b))
    assert torch.allclose(product, rotation_matrices(a) @ rotation_matrices(b), atol=1e-5)


def test_layout_is_the_one_other_programs_expect(tmp_path):
    save_ply(tmp_path / "scene.ply", random_splats(3))
    head = (tmp_path / "scene.ply").read_bytes().split(b"end_header")[0].decode()
    assert "format binary_little_endian 1.0" in head
    names = [line.split()[-1] for line in head.splitlines() if line.startswith("property float")]
    assert len(names) == 62
    assert names[:9] == ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2"]
    assert names[54:] == ["opacity", "scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]


def test_a_file_without_gaussians_is_refused(tmp_path):
    from plyfile import PlyElement

    table = np.zeros(3, dtype=[("x", "f4"), ("y", "f4"), ("z", "f4")])
    PlyData([PlyElement.describe(table, "vertex")]).write(str(tmp_path / "points.ply"))
    with pytest.raises(GsdError, match="the column 'f_dc_0' is missing"):
        load_ply(tmp_path / "points.ply")


def test_infinite_logits_are_nothing_and_all(tmp_path):
    """Files made of opacities in 8 bits have them; a number that is none is refused all the same."""
    splats = random_splats(0)
    splats.opacity_logits[:2] = torch.tensor([math.inf, -math.inf])
    save_ply(tmp_path / "scene.ply", splats)
    opacity = load_ply(tmp_path / "scene.ply").opacity_logits.double().sigmoid()
    assert opacity[:2].tolist() == pytest.approx([1, 0], abs=1e-6)
    assert torch.allclose(opacity[2:], splats.opacity_logits[2:].double().sigmoid())
    splats.opacity_logits[0] = math.nan
    save_ply(tmp_path / "scene.ply", splats)
    with pytest.raises(GsdError, match=r"opacity \.\.\. opacity is not finite"):
        load_ply(tmp_path / "scene.ply")
