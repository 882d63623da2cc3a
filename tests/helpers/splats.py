"""Scenes for the rasteriser's tests, and a dense float64 renderer built on gsplat's own torch projection."""

import math

import torch
from gsplat.cuda._torch_impl import _fully_fused_projection, _quat_scale_to_covar_preci

from gsd.geometry import orbit
from gsd.rasterizer import rasterize

NAMES = ("means", "quats", "scales", "opacities", "colors")


def ball(count, width, height, views=1, seed=0, opacity=(0.1, 0.9), visible_px=6.0, dtype=torch.float32):
    """Random Gaussians in a ball of radius 0.5, about `visible_px` wide, seen from cameras 5 degrees apart."""
    g = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*shape, generator=g, dtype=torch.float64)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    means = normal(count, 3)
    means = means / means.norm(dim=1, keepdim=True) * 0.5 * uniform(count, 1) ** (1 / 3)
    pixel = 2.5 / (0.5 * height / math.tan(math.radians(25)))
    splats = {
        "means": means,
        "quats": normal(count, 4),
        "scales": visible_px / 6 * pixel * torch.exp(0.4 * normal(count, 3)),
        "opacities": opacity[0] + (opacity[1] - opacity[0]) * uniform(count),
        "colors": uniform(count, 3),
    }
    full = torch.ones(views, dtype=torch.float64)
    cameras = orbit(5 * torch.arange(views) * full[0], 15 * full, 2.5 * full, 50 * full, width, height)
    splats |= {"viewmats": cameras.viewmats, "Ks": cameras.Ks}
    return {name: t.to(dtype) for name, t in splats.items()} | {"width": width, "height": height}


def leaves(scene, dtype, also=()):
    """The scene in another dtype, its parameters (and `also`) as leaves that want gradients."""
    moved = {k: v.detach().to(dtype).clone() if isinstance(v, torch.Tensor) else v for k, v in scene.items()}
    for name in (*NAMES, *also):
        moved[name].requires_grad_()
    return moved


def pull(render, alpha, mask=None):
    """A fixed random linear function of the outputs, so that every pixel and channel has its own gradient."""
    g = torch.Generator().manual_seed(7)
    a = torch.randn(render.shape, generator=g, dtype=torch.float64).to(render)
    b = torch.randn(alpha.shape, generator=g, dtype=torch.float64).to(render)
    if mask is not None:
        a, b = a * mask, b * mask
    ((render * a).sum() + (alpha * b).sum()).backward()


def gradients(scene, mask=None, also=(), dtype=torch.float32, **options):
    """(render, alpha, info, gradients by name) of a call of the rasteriser."""
    inputs = leaves(scene, dtype, also)
    render, alpha, info = rasterize(**inputs, **options)
    pull(render, alpha, mask)
    grads = {name: inputs[name].grad for name in (*NAMES, *also)}
    return render.detach(), alpha.detach(), info, grads | {"means2d": info["means2d"].grad}


def dense(scene, background):
    """Every Gaussian at every pixel in float64: (render, alpha, margin, inputs with leaves).

    margin [C, H, W, 1] says how far, relatively, a pixel is from deciding alpha >= 1/255 or T > 1e-4 otherwise.
    """
    s = leaves(scene, torch.float64)
    covars, _ = _quat_scale_to_covar_preci(s["quats"], s["scales"], compute_preci=False)
    radii, uv, depths, conics, _ = _fully_fused_projection(
        s["means"], covars, s["viewmats"], s["Ks"], s["width"], s["height"]
    )
    y, x = torch.meshgrid(torch.arange(s["height"]) + 0.5, torch.arange(s["width"]) + 0.5, indexing="ij")
    views = []
    for c in range(len(uv)):
        n = depths[c].argsort()
        n = n[radii[c, n, 0] > 0]
        dx, dy = x - uv[c, n, 0, None, None], y - uv[c, n, 1, None, None]
        a, b, d = conics[c, n, :, None, None].unbind(1)
        raw = s["opacities"][n, None, None] * torch.exp(-0.5 * (a * dx * dx + d * dy * dy) - b * dx * dy)
        alpha = torch.where(raw >= 1 / 255, raw.clamp(max=0.999), 0.0)
        after = (1 - alpha).cumprod(0)
        before = torch.cat([torch.ones_like(after[:1]), after[:-1]])
        weight = torch.where(after > 1e-4, alpha * before, 0.0)
        cover = weight.sum(0)
        rgb = torch.einsum("nhw,nd->hwd", weight, s["colors"][n]) + (1 - cover)[..., None] * background
        depth = (weight * depths[c, n, None, None]).sum(0) / cover.clamp(min=1e-10)
        near = torch.minimum((raw * 255 - 1).abs().amin(0), (after / 1e-4 - 1).abs().amin(0))
        views.append((torch.cat([rgb, depth[..., None]], -1), cover[..., None], near[..., None]))
    render, alpha, margin = (torch.stack(v) for v in zip(*views, strict=True))
    return render, alpha, margin.detach(), s


def relative(a, b):
    """Distance in L2 relative to b."""
    return ((a.double() - b.double()).norm() / b.double().norm()).item()
