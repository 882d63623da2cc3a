import numpy as np
import pytest
import torch

from gsd.errors import GsdError
from gsd.init.parts.cloud import Growing, save, turned
from gsd.init.point_cloud import PointCloudFile
from gsd.random import Stream
from gsd.rasterizer.ply import SH_C0, Splats, save_ply
from gsd.types import PointCloud

RNG = Stream(0, "init")


def some(count=200):
    g = torch.Generator().manual_seed(0)
    return PointCloud(0.3 * torch.randn(count, 3, generator=g), torch.rand(count, 3, generator=g))


@pytest.mark.parametrize(("ending", "tolerance"), [("ply", 0.5 / 255 + 1e-6), ("npz", 0.0)])
def test_what_is_saved_is_what_is_loaded(tmp_path, ending, tolerance):
    cloud, path = some(), tmp_path / f"cloud.{ending}"
    save(path, cloud)
    back = PointCloudFile(str(path), radius=None)(RNG)
    assert torch.equal(back.xyz, cloud.xyz)
    assert (back.rgb - cloud.rgb).abs().max() <= tolerance


def test_only_these_two_kinds_of_file(tmp_path):
    with pytest.raises(GsdError, match=r"saved as .ply or .npz"):
        save(tmp_path / "cloud.obj", some())


def test_the_scene_of_a_run_is_a_start(tmp_path):
    """In world axes, with its colours, without what nobody sees."""
    cloud = some()
    visible = torch.arange(200) % 4 != 0
    save_ply(
        tmp_path / "scene.ply",
        Splats(
            cloud.xyz,
            torch.tensor([1.0, 0, 0, 0]).repeat(200, 1),
            torch.full((200, 3), -3.0),
            torch.where(visible, 2.0, -4.0),
            ((cloud.rgb - 0.5) / SH_C0)[:, None],
        ),
    )
    back = PointCloudFile(str(tmp_path / "scene.ply"), radius=None)(RNG)
    assert torch.allclose(back.xyz, cloud.xyz[visible], atol=1e-6)
    assert torch.allclose(back.rgb, cloud.rgb[visible], atol=1e-5)


def test_what_point_e_saves_is_a_start(tmp_path):
    cloud = some()
    channels = dict(zip("RGB", cloud.rgb.numpy().T, strict=True))
    np.savez(tmp_path / "corgi.npz", coords=cloud.xyz.numpy(), **channels)
    back = PointCloudFile(str(tmp_path / "corgi.npz"), radius=None, yaw=90)(RNG)
    assert torch.allclose(back.xyz, torch.stack([-cloud.xyz[:, 1], cloud.xyz[:, 0], cloud.xyz[:, 2]], 1), atol=1e-6)
    assert torch.allclose(back.rgb, cloud.rgb)


def test_turning_is_counter_clockwise_from_above():
    front = torch.tensor([[1.0, 0.0, 0.5]])
    assert torch.allclose(turned(front, 90), torch.tensor([[0.0, 1.0, 0.5]]), atol=1e-6)


def test_growing_keeps_the_cloud_and_adds_what_is_near():
    cloud, distance = some(50), 0.05
    grown = Growing(samples=40_000, distance=distance, colour=0.2)(cloud, RNG)
    assert torch.equal(grown.xyz[:50], cloud.xyz)
    apart, nearest = torch.cdist(grown.xyz[50:], cloud.xyz).min(1)
    assert apart.max() < distance
    brighter = grown.rgb[50:] - cloud.rgb[nearest]
    assert brighter.min() > -1e-6
    assert brighter.max() <= 0.2 + 1e-6
    assert grown.rgb.max() <= 1
    # As many as volume says: of points that fall uniformly into the box, those inside a union of balls.
    box = cloud.xyz.amax(0) - cloud.xyz.amin(0)
    probe = cloud.xyz.amin(0) + box * torch.rand(40_000, 3, generator=torch.Generator().manual_seed(1))
    expected = int((torch.cdist(probe, cloud.xyz).min(1)[0] < distance).sum())
    assert abs(len(grown.xyz) - 50 - expected) < 5 * (2 * expected) ** 0.5


def test_growing_of_one_point_and_of_every_file(tmp_path):
    one = PointCloud(torch.zeros(1, 3), torch.ones(1, 3))
    assert len(Growing(samples=10)(one, RNG).xyz) == 11
    save(tmp_path / "cloud.npz", some())
    grown = PointCloudFile(str(tmp_path / "cloud.npz"), grow=Growing(samples=2000, distance=0.1))(RNG)
    assert len(grown.xyz) > 300


def test_the_command_saves_what_init_point_cloud_reads(tmp_path, monkeypatch, capsys):
    from gsd.tools.init import main

    out = tmp_path / "corgi.ply"
    monkeypatch.setattr(
        "sys.argv", ["gsd.init", "init=menagerie", "prompt=a corgi", "init.points=300", "--out", str(out)]
    )
    main()
    assert f"init.path={out}" in capsys.readouterr().out
    assert len(PointCloudFile(str(out), radius=None)(RNG).xyz) == 300
