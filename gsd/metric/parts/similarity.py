"""Similarity of images without a learned network: PSNR, SSIM, and gradient magnitudes in place of LPIPS."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d, pad

from gsd.types import Render

LEAST_MSE = 1e-10  # for a perfect copy, which then has 100 dB
LUMINANCE = (0.299, 0.587, 0.114)  # of rgb (BT.601)
PREWITT = torch.tensor([[1.0, 0.0, -1.0]]).expand(3, 3) / 3
STABLE = 170 / 255**2  # the constant of gradient magnitude similarity, for values in [0, 1]


def psnr(mse: Float[Tensor, "*n"]) -> Float[Tensor, "*n"]:
    """PSNR in dB, at most 100, from mean squared errors of values in [0, 1]."""
    return -10 * torch.log10(mse.clamp(min=LEAST_MSE))


def ssim(a: Float[Tensor, "K 3 H W"], b: Float[Tensor, "K 3 H W"]) -> Float[Tensor, " K"]:
    """Structural similarity (Wang et al. 2004) of each pair, at most 1; Gaussian windows of 11 pixels."""
    options = {"data_range": 1.0, "channel_axis": 0, "gaussian_weights": True, "use_sample_covariance": False}
    pairs = zip(a.cpu().numpy(), b.cpu().numpy(), strict=True)
    return torch.tensor([structural_similarity(x, y, **options) for x, y in pairs])


def gmsd(a: Float[Tensor, "K 3 H W"], b: Float[Tensor, "K 3 H W"]) -> Float[Tensor, " K"]:
    """Gradient magnitude similarity deviation (Xue et al. 2014) of each pair; 0 for equal images, about 0.3 at worst.

    A perceptual distance without learned weights: how unevenly the edges of the two images agree.
    """
    one, other = (_gradient_magnitude(avg_pool2d(luminance(x), 2)) for x in (a, b))
    similarity = (2 * one * other + STABLE) / (one.square() + other.square() + STABLE)
    return similarity.flatten(1).std(1, correction=0)


def sharpness(rgb: Float[Tensor, "K 3 H W"], alpha: Float[Tensor, "K 1 H W"]) -> Float[Tensor, ""]:
    """Mean slope of the luminance, per pixel, over the object (alpha > 0.5); 0 if there is no object."""
    inside = alpha > 0.5
    return (_gradient_magnitude(luminance(rgb)) / 2 * inside).sum() / inside.sum().clamp(min=1)


def detail(render: Render) -> float:
    """What shading and blur leave out of an object: root mean square, over its pixels (alpha > 0.5) and all views, of
    what remains of its colours after the best quadratic function of the pixel's place is taken out."""
    rest = [_beyond_quadratic(rgb, alpha[0] > 0.5) for rgb, alpha in zip(render.rgb, render.alpha, strict=True)]
    return float(torch.cat(rest).square().mean().sqrt()) if sum(map(len, rest)) else 0.0


def _beyond_quadratic(rgb: Float[Tensor, "3 H W"], inside: Bool[Tensor, "H W"]) -> Float[Tensor, "n 3"]:
    y, x = (2 * inside.nonzero() / len(inside) - 1).unbind(1)
    terms = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y], 1)
    colours = rgb[:, inside].T
    return colours - terms @ (torch.linalg.pinv(terms) @ colours)


def luminance(rgb: Float[Tensor, "K 3 H W"]) -> Float[Tensor, "K 1 H W"]:
    return (rgb * rgb.new_tensor(LUMINANCE)[:, None, None]).sum(1, keepdim=True)


def _gradient_magnitude(grey: Float[Tensor, "K 1 H W"]) -> Float[Tensor, "K 1 H W"]:
    """Twice the slope per pixel, by Prewitt's filters with replicated borders."""
    filters = torch.stack([PREWITT, PREWITT.T])[:, None].to(grey)
    return conv2d(pad(grey, (1, 1, 1, 1), mode="replicate"), filters).square().sum(1, keepdim=True).sqrt()
