"""The Triton backend: the CPU backend's rules on a GPU, without a compiler for CUDA.

Gaussians are projected once for all views, handed out to tiles by one sort of (tile, depth), and blended by one program
per tile. The way back adds nothing atomically: every tile writes the gradients of its Gaussians to places of their own,
which are then summed in a fixed order, so that the same call gives the same bits. The host waits once per call, for how
many (Gaussian, tile) pairs there are.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from gsd.backend import triton as backend
from gsd.rasterizer import composite_triton
from gsd.rasterizer.project_backward_triton import project_backward
from gsd.rasterizer.project_triton import COLUMNS, SLOPES, project

TILE = 8  # pixels along a tile's edge; one warp takes a tile, two pixels per thread, and waits for no other
TOGETHER = 8  # Gaussians that a tile takes at a time: as many as its registers hold
WARPS = 8  # of a program that projects 256 Gaussians in float64


class Rasterize(torch.autograd.Function):
    """Arguments and results as those of `gsd.rasterizer.cpu.Rasterize`, on a GPU."""

    @staticmethod
    def forward(ctx, means, quats, scales, opacities, colors, means2d, viewmats, Ks, background, options):
        width, height = options.width, options.height
        C, N = len(viewmats), len(means)
        size = (width, height, -(-width // TILE), -(-height // TILE))
        splats = [t.detach().contiguous() for t in (means, quats, scales, opacities, colors)]
        cameras = [t.detach().contiguous() for t in (viewmats, Ks)]
        ground = background.detach().float().contiguous()
        rows, depths = means.new_empty(C, N, COLUMNS.value), means.new_empty(C, N)
        radii = torch.empty(C, N, 2, dtype=torch.int32, device=means.device)
        corners, spans, counts = torch.empty(3, C * N, dtype=torch.int32, device=means.device)
        backend.launch(
            project, N, *splats, *cameras, rows, depths, radii, corners, spans, counts,
            options.near, options.far, options.eps2d, N, C, *size, TILE=TILE, OWN=colors.ndim == 3, num_warps=WARPS,
        )  # fmt: skip
        lists = _tile_lists(C * size[2] * size[3], size[2], depths, corners, spans, counts)
        _, entries, _, starts = lists
        render, alpha = means.new_empty(C, height, width, 4), means.new_empty(C, height, width, 1)
        rest = means.new_empty(C, height, width, 2)
        given = (rows, entries, starts, ground, render, alpha, rest, *size)
        backend.start(composite_triton.composite, len(starts) - 1, *given, TILE=TILE, K=TOGETHER, num_warps=1)
        ctx.mark_non_differentiable(radii, depths)
        ctx.save_for_backward(means, quats, scales, opacities, viewmats, means2d, render, alpha, rest)
        ctx.kept = (splats[:3], cameras, ground, rows, depths, counts, lists, size, options.eps2d, colors.ndim == 3)
        return render, alpha, radii, depths

    @staticmethod
    @once_differentiable
    def backward(ctx, g_render, g_alpha, *_):
        *_, render, alpha, rest = ctx.saved_tensors
        splats, cameras, ground, rows, depths, counts, lists, size, eps2d, own = ctx.kept
        ends, entries, order, starts = lists
        C, N = depths.shape
        g_render, g_alpha = g_render.contiguous(), g_alpha.contiguous()
        slopes = depths.new_zeros(len(entries), SLOPES.value)  # tiles that are full leave out what lies behind
        given = (rows, entries, order, starts, ground, render, alpha, rest, g_render, g_alpha, slopes, *size)
        backend.start(composite_triton.composite_backward, len(starts) - 1, *given, TILE=TILE, K=TOGETHER, num_warps=1)
        g_means, g_scales, g_quats = depths.new_empty(N, 3), depths.new_empty(N, 3), depths.new_empty(N, 4)
        g_opacities, g_means2d = depths.new_empty(N), depths.new_empty(C, N, 2)
        g_colors = depths.new_empty(C, N, 3) if own else depths.new_empty(N, 3)
        programs = max(1, -(-N // backend.BLOCK))
        g_viewmats = depths.new_empty(programs, C, 12, dtype=torch.float64)
        backend.launch(
            project_backward, N, *splats, *cameras, depths, counts, ends, slopes,
            g_means, g_quats, g_scales, g_opacities, g_colors, g_means2d, g_viewmats, eps2d, N, C, *size[:2],
            OWN=own, POSES=ctx.needs_input_grad[6], num_warps=WARPS,
        )  # fmt: skip
        g_cameras = None
        if ctx.needs_input_grad[6]:
            g_cameras = F.pad(g_viewmats.sum(0).float().reshape(C, 3, 4), (0, 0, 0, 1))
        g_background = (rest[..., :1] * g_render[..., :3]).sum((1, 2)) if ctx.needs_input_grad[8] else None
        return g_means, g_quats, g_scales, g_opacities, g_colors, g_means2d, g_cameras, None, g_background, None


def _tile_lists(
    tiles: int,
    tiles_x: int,
    depths: Float[Tensor, "C N"],
    corners: Int[Tensor, " M"],
    spans: Int[Tensor, " M"],
    counts: Int[Tensor, " M"],
) -> tuple[Int[Tensor, " M"], Int[Tensor, " P"], Int[Tensor, " P"], Int[Tensor, " T"]]:
    """The Gaussians of every tile, front to back: tile t has entries[starts[t] : starts[t + 1]].

    Of M = C N Gaussians, of which each has `counts` tiles, `spans` per line, from tile `corners` on.

    Returns:
        ends: where the pairs (Gaussian, tile) of every Gaussian end, sorted by Gaussian.
        entries: the Gaussian of every pair, sorted by tile and depth.
        order: the places of those among the pairs sorted by Gaussian.
        starts: of the tiles' lists, and the end of the last.
    """
    ends = counts.cumsum(0)
    pairs = int(ends[-1]) if len(ends) else 0  # waits for the GPU
    owners = torch.repeat_interleave(counts, output_size=pairs)
    keys = torch.empty(pairs, dtype=torch.int64, device=owners.device)
    backend.launch(composite_triton.assign, pairs, owners, ends, counts, corners, spans, depths, keys, pairs, tiles_x)
    keys, order = keys.sort(stable=True)
    first = torch.arange(0, (tiles + 1) << 32, 1 << 32, device=keys.device)
    return ends, owners[order], order, torch.searchsorted(keys, first)
