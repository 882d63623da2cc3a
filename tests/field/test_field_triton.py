"""The Triton kernels of a radiance field, in Triton's interpreter, against torch: values and gradients."""

import pytest
import torch
import torch.nn.functional as F
from virtual_cuda import held, virtual_cuda

from gsd.camera.orbit import Orbit
from gsd.field.background import Environment
from gsd.field.composite import composite, composite_torch
from gsd.field.field import RadianceField, Shape
from gsd.field.march import Rays, Samples, lit, march, points_of, rays_of, rays_torch
from gsd.random import Stream
from gsd.types import Cameras

pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="gsd gpu-check compares them on a GPU")
COUNTS = (0, 3, 1, 0, 7, 2)  # samples of each ray


def uniform(*size, seed=0):
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed))


def cameras():
    return Orbit(groups=2, views=1, resolution=6, distance=(0.4, 2.5), fov=(30.0, 70.0))(Stream(0, "camera"))


def samples():
    offsets = F.pad(torch.tensor(COUNTS).cumsum(0), (1, 0))
    return Samples(uniform(int(offsets[-1]), seed=1), offsets)


def moved(made):
    return type(made)(*(None if x is None else x.to("cuda") for x in vars(made).values()))


def on_both(function, *tensors, pull=None):
    """What a function makes of tensors on the CPU and on the virtual device, each with its gradients."""
    results = []
    for device in ("cpu", "cuda"):
        leaves = [x.detach().to(device).requires_grad_() for x in tensors]
        out = function(device, *leaves)
        weight = uniform(*out.shape, seed=5).to(device)
        grads = torch.autograd.grad((out * weight).sum(), leaves, allow_unused=True)
        results.append([held(x).detach() for x in (out, *grads) if x is not None])
    return zip(*results, strict=True)


def close(pairs, tolerance=1e-5):
    for here, there in pairs:
        assert here.abs().max() > 0
        torch.testing.assert_close(there, here, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("sheared", [False, True])
def test_rays(sheared):
    views = cameras()
    if sheared:  # intrinsics with a skew and another centre
        Ks = views.Ks.clone()
        Ks[:, 0, 1], Ks[:, 0, 2] = 1.5, 2.0
        views = Cameras(**vars(views) | {"Ks": Ks, "width": 5})
    for radius in (1.0, 0.3):
        expected = rays_torch(views, radius)
        hit = expected.far > expected.near
        assert 0 < hit.sum() < len(hit)
        with virtual_cuda() as book:
            found = rays_of(views.to("cuda"), radius)
            assert book.count("kernel") == 1
        for name, value in vars(expected).items():
            torch.testing.assert_close(held(getattr(found, name)), value, rtol=1e-5, atol=2e-5, msg=name)


def test_samples_their_rays_and_points():
    rays, occupied = rays_of(cameras(), 1.0), uniform(9, 9, 9) < 0.5
    shift = uniform(len(rays.near), seed=3)
    here = march(rays, shift, 0.11, occupied, 1.0)
    with virtual_cuda():
        there = march(moved(rays), shift.to("cuda"), 0.11, occupied.to("cuda"), 1.0)
        points = points_of(moved(rays), there)
    assert len(here.times) > 300
    for name in ("times", "offsets"):
        torch.testing.assert_close(held(getattr(there, name)), getattr(here, name))
    assert torch.equal(held(there.ray), here.rays())
    torch.testing.assert_close(held(points), points_of(rays, here))


@pytest.mark.parametrize("least", [0.0, 0.4, 0.99, 2.0])
def test_samples_that_light_reaches(least):
    every = samples()
    falling = torch.cat([torch.linspace(1.0, 0.3, count) for count in COUNTS])
    here, numbers = lit(every, falling, least)
    with virtual_cuda():
        there, found = lit(moved(every), falling.to("cuda"), least)
    assert torch.equal(here.times, every.times[falling > least])
    assert torch.equal(held(found), numbers)
    for name in ("times", "offsets"):
        assert torch.equal(held(getattr(there, name)), getattr(here, name))
    assert torch.equal(held(there.ray), here.rays())


def test_images_of_samples():
    """Also of a ray that holds next to nothing, and of one whose weights are more than 1 by rounding."""
    every, cosine = samples(), 0.5 + 0.5 * uniform(len(COUNTS), seed=2)
    weight = uniform(len(every.times), seed=3) / 4
    weight[3], weight[4:11] = 1e-7, 0.2
    color = uniform(3, len(weight), seed=4)

    def image(device, color, weight):
        if device == "cpu":
            return composite_torch(color, weight, every, cosine)
        return composite(color, weight, moved(every), cosine.to(device))

    with virtual_cuda() as book:
        close(on_both(image, color, weight))
        assert {"triton composite", "triton composite_backward"} <= {op for _, op, _ in book.entries}


def field(blob="magic3d", activation="softplus"):
    shape = Shape(
        bound=1.3, levels=3, features=2, log2_table=8, base_resolution=4, growth=1.5, hidden=16, layers=1,
        activation=activation, blob=blob, blob_density=10.0, blob_radius=0.5,
    )  # fmt: skip
    made = RadianceField(shape, torch.Generator().manual_seed(0))
    torch.nn.init.uniform_(made.grid.table, -0.5, 0.5, generator=torch.Generator().manual_seed(1))
    return made


@pytest.mark.parametrize("activation", ["softplus", "trunc_exp"])
@pytest.mark.parametrize("blob", ["magic3d", "dreamfusion", "none"])
def test_densities(blob, activation):
    """Of arguments from -60 to 40: tiny densities, steep ones, and beyond where the derivative of exp is cut."""
    made, raw, points = field(blob, activation), 100 * uniform(60) - 60, 2 * uniform(3, 60, seed=1) - 1
    made.density_net.forward = lambda features: features
    points[:, 0] = 0
    with virtual_cuda() as book:
        for here, there in on_both(lambda device, raw: made.density(points.to(device), raw[None]), raw):
            assert (here > 0).all()
            torch.testing.assert_close(there, here, rtol=2e-5, atol=1e-30)
        assert {"triton activate", "triton activate_backward"} <= {op for _, op, _ in book.entries}


@pytest.mark.parametrize("blob", ["magic3d", "dreamfusion", "none"])
def test_orientation(blob):
    """The penalty and what it teaches the field; where the slope is 0 there is no normal."""
    made, every = field(blob), samples()
    count = len(every.times)
    points, weight = 2 * uniform(3, count, seed=1) - 1, uniform(count, seed=3)
    points[:, 2] = 0
    directions = F.normalize(uniform(len(COUNTS), 3, seed=2) - 0.5, dim=1)
    rays = Rays(directions, directions, *uniform(3, len(COUNTS)))
    results = []
    with virtual_cuda() as book:
        for device in ("cpu", "cuda"):
            made.to(device)
            there = [x if device == "cpu" else moved(x) for x in (rays, every)]
            features = made.encode(points.to(device)).detach()
            out = made.orientation(points.to(device), features, weight.to(device), *there)
            weights = [made.grid.table, *made.density_net.weights]
            grads = torch.autograd.grad((out * uniform(len(COUNTS), seed=5).to(device)).sum(), weights)
            results.append([held(x).detach().clone() for x in (out, *grads)])
        assert {"triton orient", "triton orient_backward"} <= {op for _, op, _ in book.entries}
    close(zip(*results, strict=True), 1e-4)


def test_the_background():
    made = Environment(torch.Generator().manual_seed(0))
    directions = F.normalize(uniform(50, 3) - 0.5, dim=1)
    expected = made(directions)
    with virtual_cuda() as book:
        torch.testing.assert_close(held(made.to("cuda")(directions.to("cuda"))), expected, rtol=1e-4, atol=1e-5)
        assert "triton basis" in book.table("kernel")
