"""The compiled rasteriser and its plain-torch twin against a dense float64 renderer."""

import pytest
import torch
from splats import NAMES, ball, dense, gradients, pull, relative

from gsd.rasterizer import rasterize

BACKGROUND = torch.tensor([0.2, 0.9, 0.5], dtype=torch.float64)
SCENES = {
    "plain": {"count": 500, "width": 32, "height": 32, "views": 2},
    "odd_size": {"count": 400, "width": 61, "height": 33, "seed": 1},
    "opaque": {"count": 900, "width": 32, "height": 24, "seed": 2, "opacity": (0.6, 1.0)},
    "crowded": {"count": 2500, "width": 24, "height": 24, "seed": 3},
    "large_splats": {"count": 120, "width": 70, "height": 66, "seed": 4, "visible_px": 60.0},
}


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("backend", ["cpu", "torch"])
def test_image_depth_and_gradients_equal_the_dense_renderer(name, backend):
    scene = ball(**SCENES[name])
    render, alpha, margin, inputs = dense(scene, BACKGROUND)
    # Pixels that decide otherwise within float32 rounding are left out, in the image and in the gradient.
    certain = margin > 2e-4
    assert certain.double().mean() > 0.9
    pull(render, alpha, certain)
    dtype = torch.float64 if backend == "torch" else torch.float32
    tolerance = 1e-9 if backend == "torch" else 1e-5
    background = BACKGROUND.to(dtype)
    got, got_alpha, _info, grads = gradients(scene, certain, dtype=dtype, backend=backend, background=background)
    assert ((got - render).abs() * certain)[..., :3].max() < tolerance
    assert ((got - render).abs() * certain)[..., 3].max() < tolerance * 2.5  # relative to the camera's distance
    assert ((got_alpha - alpha).abs() * certain).max() < tolerance
    for parameter in NAMES:
        assert relative(grads[parameter], inputs[parameter].grad) < 2 * tolerance, parameter


@pytest.mark.parametrize(("count", "size"), [(5_000, 64), (20_000, 128)])
def test_large_scenes_equal_the_twin_but_for_pixels_that_decide_otherwise(count, size):
    scene = ball(count, size, size)
    a, _, info_a, grads_a = gradients(scene, backend="cpu")
    b, _, info_b, grads_b = gradients(scene, dtype=torch.float64, backend="torch")
    assert ((a - b).abs().amax(-1) > 1e-4).double().mean() < 1e-3
    assert (info_a["radii"] != info_b["radii"]).double().mean() < 1e-3
    assert torch.allclose(info_a["depths"].double(), info_b["depths"], atol=1e-6)
    for name, expected in grads_b.items():
        rows = expected.reshape(-1, expected.shape[-1] if expected.ndim > 1 else 1)
        error = (grads_a[name].reshape(rows.shape).double() - rows).norm(dim=-1) / rows.norm(dim=-1).clamp(min=1e-12)
        assert error[rows.norm(dim=-1) > 0].median() < 1e-4, name


def test_gradients_of_cameras_background_and_view_colors():
    scene = ball(303, 40, 36, views=2)  # the kernels take four at a time
    scene["colors"] = torch.stack([scene["colors"], scene["colors"].flip(0)])
    scene["background"] = torch.tensor([[0.1, 0.2, 0.3], [0.7, 0.8, 0.9]])
    also = ("viewmats", "background")
    *_, a = gradients(scene, also=also, backend="cpu")
    *_, b = gradients(scene, also=also, backend="torch", dtype=torch.float64)
    for name in ("colors", "viewmats", "background", "means2d"):
        assert a[name].shape == b[name].shape
        assert relative(a[name], b[name]) < 2e-5, name


def test_splats_beside_the_camera_use_the_clamped_linearisation():
    scene = ball(60, 32, 32, seed=5, visible_px=20.0)
    scene["means"] *= 4.5  # all around the camera and behind it
    *_, a = gradients(scene, backend="cpu")
    *_, b = gradients(scene, backend="torch", dtype=torch.float64)
    for name in NAMES:
        assert relative(a[name], b[name]) < 1e-4, name


def test_float64_and_non_contiguous_inputs_give_the_same_image():
    scene = ball(100, 32, 32)
    expected, _, _ = rasterize(**scene, backend="cpu")
    strange = {
        k: v.double().T.contiguous().T if isinstance(v, torch.Tensor) and v.ndim == 2 else v for k, v in scene.items()
    }
    strange["means"].requires_grad_()
    got, alpha, _ = rasterize(**strange, backend="cpu")
    assert torch.equal(got, expected)
    alpha.sum().backward()
    assert strange["means"].grad.dtype == torch.float64
