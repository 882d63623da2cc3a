"""The Triton rasteriser, in Triton's interpreter or on a GPU if there is one, against the CPU's and the torch twin."""

import math
from contextlib import nullcontext

import pytest
import torch
from splats import NAMES, ball, gradients, relative
from virtual_cuda import held, virtual_cuda

from gsd.rasterizer import gsplat_cuda, rasterize

pytest.importorskip("triton")
from gsd.rasterizer import triton_cuda

REAL = torch.cuda.is_available()
pytestmark = pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # numpy's, on a NaN in the interpreter


@pytest.fixture(autouse=True)
def _cuda(monkeypatch):
    with nullcontext() if REAL else virtual_cuda():
        monkeypatch.setattr(triton_cuda, "TILE", 16)
        monkeypatch.setattr(triton_cuda, "TOGETHER", 16)
        yield


def here(x):
    return held(x).detach().cpu()


def on_cuda(scene, backend="triton", **options):
    """As splats.gradients, of the scene on CUDA."""
    there = {k: v.to("cuda") if isinstance(v, torch.Tensor) else v for k, v in scene.items()}
    render, alpha, info, grads = gradients(there, backend=backend, **options)
    assert render.is_cuda
    assert grads["means"].is_cuda
    shown = {name: here(info[name]) for name in ("radii", "depths")} | {
        "width": info["width"],
        "views": info["n_cameras"],
    }
    return here(render), here(alpha), shown, {name: here(g) for name, g in grads.items()}


def agree(scene, also=(), tolerance=2e-5):
    """Image, gradients and info of CUDA and of the CPU; returns those of CUDA."""
    made, expected = on_cuda(scene, also=also), gradients(scene, also=also, backend="cpu")
    assert (made[0] - expected[0]).abs().max() < 1e-5
    assert (made[1] - expected[1]).abs().max() < 1e-5
    assert torch.equal(made[2]["radii"], expected[2]["radii"])
    assert torch.allclose(made[2]["depths"], expected[2]["depths"])
    for name in (*NAMES, *also, "means2d"):
        assert made[3][name].shape == expected[3][name].shape
        assert relative(made[3][name], expected[3][name]) < tolerance, name
    return made


def views(count=90, width=21, height=18):
    """Two views with colours and a background each; tiles that are cut off by the image's edge."""
    scene = ball(count, width, height, views=2)
    scene["colors"] = torch.stack([scene["colors"], scene["colors"].flip(0)])
    return scene | {"background": torch.tensor([[0.1, 0.2, 0.3], [0.7, 0.8, 0.9]])}


def test_images_and_all_gradients_equal_those_of_the_cpu_and_of_the_twin():
    scene, also = views(), ("viewmats", "background")
    render, _, _, grads = agree(scene, also)
    twin, _, _, expected = gradients(scene, also=also, backend="torch", dtype=torch.float64)
    assert (render - twin).abs().max() < 1e-4
    for name in (*NAMES, *also, "means2d"):
        assert relative(grads[name], expected[name]) < 5e-5, name


def test_pixels_finish_and_what_lies_behind_gets_no_gradient():
    scene = ball(250, 16, 9, seed=2, opacity=(0.6, 1.0), visible_px=9.0)
    *_, grads = agree(scene)
    assert (grads["opacities"] == 0).sum() > 10  # hidden


def test_beside_and_behind_the_camera():
    scene = ball(60, 32, 32, seed=5, visible_px=20.0)
    scene["means"] *= 4.5
    agree(scene)


def test_empty_tiles_and_empty_scenes_are_background():
    background = torch.tensor([0.25, 0.5, 1.0])
    scene = ball(3, 40, 17) | {"background": background}
    scene["means"] *= 0.1
    render, alpha, *_ = agree(scene)
    assert torch.equal(render[0, :, -6:, :3], background.expand(17, 6, 3))
    assert not alpha[0, :, -6:].any()
    render, alpha, info, grads = on_cuda(ball(0, 3, 5, views=2) | {"background": background})
    assert torch.equal(render[..., :3], background.expand(2, 5, 3, 3))
    assert not alpha.any()
    assert info["radii"].shape == (2, 0, 2)
    assert grads["means"].shape == (0, 3)


def test_strange_gaussians_are_left_out_and_legal_extremes_drawn():
    scene = ball(30, 20, 18, views=2)
    for row, name in enumerate(NAMES):
        scene[name][2 * row], scene[name][2 * row + 1] = math.nan, math.inf
    scene["scales"][10:13] = torch.tensor([[0.0, 0.0, 0.0], [1e4, 1e4, 1e4], [5.0, 1e-6, 1e-6]])  # point, wall, needle
    scene["quats"][13] = 0.0
    eye = torch.linalg.inv(scene["viewmats"][0])[:3, 3]
    scene["means"][14:16] = torch.stack([eye, 2 * eye])
    scene["opacities"][16:19] = torch.tensor([-0.5, 1.0, 7.0])
    _, _, info, grads = agree(scene, tolerance=1e-4)
    assert (info["radii"][:, [*range(10), 16]] == 0).all()
    for name in NAMES:
        assert grads[name].isfinite().all()
        assert not grads[name][[*range(10), 16]].any()


@pytest.mark.skipif(REAL, reason="turns the interpreter's order of programs round")
def test_the_order_of_programs_changes_no_bit(monkeypatch):
    from triton.runtime.interpreter import InterpreterBuilder

    scene = views(30)
    *_, first = on_cuda(scene, also=("viewmats",))
    stock = InterpreterBuilder.set_grid_idx

    def turned(builder, x, y, z):
        stock(builder, builder.grid_dim[0] - 1 - x, y, z)

    monkeypatch.setattr(InterpreterBuilder, "set_grid_idx", turned)
    *_, second = on_cuda(scene, also=("viewmats",))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_kernels_that_run_on_a_gpu_have_the_sizes_compiled_for_it(monkeypatch):
    monkeypatch.undo()
    if not REAL:
        monkeypatch.setattr(triton_cuda, "TILE", 8)
        monkeypatch.setattr(triton_cuda, "TOGETHER", 8)
    agree(ball(40, 18, 10, seed=3))


def test_auto_is_triton_where_gsplat_cannot_be_used(monkeypatch):
    monkeypatch.setattr(gsplat_cuda, "why_not", lambda: "no nvcc was found")
    scene = {k: v.to("cuda") if isinstance(v, torch.Tensor) else v for k, v in ball(5, 8, 8).items()}
    expected, *_ = rasterize(**scene, backend="triton")
    made, *_ = rasterize(**scene)
    assert torch.equal(here(made), here(expected))
