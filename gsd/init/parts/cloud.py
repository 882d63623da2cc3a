"""What starts have in common: turning, fitting, growing and saving a cloud of points."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from plyfile import PlyData, PlyElement
from pydantic import BaseModel, ConfigDict
from scipy.spatial import cKDTree
from torch import Tensor

from gsd.errors import GsdError
from gsd.random import Stream
from gsd.ranges import Count, Fraction, Length
from gsd.types import PointCloud


class Growing(BaseModel):
    """Noisy point growing of GaussianDreamer (sec. 3.3; its `add_points`): a cloud becomes a thick, mottled crust.

    `samples` points are drawn uniformly in the cloud's box; those nearer than `distance` (world units) to a point of
    the cloud stay and take its colour plus up to `colour`. GaussianDreamer's 0.01 is measured on a shape of about unit
    radius, before it is scaled.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    samples: Count = 1_000_000
    distance: Length = 0.01
    colour: Fraction = 0.2

    def __call__(self, cloud: PointCloud, rng: Stream) -> PointCloud:
        generator = rng.sub("grow").generator()
        low, high = cloud.xyz.amin(0), cloud.xyz.amax(0)
        drawn = low + (high - low) * torch.rand(self.samples, 3, generator=generator)
        tree = cKDTree(cloud.xyz.double().numpy())
        distance, nearest = tree.query(drawn.numpy(), distance_upper_bound=self.distance, workers=1)
        near = torch.from_numpy(np.isfinite(distance))
        rgb = cloud.rgb[torch.from_numpy(nearest)[near]]
        rgb = (rgb + self.colour * torch.rand(rgb.shape, generator=generator)).clamp_max(1.0)
        return PointCloud(torch.cat([cloud.xyz, drawn[near]]), torch.cat([cloud.rgb, rgb]))


def turned(xyz: Float[Tensor, "N 3"], yaw: float) -> Float[Tensor, "N 3"]:
    """About the z axis by `yaw` degrees, counter-clockwise from above."""
    c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    return xyz @ xyz.new_tensor([[c, s, 0.0], [-s, c, 0.0], [0.0, 0.0, 1.0]])


def fitted(xyz: Float[Tensor, "N 3"], radius: float) -> Float[Tensor, "N 3"]:
    """Its box centred at the origin, its farthest point `radius` (world units) away, wherever it lies.

    In float64, and measured in units of its own, so that no square of a coordinate overflows or vanishes.
    """
    wide = xyz.double()
    centred = wide - (wide.amin(0) / 2 + wide.amax(0) / 2)
    least = torch.finfo(torch.float64).tiny
    centred = centred / centred.abs().max().clamp_min(least)
    return (centred * (radius / centred.norm(dim=-1).max().clamp_min(least))).to(xyz.dtype)


def save(path: Path, cloud: PointCloud) -> None:
    """As .ply (x y z, red green blue as bytes) or .npz (xyz, rgb, exact); init=point_cloud reads both."""
    xyz, rgb = cloud.xyz.cpu().numpy(), cloud.rgb.cpu().numpy()
    if path.suffix == ".npz":
        np.savez(path, xyz=xyz, rgb=rgb)
        return
    if path.suffix != ".ply":
        raise GsdError(f"{path}: points are saved as .ply or .npz; give the file one of these endings.")
    table = np.empty(len(xyz), dtype=[*((k, "<f4") for k in "xyz"), *((k, "u1") for k in ("red", "green", "blue"))])
    for name, values in zip(table.dtype.names or (), (*xyz.T, *(255 * rgb.T).round()), strict=True):
        table[name] = values
    PlyData([PlyElement.describe(table, "vertex")], byte_order="<").write(str(path))
