"""Volume rendering along rays (Max 1995): weights of samples, and sums over the samples of each ray."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from gsd.backend.device import compiled
from gsd.backend.triton import launch, on_triton
from gsd.field import field_kernels as kernels
from gsd.field.march import Samples

LEAST_ALPHA = 1e-6  # below, a pixel has no depth


def weigh(thickness: Float[Tensor, " M"], samples: Samples) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
    """w_i = T_i (1 - exp(-thickness_i)), differentiable, and the transmittance T_i before each sample, detached.

    thickness = density times the length of a step, so T_i = exp(-sum of the thickness of the samples in front).
    """
    if compiled(thickness) or on_triton(thickness):
        return _Weigh.apply(thickness, samples.offsets)
    return weigh_torch(thickness, samples)


def sum_rays(values: Float[Tensor, "C M"], samples: Samples, ray: Int[Tensor, " M"]) -> Float[Tensor, "C R"]:
    """Sums over the samples of each ray; `ray` is samples.rays()."""
    if compiled(values):
        return _Sum.apply(values, samples.offsets, ray)
    return values.new_zeros(len(values), len(samples.offsets) - 1).index_add_(1, ray, values)


def composite(
    color: Float[Tensor, "3 M"], weight: Float[Tensor, " M"], samples: Samples, cosine: Float[Tensor, " R"]
) -> Float[Tensor, "5 R"]:
    """Rows of the image: colour times alpha (3), depth, alpha. `cosine` is that of `march.Rays`."""
    if on_triton(weight):
        return _Composite.apply(color, weight, samples.times, samples.offsets, samples.rays(), cosine)
    return composite_torch(color, weight, samples, cosine)


def composite_torch(
    color: Float[Tensor, "3 M"], weight: Float[Tensor, " M"], samples: Samples, cosine: Float[Tensor, " R"]
) -> Float[Tensor, "5 R"]:
    """As `composite`, on the CPU and as the kernel's twin."""
    ray = samples.rays()
    z = samples.times * cosine[ray]
    parts = [color * weight, (weight * z)[None], weight[None]]
    shade, reach, alpha = sum_rays(torch.cat(parts), samples, ray).split([3, 1, 1])
    safe = alpha.clamp_min(LEAST_ALPHA)
    depth = torch.where(alpha > LEAST_ALPHA, reach / safe, 0.0)
    return torch.cat([shade, depth, alpha.clamp(max=1.0)])


def weigh_torch(thickness: Float[Tensor, " M"], samples: Samples) -> tuple[Float[Tensor, " M"], Float[Tensor, " M"]]:
    """The twin of the kernels; sums over all rays at once, in float64, less what lies before a ray's first sample."""
    through = torch.nn.functional.pad(thickness.double().cumsum(0), (1, 0))
    before = through[:-1] - through[samples.offsets[:-1]][samples.rays()]
    remaining = (-before).exp().to(thickness.dtype)
    return remaining * -torch.expm1(-thickness), remaining.detach()


class _Weigh(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, thickness: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        out, remaining = torch.empty_like(thickness), torch.empty_like(thickness)
        if thickness.is_cuda:
            from gsd.field import composite_triton

            rays = len(offsets) - 1
            launch(composite_triton.weights, rays, thickness.detach().contiguous(), offsets, out, remaining, rays)
        else:
            kernels.weights(thickness.detach().numpy(), offsets.numpy(), out.numpy(), remaining.numpy())
        ctx.save_for_backward(out, remaining, offsets)
        ctx.mark_non_differentiable(remaining)
        return out, remaining

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor, _: Any) -> tuple[Tensor, None]:
        out, remaining, offsets = (t.detach() for t in ctx.saved_tensors)
        grad, g_out = torch.empty_like(out), g_out.contiguous()
        if out.is_cuda:
            from gsd.field import composite_triton

            rays = len(offsets) - 1
            launch(composite_triton.weights_backward, rays, out, remaining, offsets, g_out, grad, rays)
        else:
            kernels.weights_backward(*(t.numpy() for t in (out, remaining, offsets, g_out, grad)))
        return grad, None


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, offsets: Tensor, ray: Tensor) -> Tensor:
        channels, rays = len(values), len(offsets) - 1
        out, values = values.new_empty(channels, rays), values.detach().contiguous()
        kernels.sum_rays(values.numpy(), offsets.numpy(), out.numpy())
        ctx.save_for_backward(ray)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Tensor, None, None]:
        return g_out.index_select(1, ctx.saved_tensors[0]), None, None


class _Composite(torch.autograd.Function):
    """The Triton kernels."""

    @staticmethod
    def forward(
        ctx: Any, color: Tensor, weight: Tensor, times: Tensor, offsets: Tensor, ray: Tensor, cosine: Tensor
    ) -> Tensor:
        from gsd.field import composite_triton

        rays, count = len(offsets) - 1, len(times)
        held = [x.detach().contiguous() for x in (weight, color)]
        out, sums = times.new_empty(5, rays), times.new_empty(rays)
        launch(composite_triton.composite, rays, *held, times, offsets, cosine, out, sums, LEAST_ALPHA, rays, count)
        ctx.save_for_backward(*held, times, ray, cosine, out, sums)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g_out: Tensor) -> tuple[Tensor | None, ...]:
        from gsd.field import composite_triton

        weight, color, times, ray, cosine, out, sums = (t.detach() for t in ctx.saved_tensors)
        g_weight, g_color, count = torch.empty_like(weight), torch.empty_like(color), len(times)
        given = (weight, color, times, ray, cosine, out, sums, g_out.contiguous(), g_weight, g_color)
        launch(composite_triton.composite_backward, count, *given, LEAST_ALPHA, len(sums), count)
        return g_color, g_weight, None, None, None, None
