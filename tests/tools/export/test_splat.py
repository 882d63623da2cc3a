import gzip
import io
import struct

import numpy as np
import pytest
import torch
from made_runs import random_splats
from plyfile import PlyData

from gsd.errors import GsdError
from gsd.geometry import rotation_matrices
from gsd.meshing.mesh import QUAT_TO_Y_UP, WORLD_TO_Y_UP
from gsd.rasterizer.ply import QUAT_TO_FILE, SH_C0, WORLD_TO_FILE, save_ply, turned
from gsd.tools.export.splat import LAYOUT, save_splat
from gsd.tools.export.spz import save_spz


def test_splat_holds_the_scene_in_32_bytes_each(tmp_path):
    splats = random_splats(degree=1)
    save_splat(tmp_path / "scene.splat", splats)
    content = (tmp_path / "scene.splat").read_bytes()
    assert len(content) == 32 * 40
    table = np.frombuffer(content, LAYOUT)
    opacity, volume = splats.opacity_logits.sigmoid(), splats.log_scales.sum(-1).exp()
    order = (opacity * volume).argsort(descending=True)
    expected = turned(splats, WORLD_TO_FILE, QUAT_TO_FILE)
    assert np.array_equal(table["position"], expected.means[order].numpy())
    assert np.allclose(table["scale"], splats.log_scales.exp()[order])
    assert np.abs(table["rgba"][:, 3] - 255 * opacity[order].numpy()).max() <= 0.51
    colour = (255 * (0.5 + SH_C0 * expected.sh[order, 0])).clamp(0, 255)
    assert np.abs(table["rgba"][:, :3] - colour.numpy()).max() <= 0.51
    quats = (table["rotation"].astype(np.float32) - 128) / 128
    agreement = np.abs((quats * expected.quats[order].numpy()).sum(-1)) / np.linalg.norm(quats, axis=-1)
    assert agreement.min() > 1 - 1e-4


@pytest.mark.parametrize(("kind", "save"), [("ply", save_ply), ("splat", save_splat)])
def test_another_reader_finds_the_same_gaussians(tmp_path, kind, save):
    gaussforge = pytest.importorskip("gaussforge")
    splats = random_splats()
    save(tmp_path / "scene", splats)
    back = gaussforge.GaussForge().convert((tmp_path / "scene").read_bytes(), kind, "ply")["data"]
    vertex = PlyData.read(io.BytesIO(back))["vertex"]
    found = torch.from_numpy(np.stack([vertex[p.name] for p in vertex.properties], 1))
    names = [p.name for p in vertex.properties]
    expected = turned(splats, WORLD_TO_FILE, QUAT_TO_FILE)
    largest_first = (splats.opacity_logits.sigmoid() * splats.log_scales.sum(-1).exp()).argsort(descending=True)
    order = largest_first if kind == "splat" else torch.arange(len(splats.means))
    fine, byte = 1e-5, 0.51 / 255

    def columns(prefix, count):
        first = names.index(prefix)
        return found[:, first : first + count]

    assert torch.allclose(columns("x", 3), expected.means[order], atol=fine)
    assert torch.allclose(columns("scale_0", 3), expected.log_scales[order], atol=fine)
    rgb = (0.5 + SH_C0 * expected.sh[order, 0]).clamp(0, 1)  # .splat holds no others
    assert torch.allclose((0.5 + SH_C0 * columns("f_dc_0", 3)).clamp(0, 1), rgb, atol=byte)
    assert torch.allclose(columns("opacity", 1).sigmoid()[:, 0], expected.opacity_logits[order].sigmoid(), atol=byte)
    assert (columns("rot_0", 4) * expected.quats[order]).sum(-1).abs().min() > 1 - 1e-4


def test_y_up_is_a_rotation_with_the_front_along_z():
    assert torch.allclose(rotation_matrices(QUAT_TO_Y_UP[None])[0], WORLD_TO_Y_UP, atol=1e-6)
    assert (WORLD_TO_Y_UP @ torch.tensor([1.0, 0.0, 0.0])).tolist() == [0, 0, 1]
    assert (WORLD_TO_Y_UP @ torch.tensor([0.0, 0.0, 1.0])).tolist() == [0, 1, 0]


@pytest.mark.parametrize(("degree", "version", "turn"), [(0, 2, 3e-3), (2, 2, 3e-3), (0, 3, 1e-3)])
def test_spz_comes_back_as_it_went(tmp_path, degree, version, turn):
    """Through the library's own reader, within what 8 bits hold; degree 2 shows that harmonics turn too."""
    gaussforge = pytest.importorskip("gaussforge")
    splats = random_splats(degree)
    save_spz(tmp_path / "scene.spz", splats, version)
    back = gaussforge.GaussForge().convert((tmp_path / "scene.spz").read_bytes(), "spz", "ply")["data"]
    vertex = PlyData.read(io.BytesIO(back))["vertex"]

    def columns(*names):
        return torch.from_numpy(np.stack([vertex[n] for n in names], 1).astype(np.float32))

    expected = turned(splats, WORLD_TO_Y_UP, QUAT_TO_Y_UP)
    assert torch.allclose(columns("x", "y", "z"), expected.means, atol=1.5 / 4096)
    assert torch.allclose(columns("scale_0", "scale_1", "scale_2"), expected.log_scales, atol=1 / 16)
    assert torch.allclose(columns("opacity").sigmoid()[:, 0], expected.opacity_logits.sigmoid(), atol=1.5 / 255)
    dc = columns("f_dc_0", "f_dc_1", "f_dc_2")
    assert torch.allclose(dc, expected.sh[:, 0], atol=1.5 / (0.15 * 255))
    same_rotation = (columns("rot_0", "rot_1", "rot_2", "rot_3") * expected.quats).sum(-1).abs()
    assert same_rotation.min() > 1 - turn
    if degree:
        rest = columns(*(f"f_rest_{i}" for i in range(3 * 8))).unflatten(1, (3, 8)).transpose(1, 2)
        assert torch.allclose(rest, expected.sh[:, 1:], atol=0.1)


def test_spz_is_y_up_for_a_reader_that_knows_only_the_format(tmp_path):
    """Positions by hand: a gzip of a 16-byte header and 24-bit fixed-point numbers; x right, y up, z towards us."""
    pytest.importorskip("gaussforge")
    splats = random_splats()
    save_spz(tmp_path / "scene.spz", splats)
    raw = gzip.decompress((tmp_path / "scene.spz").read_bytes())
    magic, version, count, _, bits, _, _ = struct.unpack("<IIIBBBB", raw[:16])
    assert (magic.to_bytes(4, "little"), version, count) == (b"NGSP", 2, 40)
    digits = np.frombuffer(raw[16 : 16 + 9 * count], np.uint8).reshape(count, 3, 3).astype(np.int64)
    fixed = digits @ [1, 1 << 8, 1 << 16]
    xyz = np.where(fixed >= 1 << 23, fixed - (1 << 24), fixed) / (1 << bits)
    left, up, front = xyz[:, 0], xyz[:, 1], xyz[:, 2]
    assert np.allclose(np.stack([front, left, up], 1), splats.means.numpy(), atol=1.5 / (1 << bits))


def test_spz_without_its_library_names_it(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gaussforge", None)
    with pytest.raises(GsdError, match="pip install gaussforge"):
        save_spz(tmp_path / "scene.spz", random_splats())
