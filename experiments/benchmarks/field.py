"""How fast the parts of representation=instant_ngp are on the CPU, as ratios of what is measured side by side.

    python experiments/benchmarks/field.py [--quick] [--out DIR]

Everything compared takes turns in one process on one thread; times are the least processor times in milliseconds of
forward + backward. The hash grid is held against a plain loop over points, levels and corners, compiled as it stands,
and against its torch twin; the marcher against the samples that hold something. Writes result.json.
"""

from __future__ import annotations

import json
from typing import Any

import bench
import numpy as np
import torch

from gsd.backend.jit import njit
from gsd.camera.orbit import Orbit
from gsd.field.composite import sum_rays, weigh, weigh_torch
from gsd.field.hashgrid import HashGrid, encode_torch, make_levels
from gsd.field.march import Samples, march, rays_of
from gsd.geometry import turntable
from gsd.menagerie import load
from gsd.menagerie.tracer import trace
from gsd.random import Stream
from gsd.representation.instant_ngp import InstantNGP
from gsd.types import Context, PointCloud

POINTS = 2**17
EMPTY = 0.01  # optical thickness of a step that holds nothing


@njit(cache=False)
def plain_loop(xyz: Any, table: Any, levels: Any, out: Any, g_out: Any, grad: Any, backward: bool) -> None:
    """The hash encoding as its definition reads. levels [L, 5]: scale, resolution, first row, rows, hashed."""
    for m in range(xyz.shape[1]):
        for level in range(levels.shape[0]):
            scale, resolution = np.float32(levels[level, 0]), np.int64(levels[level, 1])
            first, size, hashed = np.int64(levels[level, 2]), np.int64(levels[level, 3]), levels[level, 4] > 0
            half = np.float32(0.5)
            px, py, pz = xyz[0, m] * scale + half, xyz[1, m] * scale + half, xyz[2, m] * scale + half
            x, y, z = int(px), int(py), int(pz)
            u, v, w = px - np.float32(x), py - np.float32(y), pz - np.float32(z)
            a, b = np.float32(0), np.float32(0)
            for corner in range(8):
                i, j, k = corner & 1, (corner >> 1) & 1, corner >> 2
                share = u if i else np.float32(1) - u
                share *= v if j else np.float32(1) - v
                share *= w if k else np.float32(1) - w
                if hashed:
                    row = ((x + i) ^ ((y + j) * 2654435761) ^ ((z + k) * 805459861)) & (size - 1)
                else:
                    row = x + i + resolution * (y + j + resolution * (z + k))
                    row = row - size if row >= size else row
                if backward:
                    grad[first + row, 0] += share * g_out[2 * level, m]
                    grad[first + row, 1] += share * g_out[2 * level + 1, m]
                else:
                    a += share * table[first + row, 0]
                    b += share * table[first + row, 1]
            if not backward:
                out[2 * level, m], out[2 * level + 1, m] = a, b


def points_along_rays(count: int) -> torch.Tensor:
    """Points of the unit cube as a renderer asks for them: ray by ray, front to back."""
    rays = rays_of(turntable(4, 64), 0.6)
    full = torch.ones(2, 2, 2, dtype=torch.bool)
    samples = march(rays, torch.full_like(rays.near, 0.5), 1 / 48, full, 0.6)
    ray = samples.rays()
    xyz = (rays.origins[ray] + rays.directions[ray] * samples.times[:, None])[:count]
    return (xyz / 2 + 0.5).T.contiguous()


def hash_grid(count: int, log2_table: int, base: int, growth: float, seconds: float) -> dict[str, Any]:
    grid = HashGrid(make_levels(count, log2_table, base, growth), 2, torch.Generator().manual_seed(0))
    torch.nn.init.uniform_(grid.table, -1, 1)
    points = {"rays": points_along_rays(POINTS), "random": torch.rand(3, POINTS)}
    return {name: compared(grid, xyz, count, seconds) for name, xyz in points.items()}


def compared(grid: HashGrid, xyz: torch.Tensor, count: int, seconds: float) -> dict[str, float]:
    """The grid as the representation calls it, a plain loop, and the twin; the first two are shown to agree."""
    pull = torch.randn(grid.width, xyz.shape[1])
    table = grid.table.detach().clone().requires_grad_()
    levels = np.array([[x.scale, x.resolution, x.first, x.size, x.hashed] for x in grid.levels], np.float64)
    out, grad = torch.empty(grid.width, xyz.shape[1]), torch.zeros_like(table)
    arrays = [t.detach().numpy() for t in (xyz, table)]

    def ours() -> None:
        grid.table.grad = None
        grid(xyz, count).backward(pull)

    def loop() -> None:
        grad.zero_()
        rest = [levels, out.numpy(), pull.numpy(), grad.numpy()]
        plain_loop(*arrays, *rest, False)
        plain_loop(*arrays, *rest, True)

    def twin() -> None:
        table.grad = None
        encode_torch(table, xyz, grid.levels, [1.0] * count)[0].backward(pull)

    times = bench.least_ms({"ours": ours, "plain loop": loop}, seconds) | bench.least_ms({"twin": twin}, 0)
    assert grid.table.grad is not None
    assert torch.allclose(grid(xyz, count), out, atol=1e-4)
    assert torch.allclose(grid.table.grad, grad, atol=1e-4 * float(grad.abs().max()))
    ratios = {"ours / plain loop": times["ours"] / times["plain loop"], "twin / ours": times["twin"] / times["ours"]}
    return {**times, "points": xyz.shape[1], **ratios}


def compositing(seconds: float) -> dict[str, float]:
    """Weights and their sums on 4096 rays of 32 samples."""
    samples = Samples(torch.zeros(POINTS), torch.arange(0, POINTS + 1, 32))
    ray = samples.rays()
    thickness, pull = torch.rand(POINTS, requires_grad=True), torch.randn(1, len(samples.offsets) - 1)

    def ours() -> None:
        sum_rays(weigh(thickness, samples)[0][None], samples, ray).backward(pull)

    def twin() -> None:
        weight = weigh_torch(thickness, samples)[0][None]
        weight.new_zeros(1, pull.shape[1]).index_add(1, ray, weight).backward(pull)

    times = bench.least_ms({"ours": ours, "twin": twin}, seconds)
    return times | {"twin / ours": times["twin"] / times["ours"]}


def animal(steps: int) -> InstantNGP:
    """A field fitted to pictures of the corgi, with the default options."""
    cloud = PointCloud(torch.zeros(1, 3), torch.zeros(1, 3))
    made = InstantNGP(Context(points=cloud))
    figure = load()["corgi"].figure(0)
    for step in range(steps):
        cameras = Orbit(groups=2, views=1, resolution=64)(Stream(0, "camera", step))
        render, truth = made.render(cameras), trace(figure, cameras)
        ((render.rgb - truth.rgb).square().mean() + 0.1 * (render.alpha - truth.alpha).square().mean()).backward()
        made.step()
    return made


def skipped(made: InstantNGP) -> dict[str, float]:
    """Of the samples along all rays of 8 views: how many hold nothing, and how many of those are left out."""
    rays = rays_of(turntable(8, 64), made.bound)
    shift, grid = torch.full_like(rays.near, 0.5), made.occupancy.occupied
    every = march(rays, shift, made.stride, torch.ones_like(grid), made.bound)
    ours = march(rays, shift, made.stride, grid, made.bound)

    def empty(samples: Samples) -> int:
        ray = samples.rays()
        points = rays.origins[ray] + rays.directions[ray] * samples.times[:, None]
        return int((made.field(points)[0] * made.stride < EMPTY).sum())

    there, left = empty(every), empty(ours)
    return {
        "samples per ray, all": len(every.times) / len(shift),
        "samples per ray, marched": len(ours.times) / len(shift),
        "empty": there / len(every.times),
        "share of the empty that is skipped": 1 - left / there,
    }


def step_time(made: InstantNGP, views: int, seconds: float) -> float:
    """Render, back-propagate and update `views` views of 64 x 64 pixels."""
    cameras = Orbit(groups=max(1, views // 2), views=min(views, 2), resolution=64)(Stream(0, "camera"))

    def step() -> None:
        render = made.render(cameras)
        (render.rgb.square().mean() + 0.01 * render.depth.mean()).backward()
        made.optimizer.zero_grad(set_to_none=True)

    return bench.least_ms({"step": step}, seconds)["step"]


def main() -> None:
    parser = bench.parser(__doc__, "field")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and steps")
    args = parser.parse_args()
    torch.set_num_threads(1)
    seconds = 0.5 if args.quick else 4.0
    result: dict[str, Any] = bench.machine()
    result["hash grid, default"] = hash_grid(8, 15, 8, 1.5, seconds)
    if not args.quick:
        result["hash grid, Mueller et al."] = hash_grid(16, 19, 16, 1.447269, seconds)
    result["compositing"] = compositing(seconds / 4)
    start, settled = animal(0), animal(100 if args.quick else 400)
    for name, made in (("at the start", start), ("settled", settled)):
        result[f"ms per step, {name}"] = {str(views): step_time(made, views, seconds / 4) for views in (1, 2, 4)}
    result["skipping"] = skipped(settled)
    print(json.dumps(result, indent=1))
    bench.publish(args.out, result)


if __name__ == "__main__":
    main()
