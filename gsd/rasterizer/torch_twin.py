"""The plain-torch rasteriser: slow, obvious, exact on any device and dtype.

It is the oracle of the tests and the fallback where numba is missing. Every (Gaussian, pixel) pair inside the cutoff
ellipse becomes one row; the pairs of a pixel, in depth order, become one row of a table whose running product is the
transmittance.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gsd.geometry import rotation_matrices

ALPHA_MIN, ALPHA_MAX, T_MIN = 1 / 255, 0.999, 1e-4
S_MAX = math.log(255)


def project(
    means: Float[Tensor, "M 3"],
    quats: Float[Tensor, "M 4"],
    scales: Float[Tensor, "M 3"],
    viewmats: Float[Tensor, "M 4 4"],
    Ks: Float[Tensor, "M 3 3"],
    width: int,
    height: int,
    eps2d: float,
) -> tuple[Float[Tensor, "M 2"], Float[Tensor, " M"], Float[Tensor, "M 2 2"]]:
    """Pixel position, camera-space z and dilated image-plane covariance of M Gaussians, each with its own camera."""
    W = viewmats[:, :3, :3]
    x, y, z = ((W @ means[:, :, None])[..., 0] + viewmats[:, :3, 3]).unbind(-1)
    fx, fy, cx, cy = Ks[:, 0, 0], Ks[:, 1, 1], Ks[:, 0, 2], Ks[:, 1, 2]
    # The linearisation is not trusted far outside the image: the ray it is taken at is clamped.
    tx = (x / z).clamp(-cx / fx - 0.15 * width / fx, (width - cx) / fx + 0.15 * width / fx)
    ty = (y / z).clamp(-cy / fy - 0.15 * height / fy, (height - cy) / fy + 0.15 * height / fy)
    zero = torch.zeros_like(z)
    J = torch.stack([fx / z, zero, -fx * tx / z, zero, fy / z, -fy * ty / z], -1).reshape(-1, 2, 3)
    A = J @ W @ (rotation_matrices(quats) * scales[:, None])
    cov = A @ A.mT + eps2d * torch.eye(2, dtype=z.dtype, device=z.device)
    return torch.stack([fx * x / z + cx, fy * y / z + cy], -1), z, cov


def visible(
    uv: Float[Tensor, "M 2"],
    z: Float[Tensor, " M"],
    cov: Float[Tensor, "M 2 2"],
    opacities: Float[Tensor, " M"],
    width: int,
    height: int,
    near: float,
    far: float,
) -> tuple[Bool[Tensor, " M"], Float[Tensor, "M 2"]]:
    """Which Gaussians can reach alpha = 1/255 in the image, and the half sizes of the boxes where they do."""
    cutoff = (opacities * 255).log().clamp(max=S_MAX)
    radius = (2 * cutoff[:, None] * cov.diagonal(dim1=1, dim2=2)).sqrt()
    reach = radius.ceil()
    size = uv.new_tensor([width, height])
    inside = ((uv + reach > 0) & (uv - reach < size)).all(-1)
    return inside & (opacities >= ALPHA_MIN) & (z >= near) & (z <= far) & (cov.det() > 0), radius


def _pairs(
    low: Int[Tensor, "M 2"], high: Int[Tensor, "M 2"]
) -> tuple[Int[Tensor, " P"], Int[Tensor, " P"], Int[Tensor, " P"]]:
    """Index of the Gaussian, column and row of every pixel of the boxes [low, high)."""
    columns, rows = (high - low).clamp(min=0).unbind(-1)
    count = columns * rows
    owner = torch.repeat_interleave(torch.arange(len(count), device=low.device), count)
    place = torch.arange(len(owner), device=low.device) - (count.cumsum(0) - count)[owner]
    return owner, low[owner, 0] + place % columns[owner], low[owner, 1] + place // columns[owner]


def rasterize_torch(
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, " N"],
    colors: Float[Tensor, "*C N 3"],
    viewmats: Float[Tensor, "V 4 4"],
    Ks: Float[Tensor, "V 3 3"],
    means2d: Float[Tensor, "V N 2"],
    background: Float[Tensor, "V 3"],
    width: int,
    height: int,
    near: float,
    far: float,
    eps2d: float,
) -> tuple[Float[Tensor, "V H W 4"], Float[Tensor, "V H W 1"], Int[Tensor, "V N 2"], Float[Tensor, "V N"]]:
    """See `gsd.rasterizer.rasterize`; arguments are checked there. Returns render, alpha, radii, depths."""
    C, N = len(viewmats), len(means)
    dtype, device = means.dtype, means.device
    camera = torch.arange(C, device=device).repeat_interleave(N)
    point = torch.arange(N, device=device).repeat(C)
    features = colors.expand(C, N, 3) if colors.ndim == 2 else colors
    with torch.no_grad():
        uv, z, cov = project(
            means[point], quats[point], scales[point], viewmats[camera], Ks[camera], width, height, eps2d
        )
        seen, radius = visible(uv, z, cov, opacities[point], width, height, near, far)
        seen &= features[camera, point].isfinite().all(-1) & radius.isfinite().all(-1) & opacities[point].isfinite()
        radii = torch.where(seen[:, None], radius.ceil().clamp(max=1e9), 0).int().reshape(C, N, 2)
        depths = torch.where(seen, z, 0).reshape(C, N)
        order = seen.nonzero()[:, 0]
        order = order[z[order].sort(stable=True).indices]  # front to back
        low = (uv - radius - 0.5).ceil()[order].clamp(min=0).long()
        high = torch.minimum((uv + radius - 0.5).floor()[order] + 1, uv.new_tensor([width, height])).clamp(min=0).long()
        owner, column, row = _pairs(low, high)
    c, n = camera[order], point[order]
    uv, z, cov = project(means[n], quats[n], scales[n], viewmats[c], Ks[c], width, height, eps2d)
    uv = uv + means2d[c, n]
    pixel = torch.stack([column, row], -1).to(dtype) + 0.5
    power = _power(pixel, uv, cov, owner)
    with torch.no_grad():
        cutoff = (opacities[n] * 255).log().clamp(max=S_MAX)
        kept = power <= cutoff[owner]
    owner, place = owner[kept], (c[owner] * (width * height) + row * width + column)[kept]
    alphas = (opacities[n][owner] * torch.exp(-power[kept])).clamp(max=ALPHA_MAX)
    weights = _weights(alphas, place)
    values = torch.cat([features[c, n], z[:, None], torch.ones_like(z)[:, None]], -1)
    image = torch.zeros(C * height * width, 5, dtype=dtype, device=device)
    image = image.index_add(0, place, weights[:, None] * values[owner]).reshape(C, height, width, 5)
    alpha = image[..., 4:]
    rgb = image[..., :3] + (1 - alpha) * background[:, None, None]
    return torch.cat([rgb, image[..., 3:4] / alpha.clamp(min=1e-10)], -1), alpha, radii, depths


def _power(
    pixel: Float[Tensor, "P 2"], uv: Float[Tensor, "M 2"], cov: Float[Tensor, "M 2 2"], owner: Int[Tensor, " P"]
) -> Float[Tensor, " P"]:
    """Half the squared Mahalanobis distance of each pair, as a sum of squares so that it cannot be negative."""
    yy = cov[:, 1, 1]
    shear, spread = cov[:, 0, 1] / yy, cov.det() / yy
    d = pixel - uv[owner]
    u = d[:, 0] - shear[owner] * d[:, 1]
    return 0.5 * (u * u / spread[owner] + d[:, 1] ** 2 / yy[owner])


def _weights(alphas: Float[Tensor, " P"], place: Int[Tensor, " P"]) -> Float[Tensor, " P"]:
    """Compositing weights of pairs that come front to back; `place` is the pixel of each."""
    if not len(place):
        return alphas
    order = place.argsort(stable=True)
    _, line, count = place[order].unique_consecutive(return_inverse=True, return_counts=True)
    rank = torch.arange(len(place), device=place.device) - (count.cumsum(0) - count)[line]
    table = alphas.new_zeros(len(count), int(count.max())).index_put((line, rank), alphas[order])
    after = (1 - table).cumprod(1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], 1)
    kept = after > T_MIN  # the Gaussian that would take a pixel below this, and all behind it, are left out
    weights = (table * before * kept)[line, rank]
    return torch.empty_like(weights).index_put((order,), weights)
