"""Real spherical harmonics up to degree 3, with the signs and order of the INRIA code and of gsplat."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor


def basis(directions: Float[Tensor, "*n 3"], degree: int) -> Float[Tensor, "*n K"]:
    """The K = (degree + 1)^2 basis functions at unit directions, degree 0 to 3.

    Order l = 0, 1, 2, 3 and within it m = -l ... l. Odd m carry the Condon-Shortley sign, so that the functions of
    degree 1 are proportional to -y, z, -x.
    """
    x, y, z = directions.unbind(-1)
    xx, yy, zz = x * x, y * y, z * z
    one = torch.ones_like(x)

    def norm(numerator: float, denominator: float) -> float:
        return math.sqrt(numerator / (denominator * math.pi))

    functions = [norm(1, 4) * one]
    if degree >= 1:
        c = norm(3, 4)
        functions += [-c * y, c * z, -c * x]
    if degree >= 2:
        c = norm(15, 4)
        functions += [
            c * x * y, -c * y * z, norm(5, 16) * (2 * zz - xx - yy), -c * x * z, norm(15, 16) * (xx - yy),
        ]  # fmt: skip
    if degree >= 3:
        c, d, e = norm(35, 32), norm(105, 4), norm(21, 32)
        functions += [
            -c * y * (3 * xx - yy), d * x * y * z, -e * y * (4 * zz - xx - yy),
            norm(7, 16) * z * (2 * zz - 3 * xx - 3 * yy), -e * x * (4 * zz - xx - yy),
            norm(105, 16) * z * (xx - yy), -c * x * (xx - 3 * yy),
        ]  # fmt: skip
    return torch.stack(functions, -1)


def colors_from_sh(
    sh: Float[Tensor, "N K 3"], means: Float[Tensor, "N 3"], viewmats: Float[Tensor, "C 4 4"]
) -> Float[Tensor, "N 3"] | Float[Tensor, "C N 3"]:
    """Colours as the cameras see them: basis . sh + 1/2, not below 0; the same for all views where K = 1.

    K = (degree + 1)^2. The direction is that from the camera to the mean; as in gsplat and INRIA's code it passes a
    gradient to the means, and here to the viewmats too.
    """
    if sh.shape[1] == 1:
        return (sh[:, 0] * math.sqrt(1 / (4 * math.pi)) + 0.5).clamp_min(0)
    degree = round(math.sqrt(sh.shape[1])) - 1
    eyes = -torch.einsum("cij,ci->cj", viewmats[:, :3, :3], viewmats[:, :3, 3])  # of rigid viewmats
    values = basis(torch.nn.functional.normalize(means - eyes[:, None], dim=-1), degree)
    return (torch.einsum("cnk,nkd->cnd", values, sh) + 0.5).clamp_min(0)
