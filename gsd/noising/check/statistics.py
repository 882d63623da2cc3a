"""What the acceptance suite measures of noise maps: pure functions of samples, no thresholds."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import sparse, stats
from scipy.sparse.linalg import svds
from torch import Tensor

from gsd.geometry import sample


def ks_p(x: Float[Tensor, "*n"], values: int = 400_000) -> float:
    """p of the Kolmogorov-Smirnov test against N(0, 1), of about `values` evenly spaced ones."""
    flat = x.flatten()
    return float(stats.kstest(flat[:: max(1, len(flat) // values)].double().numpy(), "norm").pvalue)


def excess_kurtosis(x: Float[Tensor, "*n"]) -> float:
    """0 for a normal distribution; standard error sqrt(24 / n)."""
    centred = x.flatten().double()
    centred = centred - centred.mean()
    return float((centred**4).mean() / (centred**2).mean() ** 2 - 3)


def correlations(a: Float[Tensor, "S m"], b: Float[Tensor, "S n"]) -> Float[Tensor, "m n"]:
    """Sample correlation of every variable of a with every one of b; standard error 1 / sqrt(S - 1) if independent."""
    a, b = (x - x.mean(0) for x in (a, b))
    return (a / a.norm(dim=0)).T @ (b / b.norm(dim=0))


def off_diagonal(square: Float[Tensor, "n n"]) -> Float[Tensor, " m"]:
    return square[~torch.eye(len(square), dtype=torch.bool)]


def moran_z(maps: Float[Tensor, "n h w"]) -> Float[Tensor, " n"]:
    """Moran's I of every map over edge neighbours, in standard deviations from its mean under independence.

    Mean -1 / (P - 1) and the variance under normality are those of Cliff and Ord (1981).
    """
    _, height, width = maps.shape
    x = (maps - maps.mean((1, 2), keepdim=True)).double()
    links = (x[:, :, 1:] * x[:, :, :-1]).sum((1, 2)) + (x[:, 1:] * x[:, :-1]).sum((1, 2))
    pixels, weight = height * width, 2 * (height * (width - 1) + width * (height - 1))
    index = pixels / weight * 2 * links / (x**2).sum((1, 2))
    degree = 4 - _border(height) - _border(width).T
    s1, s2 = 2 * weight, 4 * float((degree**2).sum())
    mean = -1 / (pixels - 1)
    second = (pixels**2 * s1 - pixels * s2 + 3 * weight**2) / ((pixels**2 - 1) * weight**2)
    return (index - mean) / (second - mean**2) ** 0.5


def _border(n: int) -> Float[Tensor, "n 1"]:
    """How many of the two neighbours along an axis are missing."""
    missing = torch.zeros(n, 1)
    missing[0] += 1
    missing[-1] += 1
    return missing


def correlation(a: Float[Tensor, "*n"], b: Float[Tensor, "*n"]) -> float:
    """Of two variables of mean zero, over all their samples."""
    return float((a * b).sum() / (a.square().sum() * b.square().sum()).sqrt())


def corresponding(
    maps: Float[Tensor, "2 S h w"], coords: Float[Tensor, "1 h w 2"], both: Bool[Tensor, "h w"]
) -> tuple[Float[Tensor, "S n"], Float[Tensor, "S n"]]:
    """The first view at the pixels of `both`, and the second at the pixels that contain the points seen there."""
    return maps[0][:, both], sample(maps[1:], coords, "nearest")[0][:, both]


class Operator:
    """The explicit linear map from independent N(0, 1) values to two views: their covariances without sampling."""

    def __init__(self, operator: Tensor, pixels: int) -> None:
        """A sparse float64 [2 * pixels, M]."""
        coo = operator.coalesce()
        rows, columns = coo.indices().cpu().numpy()
        matrix = sparse.csr_matrix((coo.values().cpu().numpy(), (rows, columns)), shape=tuple(coo.shape))
        self.one, self.other = matrix[:pixels], matrix[pixels:]
        self.cross = (self.one @ self.other.T).tocsr()

    def within(self) -> tuple[float, float]:
        """Largest |variance - 1| of a pixel and largest |covariance| of two pixels of a view, of both views."""
        variance = covariance = 0.0
        for view in (self.one, self.other):
            gram = view @ view.T
            diagonal = gram.diagonal()
            variance = max(variance, float(np.abs(diagonal - 1).max()))
            covariance = max(covariance, float(abs(gram - sparse.diags(diagonal)).max()))
        return variance, covariance

    def reused(self) -> int:
        """How many values feed more than one pixel of a view."""
        return sum(int((np.diff((view != 0).tocsc().indptr) > 1).sum()) for view in (self.one, self.other))

    def norm(self) -> float:
        """Spectral norm of the cross-covariance: at most 1 if both views are N(0, I)."""
        if self.cross.nnz == 0:
            return 0.0
        return float(svds(self.cross, k=1, return_singular_vectors=False, random_state=0)[0])

    def predictable(self, pixels: Bool[Tensor, "h w"]) -> float:
        """R2: the mean fraction of a pixel's variance that the other view determines."""
        return float(self.cross.multiply(self.cross).sum(1)[pixels.flatten().numpy()].mean())

    def near(self, coords: Float[Tensor, "1 h w 2"], both: Bool[Tensor, "h w"]) -> Float[Tensor, " n"]:
        """Covariance of every pixel of `both` with the pixel that contains its point."""
        width = both.shape[1]
        x, y = coords[0][both].floor().long().unbind(-1)
        here, there = both.flatten().nonzero()[:, 0].tolist(), (y * width + x).tolist()
        return torch.from_numpy(np.asarray(self.cross[here, there]).ravel())
