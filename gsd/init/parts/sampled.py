"""Starts that a model samples: what init=point_e and init=shap_e share."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from gsd.backend.cache import cache_folder, read, write
from gsd.init.parts.cloud import Growing, fitted, turned
from gsd.random import Stream
from gsd.types import PointCloud

FRONT = 90.0  # degrees from where both models' objects usually look (-y, as in Point-E's own corgi) to our front


class CloudCache:
    """Sampled clouds on disk, one per seed, of one model, prompt and set of options; sampling takes minutes."""

    def __init__(self, *key: object) -> None:
        self.key = hashlib.blake2b(repr(key).encode(), digest_size=16).hexdigest()

    def any(self) -> bool:
        """Whether there is a cloud of any seed, so that the model may not be needed."""
        return any(_folder().glob(f"{self.key}-*.bin"))

    def __call__(self, rng: Stream, sample: Callable[[Stream], PointCloud]) -> PointCloud:
        """The cloud of this stream, from disk or sampled and then kept."""
        file = _folder() / f"{self.key}-{rng.key():016x}.bin"
        payload = read(file)
        if payload is None:
            with torch.random.fork_rng(list(range(torch.cuda.device_count()))):  # models draw from the global one
                torch.manual_seed(rng.key())
                cloud = sample(rng)
            buffer = io.BytesIO()
            np.savez(buffer, xyz=cloud.xyz.cpu().numpy(), rgb=cloud.rgb.cpu().numpy())
            write(file, payload := buffer.getvalue())
        with np.load(io.BytesIO(payload), allow_pickle=False) as data:
            return PointCloud(torch.from_numpy(data["xyz"]), torch.from_numpy(data["rgb"]))


def _folder() -> Path:
    return cache_folder() / "clouds"


def placed(cloud: PointCloud, yaw: float, radius: float, grow: Growing | None, rng: Stream) -> PointCloud:
    """In our world: turned by `yaw` degrees, fitted into `radius`, grown."""
    cloud = PointCloud(fitted(turned(cloud.xyz, yaw), radius), cloud.rgb)
    return cloud if grow is None else grow(cloud, rng)
