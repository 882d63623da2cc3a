"""Bad input: no crash, no hang, no NaN in the image of the other Gaussians, and errors that name what to mend."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from splats import NAMES, ball, gradients

from gsd.errors import GsdError
from gsd.rasterizer import rasterize

BACKENDS = ["cpu", "torch"]
STRANGE = [math.nan, math.inf, -math.inf, 0.0, -1.0, 1e-30, 1e18, 3e38, -3e38]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", NAMES)
def test_a_gaussian_that_is_not_finite_is_left_out(name, value, backend):
    scene = ball(41, 20, 18, views=2)
    whole, *_ = rasterize(**{**scene, **{n: scene[n][1:] for n in NAMES}}, backend=backend)
    scene[name][0] = value
    render, alpha, info, grads = gradients(scene, backend=backend)
    assert torch.equal(render, whole)
    assert alpha.isfinite().all()
    assert (info["radii"][:, 0] == 0).all()
    for parameter in NAMES:
        assert (grads[parameter][0] == 0).all()
        assert grads[parameter].isfinite().all()


@settings(max_examples=60, deadline=None)
@given(data=st.data(), width=st.integers(1, 70), height=st.integers(1, 9), count=st.integers(0, 9))
def test_any_numbers_give_finite_images_and_gradients(data, width, height, count):
    scene = ball(count, width, height, views=data.draw(st.integers(1, 3)))
    for _ in range(data.draw(st.integers(0, 6)) if count else 0):
        tensor = scene[data.draw(st.sampled_from(NAMES))]
        tensor.view(-1)[data.draw(st.integers(0, tensor.numel() - 1))] = data.draw(st.sampled_from(STRANGE))
    huge = (scene["colors"].abs() > 1e10).any()  # such a Gaussian is itself drawn in its colour
    render, alpha, _, grads = gradients(scene, backend="cpu")
    assert alpha.isfinite().all()
    assert ((alpha >= 0) & (alpha <= 1.00001)).all()
    if not huge:
        assert render.isfinite().all()
        assert all(grads[name].isfinite().all() for name in NAMES)


@pytest.mark.parametrize("backend", BACKENDS)
def test_extremes_that_are_legal(backend):
    scene = ball(50, 17, 1, views=2)
    scene["scales"][0] = 0.0
    scene["scales"][1] = 1e4  # covers everything
    scene["quats"][2] = 0.0
    scene["means"][3] = torch.linalg.inv(scene["viewmats"][0])[:3, 3]  # in the camera
    scene["means"][4] = scene["means"][3] * 2  # behind it
    scene["opacities"][5:8] = torch.tensor([-0.5, 1.0, 7.0])
    render, _, info, grads = gradients(scene, backend=backend)
    assert render.isfinite().all()
    assert all(grads[name].isfinite().all() for name in NAMES)
    assert (info["radii"][0, [3, 4, 5]] == 0).all()
    assert (grads["opacities"][5] == 0).all()


def test_legal_extremes_look_the_same_on_both_backends():
    scene = ball(30, 40, 30)
    scene["scales"][:3] = torch.tensor([[5.0, 1e-6, 1e-6], [0.3, 0.3, 1e-7], [0.0, 0.0, 0.0]])  # needle, disc, point
    scene["opacities"][4:6] = torch.tensor([1.0, 5.0])
    a, *_ = rasterize(**scene, backend="cpu")
    double = {k: v.double() if isinstance(v, torch.Tensor) else v for k, v in scene.items()}
    b, *_ = rasterize(**double, backend="torch")
    assert ((a - b).abs().amax(-1) > 1e-4).double().mean() < 0.002


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [(1, 1), (65, 3), (3, 129)])
def test_empty_scene_is_background(size, backend):
    scene = ball(0, *size, views=2)
    background = torch.tensor([0.25, 0.5, 1.0])
    render, alpha, info, grads = gradients(scene, background=background, backend=backend)
    assert torch.equal(render[..., :3], background.expand(2, size[1], size[0], 3))
    assert not render[..., 3].any()
    assert not alpha.any()
    assert info["means2d"].shape == (2, 0, 2)
    assert grads["means"].shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "shape", "wanted"),
    [
        ("means", (10, 2), "(10, 3)"),
        ("means", (), "(N, 3)"),
        ("quats", (10, 3), "(10, 4)"),
        ("scales", (9, 3), "(10, 3)"),
        ("opacities", (10, 1), "(10)"),
        ("colors", (3, 10, 3), "(10, 3) or (2, 10, 3)"),
        ("viewmats", (2, 3, 4), "(2, 4, 4)"),
        ("Ks", (1, 3, 3), "(2, 3, 3)"),
        ("background", (2, 4), "(2, 3)"),
    ],
)
def test_wrong_shapes_are_named(name, shape, wanted):
    scene = ball(10, 8, 8, views=2) | {name: torch.zeros(shape)}
    with pytest.raises(GsdError, match=name) as error:
        rasterize(**scene)
    assert wanted in str(error.value)


def test_other_misuse_is_named():
    scene = ball(3, 8, 8)
    with pytest.raises(GsdError, match="width"):
        rasterize(**scene | {"width": 0})
    with pytest.raises(GsdError, match="opacities has dtype"):
        rasterize(**scene | {"opacities": torch.ones(3, dtype=torch.long)})
    with pytest.raises(GsdError, match="did you mean gsplat"):
        rasterize(**scene, backend="gsplatt")
    with pytest.raises(GsdError, match="CUDA"):
        rasterize(**scene, backend="gsplat")
    with pytest.raises(GsdError, match="near_plane"):
        rasterize(**scene, near_plane=0.0)


def test_a_changed_input_is_noticed_and_the_graph_can_be_kept():
    scene = ball(20, 8, 8)
    scene["means"].requires_grad_()
    render, *_ = rasterize(**scene, backend="cpu")
    render.sum().backward(retain_graph=True)
    first = scene["means"].grad.clone()
    render.sum().backward(retain_graph=True)
    assert torch.equal(scene["means"].grad, 2 * first)
    with torch.no_grad():
        scene["means"] += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        render.sum().backward()
