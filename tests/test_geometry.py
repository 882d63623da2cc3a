from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gsd.geometry import (
    angle_between,
    co_visible,
    correspond,
    geometry_at,
    in_bounds,
    orbit,
    pixel_centres,
    project,
    resize_depth,
    sample,
    turntable,
    unproject,
)
from gsd.noising.check.reference import cameras, depth_along, render, surface

angles = st.floats(-720, 720, allow_nan=False)


@given(angles, st.floats(-80, 80), st.floats(1.0, 5.0), st.floats(20, 90))
def test_orbit_looks_at_the_origin_with_z_up(azimuth, elevation, distance, fov):
    cams = orbit(*(torch.tensor([x], dtype=torch.float64) for x in (azimuth, elevation, distance, fov)), 31, 20)
    rotation, translation = cams.viewmats[0, :3, :3], cams.viewmats[0, :3, 3]
    assert torch.allclose(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-12)
    assert torch.linalg.det(rotation) == pytest.approx(1)
    coords, z = project(torch.tensor([[0, 0, 0], [0, 0, 0.1]], dtype=torch.float64), cams)
    assert torch.allclose(coords[0, 0], torch.tensor([15.5, 10.0], dtype=torch.float64))
    assert z[0, 0] == pytest.approx(distance)
    assert coords[0, 1, 1] < coords[0, 0, 1]  # what is higher in the world is higher in the image
    position = -rotation.T @ translation
    az, el = torch.deg2rad(cams.azimuth[0]), torch.deg2rad(cams.elevation[0])
    expected = distance * torch.stack([el.cos() * az.cos(), el.cos() * az.sin(), el.sin()])
    assert torch.allclose(position, expected, atol=1e-9)


def test_front_camera_sees_left_and_right_as_a_person_would():
    coords, _ = project(torch.tensor([[0.0, 0.3, 0.0]]), turntable(4, 64))
    assert coords[0, 0, 0] > 32  # from the front (+x), world +y is to the right
    assert coords[2, 0, 0] < 32


def test_top_pixel_row_is_the_edge_of_the_field_of_view():
    cams = orbit(*(torch.tensor([x]) for x in (0.0, 0.0, 2.0, 50.0)), 64, 64)
    top = torch.tensor([[0.0, 0.0, 2.0 * torch.tan(torch.deg2rad(torch.tensor(25.0)))]])
    assert project(top, cams)[0][0, 0, 1].abs() < 1e-4


@given(angles, angles)
def test_angle_between_is_the_short_way_round(a, b):
    difference = float(angle_between(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)))
    assert -180 < difference <= 180
    turns = (difference - (a - b)) / 360
    assert abs(turns - round(turns)) < 1e-9


def test_unproject_inverts_project():
    cams = turntable(3, 24, elevation=20.0)
    depth = 1.5 + torch.rand(3, 1, 24, 24, dtype=torch.float32)
    world = unproject(depth, cams)
    for v in range(3):
        coords, z = project(world[v].reshape(-1, 3), cams[v : v + 1])
        assert torch.allclose(coords.view(24, 24, 2), pixel_centres(24, 24), atol=1e-4)
        assert torch.allclose(z.view(24, 24), depth[v, 0], atol=1e-5)


def test_resized_cameras_see_the_same_thing():
    cams, points = turntable(5, 64), torch.rand(20, 3) - 0.5
    full, z = project(points, cams)
    half, z_half = project(points, cams.resized(32, 16))
    assert torch.allclose(half * torch.tensor([2.0, 4.0]), full, atol=1e-4)
    assert torch.equal(z, z_half)


@pytest.mark.parametrize("degrees", [1.0, 5.0, 30.0])
def test_correspond_agrees_with_direct_projection(degrees):
    cams = cameras(0.0, degrees, elevation=10.0)
    depth = 1.0 + torch.rand(1, 1, 64, 64)
    coords, z = correspond(depth, cams[:1], cams[1:])
    direct, direct_z = project(unproject(depth, cams[:1]).view(-1, 3), cams[1:])
    assert (coords.view(-1, 2) - direct[0]).abs().max() < 1e-3  # pixels
    assert (z.flatten() - direct_z[0]).abs().max() < 1e-5


def test_eq_11_as_printed_is_off_by_several_pixels():
    """Without the translation: 6.5 pixels of error on the reference scene, where the true displacement is 1.5."""
    cams = cameras(0.0, 5.0)
    shown = render(cams)
    true, _ = correspond(shown.depth[:1], cams[:1], cams[1:])
    at_infinity, _ = correspond(torch.full((1, 1, 64, 64), 1e6), cams[:1], cams[1:])  # where translations vanish
    inside = shown.alpha[0, 0] > 0.5
    assert (true[0] - pixel_centres(64, 64))[inside].norm(dim=-1).mean() == pytest.approx(1.52, abs=0.02)
    assert (at_infinity - true)[0, inside].norm(dim=-1).mean() == pytest.approx(6.49, abs=0.02)


@pytest.mark.parametrize(("degrees", "recall", "false"), [(5.0, 0.97, 0.01), (15.0, 0.94, 0.015), (30.0, 0.90, 0.03)])
def test_occlusion_mask_against_exact_visibility(degrees, recall, false):
    cams = cameras(0.0, degrees)
    shown = render(cams)
    coords, z = correspond(shown.depth[:1], cams[:1], cams[1:])
    mask = co_visible(coords, z, shown.alpha[:1], shown.depth[1:], shown.alpha[1:], 0.07)
    truth = (depth_along(cams[1:], coords) - z).abs() < 1e-3
    truth &= in_bounds(coords, 64, 64) & (shown.alpha[:1, 0] > 0.5)
    assert (mask & truth).sum() / truth.sum() >= recall
    assert (mask & ~truth).sum() / mask.sum() <= false


def test_straight_through_is_nearest_forward_and_bilinear_backward():
    maps = torch.randn(2, 3, 8, 9)
    coords = torch.rand(2, 5, 6, 2) * 12 - 2  # some outside
    gradients = {}
    for mode in ("nearest", "straight_through", "bilinear"):
        c = coords.clone().requires_grad_()
        values = sample(maps, c, mode)
        if mode == "straight_through":
            assert torch.equal(values, sample(maps, coords, "nearest"))
        if values.requires_grad:
            gradients[mode] = torch.autograd.grad((values * torch.arange(values.numel()).view_as(values)).sum(), c)[0]
    assert "nearest" not in gradients  # its derivative is zero everywhere
    assert torch.equal(gradients["straight_through"], gradients["bilinear"])
    assert gradients["bilinear"].abs().sum() > 0


def test_nearest_reads_the_pixel_that_contains_the_point():
    maps = torch.arange(12.0).view(1, 1, 3, 4)
    coords = torch.tensor([[[[0.0, 0.0], [3.999, 2.999], [1.5, 0.999], [4.0, 0.0], [-0.01, 1.0]]]])
    assert sample(maps, coords, "nearest").flatten().tolist() == [0, 11, 1, 0, 0]


def test_correspond_and_bilinear_sampling_pass_gradcheck():
    cams = cameras(0.0, 5.0, size=6)
    cams = type(cams)(
        **{k: v.double() if torch.is_tensor(v) and v.is_floating_point() else v for k, v in vars(cams).items()}
    )
    depth = (1.2 + 0.3 * torch.rand(1, 1, 6, 6, dtype=torch.float64)).requires_grad_()
    maps = torch.randn(1, 2, 6, 6, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda d: correspond(d, cams[:1], cams[1:]), depth)
    assert torch.autograd.gradcheck(lambda d: sample(maps, correspond(d, cams[:1], cams[1:])[0], "bilinear"), depth)


def test_points_behind_the_target_camera_stay_finite():
    cams = cameras(0.0, 180.0)
    coords, z = correspond(torch.full((1, 1, 64, 64), 5.0), cams[:1], cams[1:])
    assert coords.isfinite().all()
    assert (z < 0).any()


def test_resized_depth_ignores_the_empty_part_of_a_pixel():
    alpha, depth = torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)
    alpha[..., 0, 0], depth[..., 0, 0] = 1.0, 1.7
    small, cover = resize_depth(depth, alpha, (2, 2))
    assert small[0, 0, 0, 0] == pytest.approx(1.7)
    assert cover[0, 0, 0, 0] == pytest.approx(0.25)
    assert small[0, 0, 1, 1] == 0


def test_reference_surface_lies_on_its_depth_map():
    cams = cameras(0.0, 90.0)
    coords, z = project(surface(500).points, cams)
    gap = z - depth_along(cams, coords).float()
    assert (gap > -1e-4).float().mean() > 0.99  # nothing in front of the first hit, but for rounding at silhouettes
    assert 0.2 < (gap.abs() < 1e-4).float().mean() < 0.6  # and a good part of it visible


def test_latent_depth_keeps_the_graph_of_the_depth_alone():
    cams = cameras(0.0, 5.0, size=32)
    shown = render(cams)
    depth, alpha = shown.depth.clone().requires_grad_(), (0.9 * shown.alpha).requires_grad_()
    seen = geometry_at(surface(10), replace(shown, depth=depth, alpha=alpha), cams, 8, 8)
    assert (seen.cameras.width, seen.depth.shape) == (8, (2, 1, 8, 8))
    seen.depth.sum().backward()
    assert depth.grad.abs().sum() > 0
    assert alpha.grad is None
    assert not seen.alpha.requires_grad
