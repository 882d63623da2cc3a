"""The kernels of a GPU besides those of the noisings, each against the CPU's at real size, gradients included."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gsd.field.composite import composite, weigh
from gsd.field.field import RadianceField, Shape
from gsd.field.hashgrid import HashGrid, make_levels
from gsd.field.march import Samples, cell_of, lit, march, points_of, rays_of
from gsd.geometry import geometry_at
from gsd.noising.check.acceptance import to_device
from gsd.noising.check.reference import cameras, render, surface
from gsd.noising.points.counter import normal
from gsd.tools.gpu_check.bench import Bench
from gsd.tools.gpu_check.compare import agrees, differences
from gsd.tools.gpu_check.result import Figure, Row
from gsd.tools.gpu_check.sizes import Sizes
from gsd.warping.compare import Compared, ordered_pairs

Results = dict[str, Tensor]
BOUND = 1.0
CELLS = 32  # of the occupancy grid, per side


def rows(bench: Bench) -> Iterator[Row]:
    for name, twin in TWINS.items():
        expected, found = twin(torch.device("cpu"), bench.sizes), twin(bench.device, bench.sizes)
        milliseconds = bench.milliseconds(lambda: twin(bench.device, bench.sizes))  # noqa: B023  # called at once
        for part, value in expected.items():
            apart = differences(found[part], value)
            time: dict[str, Figure] = {"ms, all of it": milliseconds} if part == next(iter(expected)) else {}
            yield Row(f"{name}: {part}", apart | time, agrees(apart))


def _drawn(device: torch.device, *shape: int, seed: int = 0) -> Tensor:
    """Uniform in [0, 1), drawn on the CPU."""
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(device)


def counter(device: torch.device, sizes: Sizes) -> Results:
    return {"values": normal(9, torch.arange(sizes.points).to(device), 4)}


def consistency(device: torch.device, sizes: Sizes) -> Results:
    """The consistency loss at the size of the render, and its gradient on the depth."""
    views = cameras(0.0, 5.0, size=sizes.pixels)
    scene, shown = (to_device(x, device) for x in (surface(64), render(views)))
    seen = geometry_at(scene, shown, views.to(device), sizes.pixels, sizes.pixels)
    maps = _drawn(device, 2, 4, sizes.latents, sizes.latents) - 0.5
    depth = seen.depth.detach().requires_grad_()
    total = Compared.apply(maps, depth, seen.alpha, seen.cameras, ordered_pairs(seen.cameras), "bilinear", 0.07)
    total.backward()
    return {"value": total[None], "gradient on the depth": _gradient(depth)}


def hash_grid(device: torch.device, sizes: Sizes) -> Results:
    """Features, their derivatives by the point, and the gradient on the table."""
    levels = make_levels(*sizes.levels, 16, 1.447269)
    grid = HashGrid(levels, 2, torch.Generator().manual_seed(0)).to(device)
    points = _drawn(device, 3, sizes.features, seed=1)
    features = grid(points, float(len(levels)))
    features.square().sum().backward()
    alone = _gradient(grid.table)
    grid.table.grad = None
    _, slopes = grid.jacobian(points, float(len(levels)))
    slopes.square().sum().backward()
    return {
        "features": features,
        "gradient on the table": alone,
        "derivatives": slopes,
        "gradient of the derivatives": _gradient(grid.table),
    }


def rays(device: torch.device, sizes: Sizes) -> Results:
    """Marching through a ball of occupied cells, weights, what light reaches, images, and their gradient."""
    views = cameras(0.0, 5.0, size=sizes.latents).to(device)
    through = rays_of(views, BOUND)
    axis = (torch.arange(CELLS) + 0.5) * (2 * BOUND / CELLS) - BOUND
    ball = (torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).square().sum(0) < 0.36).to(device)
    shift = _drawn(device, len(through.near))
    samples = march(through, shift, BOUND / sizes.latents, ball, BOUND)
    density, points = _drawn(device, CELLS, CELLS, CELLS, seed=1).requires_grad_(), points_of(through, samples)
    thickness = (4 * BOUND / sizes.latents) * density[cell_of(points.T, CELLS, BOUND).unbind(-1)]
    weights, remaining = weigh(thickness, samples)
    images = composite(points.abs(), weights, samples, through.cosine)
    images.square().sum().backward()
    return {
        "samples that light reaches": lit(samples, remaining, 0.1)[0].offsets.diff().float(),
        "colour, depth and alpha": images,
        "gradient on the density": _gradient(density),
    }


def field(device: torch.device, sizes: Sizes) -> Results:
    """Densities, colours and the penalty on normals at drawn points, and what they teach the field."""
    shape = Shape(
        bound=BOUND, levels=sizes.levels[0], features=2, log2_table=sizes.levels[1], base_resolution=16, growth=1.45,
        hidden=64, layers=1, activation="trunc_exp", blob="magic3d", blob_density=3.0, blob_radius=0.5,
    )  # fmt: skip
    made = RadianceField(shape, torch.Generator().manual_seed(0)).to(device)
    through = rays_of(cameras(0.0, 5.0, size=sizes.latents).to(device), BOUND)
    count, each = len(through.near), 4  # samples of a ray
    samples = Samples(_drawn(device, each * count), (each * torch.arange(count + 1)).to(device))
    points = 2 * BOUND * _drawn(device, 3, each * count, seed=1) - BOUND
    features = made.encode(points)
    density, color = made.density(points, features), made.color(features)
    penalty = made.orientation(points, features.detach(), samples.times, through, samples)
    (density.mean() + color.square().mean() + penalty.mean()).backward()
    found = {"densities": density, "colours": color, "penalty": penalty}
    found["gradient on the table"] = _gradient(made.grid.table)
    return found | {f"gradient on layer {k}": _gradient(w) for k, w in enumerate(made.density_net.weights)}


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad


TWINS: dict[str, Callable[[torch.device, Sizes], Results]] = {
    "counter": counter,
    "consistency loss": consistency,
    "hash grid": hash_grid,
    "rays": rays,
    "field": field,
}
