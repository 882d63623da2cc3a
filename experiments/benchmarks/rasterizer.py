"""How fast the CPU rasteriser is, how that grows, and how far it is from what the processor could do.

    python experiments/benchmarks/rasterizer.py [--quick] [--out DIR]

Everything compared is measured alternately in one run and reported as a ratio of medians, because the figures of shared
cores move. Writes result.json, table.md and growth.png. A time "a / b" is forward / forward + backward in milliseconds:
processor time on one thread, wall time where threads are compared.
"""

from __future__ import annotations

import argparse
import math
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import bench
import numpy as np
import torch
from rasterizer_report import plot, table

from gsd.backend.jit import njit
from gsd.geometry import orbit
from gsd.rasterizer import rasterize
from gsd.rasterizer.compositing import block_rows, cover, pixel_offsets
from gsd.rasterizer.layout import GRADIENT, LANES, ROW, TABLE, TBY, TILE, F, X, Y
from gsd.rasterizer.render_kernels import backward_view, forward_view
from gsd.rasterizer.simd import lowest_bit, splat, total

Scene = dict[str, Any]
FLOPS_FORWARD, FLOPS_BACKWARD = 42, 70  # per pixel of a block, counted in compositing.py; a fused operation is two


def ball(count: int, size: int, views: int, visible_px: float = 5.85) -> Scene:
    """Random Gaussians in a ball of radius 0.5 whose visible parts cover some 40 pixels each, as leaves."""
    g = torch.Generator().manual_seed(0)
    means = torch.randn(count, 3, generator=g)
    means = means / means.norm(dim=1, keepdim=True) * 0.5 * torch.rand(count, 1, generator=g) ** (1 / 3)
    pixel = 2.5 / (0.5 * size / math.tan(math.radians(25)))
    full = torch.ones(views)
    cameras = orbit(5.0 * torch.arange(views), 15 * full, 2.5 * full, 50 * full, size, size)
    leaves = {
        "means": means,
        "quats": torch.randn(count, 4, generator=g),
        "scales": visible_px / 6 * pixel * torch.exp(0.4 * torch.randn(count, 3, generator=g) - 0.08),
        "opacities": 0.1 + 0.8 * torch.rand(count, generator=g),
        "colors": torch.rand(count, 3, generator=g),
    }
    for leaf in leaves.values():
        leaf.requires_grad_()
    return leaves | {"viewmats": cameras.viewmats, "Ks": cameras.Ks, "width": size, "height": size}


def job(
    scene: Scene, clock: Callable[[], float], draw: Callable[..., Any] = rasterize, **options: Any
) -> Callable[[], Any]:
    """A function that renders and goes back once, and returns the two times in ms: forward, and both."""
    pull = torch.randn(len(scene["viewmats"]), scene["height"], scene["width"], 4)

    def once() -> tuple[float, float]:
        for value in scene.values():
            if isinstance(value, torch.Tensor):
                value.grad = None
        start = clock()
        render = draw(**scene, **options)[0]
        middle = clock()
        render.backward(pull.to(render))
        return 1e3 * (middle - start), 1e3 * (clock() - start)

    return once


def alternate(jobs: dict[str, Callable[[], tuple[float, float]]], seconds: float) -> dict[str, dict[str, float]]:
    """Medians and minima of jobs that take turns."""
    found: dict[str, dict[str, float]] = {}
    for name, pairs in bench.take_turns(jobs, seconds).items():
        forward, both = zip(*pairs, strict=True)
        medians = {"forward": statistics.median(forward), "both": statistics.median(both)}
        found[name] = medians | {"forward_min": min(forward), "both_min": min(both)}
    return found


@njit(cache=False)
def multiply_add(rounds: int, x: Any) -> Any:
    """Ten independent chains of fused operations: what the vector units can do at most."""
    a, b, c, d, e = splat(x), splat(x), splat(x), splat(x), splat(x)
    f, g, h, i, j = splat(x), splat(x), splat(x), splat(x), splat(x)
    y, z = splat(x), splat(x) + F(0.5)
    for _ in range(rounds):
        a, b, c, d, e = a * y + z, b * y + z, c * y + z, d * y + z, e * y + z
        f, g, h, i, j = f * y + z, g * y + z, h * y + z, i * y + z, j * y + z
    return total(a + b + c + d + e + f + g + h + i + j)


@njit(cache=False)
def count_blocks(rows: Any, entries: Any, offsets: Any, tiles_x: int) -> int:
    """How many (Gaussian, block) pairs the pixel loops go through, if no block were finished early."""
    _, _, lanes = pixel_offsets()
    live = np.full(TBY + LANES, 65535, np.uint16)
    live[TBY:] = 0
    count = 0
    for t in range(len(offsets) - 1):
        for n in entries[offsets[t] : offsets[t + 1]]:
            row = rows[n]
            x, y = row[X] - F(t % tiles_x * TILE), row[Y] - F(t // tiles_x * TILE)
            y0, y1 = block_rows(row, y)
            for first in range(y0, y1, LANES):
                word, rest = cover(row, x, y, first, lanes, live)
                while word != 0 or rest != 0:
                    if word == 0:
                        word, rest = rest, np.uint64(0)
                    lowest_bit(word)
                    word &= word - np.uint64(1)
                    count += 1
    return count


def bare(scene: Scene) -> tuple[Any, Callable[[int], Any], Callable[[int], None]]:
    """The kernels of a scene without torch around them: the projected rows, forward(view) and then backward(view)."""
    size, C, N = scene["width"], len(scene["viewmats"]), len(scene["means"])
    p = [scene[k].detach().numpy() for k in ("means", "quats", "scales", "opacities")]
    cutoffs, colors = np.log(255 * p[3]), scene["colors"].detach().numpy()[None]
    cameras = [scene[k].double().numpy() for k in ("viewmats", "Ks")]
    rows, grads = torch.zeros(C, N, ROW).numpy(), torch.zeros(C, N, GRADIENT).numpy()
    splats = [np.zeros((C, N), "f4"), np.zeros((C, N, 2), "i4")]
    images = [np.zeros((C, size, size, k), "f4") for k in (4, 1, 2)]
    pull, ground = [torch.randn(C, size, size, k).numpy() for k in (4, 1)], np.zeros((C, 3), "f4")
    lists: dict[int, Any] = {}

    def forward(c: int) -> Any:
        lists[c] = forward_view(
            c, *p, cutoffs, colors, *cameras, size, size, 0.3, 0.01, 1e10, ground, TABLE, rows, *splats, *images
        )
        return lists[c]

    def backward(c: int) -> None:
        backward_view(c, rows, *lists[c], *images, ground, TABLE, *pull, grads)

    return rows, forward, backward


def blocks_of(scene: Scene) -> int:
    """`count_blocks` for the first view of a scene."""
    rows, forward, _ = bare(scene)
    return count_blocks(rows[0], *forward(0), (scene["width"] + TILE - 1) // TILE)


def kernels_job(scene: Scene, threads: int) -> Callable[[], tuple[float, float]]:
    """Like `job`, of the kernels alone on threads that never wait for each other: what more threads can gain here."""
    views = len(scene["viewmats"])
    _, forward, backward = bare(scene)

    def once() -> tuple[float, float]:
        ready, ends = threading.Barrier(threads), np.zeros((threads, 3))

        def share(k: int) -> None:
            ready.wait()
            ends[k, 0] = time.perf_counter()
            for i, step in enumerate((forward, backward)):
                for c in range(k, views, threads):
                    step(c)
                ends[k, i + 1] = time.perf_counter()

        others = [threading.Thread(target=share, args=(k,)) for k in range(1, threads)]
        for thread in others:
            thread.start()
        share(0)
        for thread in others:
            thread.join()
        first, middle, last = ends[:, 0].min(), ends[:, 1].max(), ends[:, 2].max()
        return 1e3 * (middle - first), 1e3 * (last - first)

    return once


def floor(scene: Scene) -> dict[str, float]:
    """Milliseconds the pixel loops' arithmetic alone would take at the measured multiply-add rate."""
    multiply_add(10, F(0.3))
    rates = []
    for _ in range(20):
        start = time.process_time()
        multiply_add(200_000, F(0.3))
        rates.append(200_000 * 10 * LANES * 2 / (time.process_time() - start))
    lanes = blocks_of(scene) * LANES
    forward = 1e3 * lanes * FLOPS_FORWARD / max(rates)
    both = forward + 1e3 * lanes * FLOPS_BACKWARD / max(rates)
    return {"gflops": max(rates) / 1e9, "lanes": lanes, "forward": forward, "both": both}


def gsplat_dense(means, quats, scales, opacities, colors, viewmats, Ks, width, height):
    """gsplat's own torch projection, and every Gaussian at every pixel: its reference path as far as a CPU runs it."""
    from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci

    covars, _ = _quat_scale_to_covar_preci(quats, scales, compute_preci=False)
    _, uv, depths, conics, _ = _fully_fused_projection(means, covars, viewmats, Ks, width, height)
    y, x = torch.meshgrid(torch.arange(height) + 0.5, torch.arange(width) + 0.5, indexing="ij")
    views = []
    for c in range(len(viewmats)):
        n = depths[c].argsort()
        d = torch.stack([x, y], -1) - uv[c, n, None, None]
        a, b, e = conics[c, n, :, None, None].unbind(1)
        power = 0.5 * (a * d[..., 0] ** 2 + e * d[..., 1] ** 2) + b * d[..., 0] * d[..., 1]
        alpha = (opacities[n, None, None] * torch.exp(-power)).clamp(max=0.999)
        alpha = torch.where(alpha >= 1 / 255, alpha, 0.0)
        after = (1 - alpha).cumprod(0)
        weight = alpha * torch.cat([torch.ones_like(after[:1]), after[:-1]])
        views.append(torch.einsum("nhw,nd->hwd", weight, torch.cat([colors[n], depths[c, n, None]], -1)))
    return (torch.stack(views),)


def memory(count: int, size: int, views: int, backend: str) -> float:
    """Peak memory in MB of a fresh process that renders and goes back, above one that did so with a tiny scene."""
    tiny, whole = (bench.apart(__file__, "--peak", *case, backend) for case in ((64, 64, 1), (count, size, views)))
    return whole - tiny


def peak(count: int, size: int, views: int, backend: str) -> float:
    torch.set_num_threads(1)
    scene = ball(count, size, views)
    for _ in range(3):
        job(scene, time.process_time, backend=backend)()
    return bench.memory_mb()


def on_gpu(scene: Scene) -> Scene:
    tensors = {k: v for k, v in scene.items() if isinstance(v, torch.Tensor)}
    return scene | {k: v.detach().cuda().requires_grad_(v.requires_grad) for k, v in tensors.items()}


def gpu_clock() -> float:
    torch.cuda.synchronize()
    return time.perf_counter()


def measure(quick: bool) -> dict[str, Any]:
    torch.set_num_threads(1)
    seconds = 0.3 if quick else 2.0
    cpu: dict[str, Any] = {"backend": "cpu", "threads": 1}
    result = bench.machine()
    counts = [1_000, 2_000, 5_000, 20_000] if quick else [1_000, 2_000, 5_000, 20_000, 50_000, 100_000, 200_000]
    cases = [(n, 256, 1) for n in counts] + [(2_000, 64, 1), (3_000, 64, 2), (5_000, 128, 1)]
    cases += [(20_000, size, 1) for size in (64, 128, 512)] + ([] if quick else [(20_000, 256, 2), (20_000, 256, 4)])
    for count, size, views in cases:
        scene = ball(count, size, views)
        jobs = {"cpu": job(scene, time.process_time, **cpu)}
        if count * views <= 20_000:
            jobs["twin"] = job(scene, time.process_time, backend="torch")
        if count * size * size <= 1_000 * 64 * 64 * 2:
            jobs["gsplat torch"] = job(scene, time.process_time, gsplat_dense)
        if torch.cuda.is_available():
            jobs["gsplat cuda"] = job(on_gpu(scene), gpu_clock, backend="gsplat")
        entry = alternate(jobs, seconds)
        result[f"{count} @ {size} x {views}"] = entry | ({"floor": floor(scene)} if views == 1 else {})
        print(f"{count} @ {size} x {views}: {entry['cpu']['forward']:.2f} / {entry['cpu']['both']:.2f} ms", flush=True)
    shrinking = {n: ball(n, 256, 1, 5.85 * math.sqrt(20_000 / n)) for n in counts}
    thin = {str(n): alternate({"cpu": job(s, time.process_time, **cpu)}, seconds)["cpu"] for n, s in shrinking.items()}
    result["same total coverage"] = thin
    large = [n for n in counts if n >= 5_000]
    for key in ("forward", "both"):
        result[f"exponent {key}"] = bench.exponent(large, [result[f"{n} @ 256 x 1"]["cpu"][key] for n in large])
        same = bench.exponent(large, [thin[str(n)][key] for n in large])
        result[f"exponent {key}, same total coverage"] = same
    result["threads"] = {}
    cases = [(3_000, 64, 2), (5_000, 128, 2), (5_000, 128, 4), (5_000, 256, 4), (20_000, 256, 4), (100_000, 256, 4)]
    for count, size, views in [*cases, (20_000, 256, 1)]:
        scene = ball(count, size, views)
        jobs = {str(t): job(scene, time.perf_counter, backend="cpu", threads=t) for t in (1, 2)}
        jobs |= {f"kernels {t}": kernels_job(scene, t) for t in (1, 2)}
        result["threads"][f"{count} @ {size} x {views}"] = alternate(jobs, seconds)
    sizes = [(2_000, 64, 2, "cpu"), (20_000, 256, 4, "cpu"), (20_000, 256, 1, "torch")]
    sizes += [] if quick else [(100_000, 256, 4, "cpu"), (100_000, 256, 1, "torch")]
    result["memory"] = {f"{n} @ {s} x {v}, {b}": memory(n, s, v, b) for n, s, v, b in sizes}
    return result


def main() -> None:
    parser = bench.parser(__doc__, "rasterizer")
    parser.add_argument("--quick", action="store_true", help="fewer sizes and repetitions")
    parser.add_argument("--peak", nargs=4, help=argparse.SUPPRESS)  # how `memory` calls this script
    args = parser.parse_args()
    if args.peak:
        count, size, views = map(int, args.peak[:3])
        print(peak(count, size, views, args.peak[3]))
        return
    result = measure(args.quick)
    bench.publish(args.out, result, table(result), plot(result))


if __name__ == "__main__":
    main()
