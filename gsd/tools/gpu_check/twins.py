"""The kernels of a GPU besides those of the noisings, each against the CPU's at real size, gradients included."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from gsd.field.composite import sum_rays, weigh
from gsd.field.hashgrid import HashGrid, make_levels
from gsd.field.march import cell_of, march, rays_of
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
    """Marching through a ball of occupied cells, weights, sums per ray, and their gradient."""
    views = cameras(0.0, 5.0, size=sizes.latents).to(device)
    through = rays_of(views, BOUND)
    axis = (torch.arange(CELLS) + 0.5) * (2 * BOUND / CELLS) - BOUND
    ball = (torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).square().sum(0) < 0.36).to(device)
    shift = _drawn(device, len(through.near))
    samples = march(through, shift, BOUND / sizes.latents, ball, BOUND)
    ray, density = samples.rays(), _drawn(device, CELLS, CELLS, CELLS, seed=1).requires_grad_()
    points = through.origins[ray] + samples.times[:, None] * through.directions[ray]
    thickness = (4 * BOUND / sizes.latents) * density[cell_of(points, CELLS, BOUND).unbind(-1)]
    weights, _ = weigh(thickness, samples)
    sums = sum_rays(torch.stack([weights, weights * samples.times]), samples, ray)
    sums.square().sum().backward()
    return {"alpha and depth": sums, "gradient on the density": _gradient(density)}


def _gradient(leaf: Tensor) -> Tensor:
    assert leaf.grad is not None
    return leaf.grad


TWINS: dict[str, Callable[[torch.device, Sizes], Results]] = {
    "counter": counter,
    "consistency loss": consistency,
    "hash grid": hash_grid,
    "rays": rays,
}
