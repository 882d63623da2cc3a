"""Features of each pixel's surroundings, without learned weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d, pad

SCALES = (1.0, 2.0, 4.0)  # pixels, standard deviations
LEAST_SPREAD = 1e-4  # standard deviation below which a channel is ignored


def gradient_features(rgb: Float[Tensor, "V 3 H W"], alpha: Float[Tensor, "V 1 H W"]) -> Float[Tensor, "V 27 H W"]:
    """Colours and their derivatives along x and y at three scales, standardised over the object pixels of all views.

    Smoothing is weighted with alpha, so the background does not matter. Unrelated pixels have a mean cosine of 0.
    """
    channels = []
    for scale in SCALES:
        smooth = _blur(rgb * alpha, scale) / _blur(alpha, scale).clamp(min=1e-4)
        around = pad(smooth, (1, 1, 1, 1), mode="replicate")
        along_x = around[:, :, 1:-1, 2:] - around[:, :, 1:-1, :-2]
        along_y = around[:, :, 2:, 1:-1] - around[:, :, :-2, 1:-1]
        channels += [along_x, along_y, smooth]
    features = torch.cat(channels, 1)
    inside = features.movedim(1, -1)[alpha[:, 0] > 0.5]
    if len(inside) < 2:
        return torch.zeros_like(features)
    spread, mean = torch.std_mean(inside, 0)
    scaled = (features - mean[:, None, None]) / spread.clamp(min=LEAST_SPREAD)[:, None, None]
    return scaled * (spread > LEAST_SPREAD)[:, None, None]


def _blur(x: Float[Tensor, "V C H W"], scale: float) -> Float[Tensor, "V C H W"]:
    """Convolve with a Gaussian of standard deviation `scale` (pixels), zero-padded."""
    reach = round(3 * scale)
    kernel = torch.exp(-0.5 * (torch.arange(-reach, reach + 1, device=x.device) / scale).square())
    kernel = (kernel / kernel.sum()).expand(x.shape[1], 1, 1, -1)
    x = conv2d(x, kernel, padding=(0, reach), groups=x.shape[1])
    return conv2d(x, kernel.mT, padding=(reach, 0), groups=x.shape[1])
