"""What is drawn of a scene: its Gaussians as they are, or Gaussians on the surface of a field."""

import numpy as np
import pytest
import torch
from quick_config import quick
from scipy.spatial import cKDTree

from gsd.browser.splats import AT_ONCE, Drawing
from gsd.experiment import make_scene
from gsd.geometry import turntable, unproject
from gsd.rasterizer.ply import SH_C0
from gsd.types import Context, PointCloud

CPU = torch.device("cpu")


def scene(kind):
    cloud = PointCloud(0.3 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0)), torch.full((50, 3), 0.5))
    return make_scene(quick(f"representation={kind}"), Context("a cat", steps=4, points=cloud))


def test_gaussians_are_drawn_as_they_are():
    gaussians = scene("gaussians")
    p = gaussians.params
    with torch.no_grad():
        p["log_scales"][0] = torch.tensor([0.3, 0.1, 0.2]).log()
        p["quats"][0] = torch.tensor([1.0, 0.0, 0.0, 1.0])  # a quarter turn about z: the long axis becomes y
        p["opacity_logits"][0], p["opacity_logits"][1] = 2.0, -9.0
        p["sh"][0, 0] = torch.tensor([0.2, -0.3, 9.0]) / SH_C0
    drawn = Drawing(32, CPU)(gaussians, whole=False)
    assert drawn["centers"].shape == (49, 3)  # one is too faint to be seen
    assert np.allclose(drawn["covariances"][0], np.diag([0.01, 0.09, 0.04]), atol=1e-6)
    assert np.allclose(drawn["rgbs"][0], [0.7, 0.2, 1.0])
    assert drawn["opacities"][0, 0] == pytest.approx(0.8808, abs=1e-4)
    drawn["centers"][:] = 0  # a copy
    assert p["means"].abs().max() > 0.1


def test_a_field_is_drawn_by_its_surface_in_parts_or_whole():
    field, drawing = scene("instant_ngp"), Drawing(48, CPU)
    whole = drawing(field, whole=True)
    cameras = turntable(3, 32, start=20.0)
    with torch.no_grad():
        show = field.render(cameras)
    surface = unproject(show.depth, cameras)[show.alpha[:, 0] > 0.9]
    assert len(surface) > 200
    distance, _ = cKDTree(whole["centers"]).query(surface.numpy(), workers=1)
    assert np.quantile(distance, 0.95) < 2 * drawing.cell
    parts = Drawing(48, CPU)
    counts = [len(parts(field, whole=False)["centers"]) for _ in range(-(-len(drawing.cameras) // AT_ONCE))]
    assert counts == sorted(counts)
    assert counts[0] < 0.5 * counts[-1]
    assert abs(counts[-1] - len(whole["centers"])) < 0.01 * len(whole["centers"])
