"""Painting as a matrix, maps = A values: too slow for making noise, but what the tests of exactness look at."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.noising.points.canvas import Layer, reach


def integral(layers: list[Layer], rows: int) -> Float[Tensor, "R M"]:
    """The matrix of a box canvas with these layers: sparse, float64, on the CPU, rows of unit length, R = V h w.

    Its columns are the sub-points of the layers, one layer after the other, then one fresh value per pixel, used where
    no sub-point fell.
    """
    row, column = torch.empty(2, 0, dtype=torch.int64, device=layers[0].accepts.device)
    start = 0
    for layer in layers:
        pixel = reach(layer, "box")[0][..., 0]
        view, point = (pixel >= 0).nonzero(as_tuple=True)
        row = torch.cat([row, view * (rows // len(layer.cameras)) + pixel[view, point]])
        column = torch.cat([column, point + start])
        start += pixel.shape[1]
    count = torch.bincount(row, minlength=rows)
    empty = (count == 0).nonzero()[:, 0]
    entries = torch.stack([torch.cat([row, empty]), torch.cat([column, start + empty])])
    values = count.clamp_min(1).double().rsqrt()[entries[0]]
    return torch.sparse_coo_tensor(entries.cpu(), values.cpu(), (rows, start + rows), check_invariants=True)
