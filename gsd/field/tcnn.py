"""The hash grid on tiny-cuda-nn, for CUDA devices that have it."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gsd.errors import GsdError
from gsd.field.hashgrid import Level, weights


class TinyCudaGrid(nn.Module):
    """Like `gsd.field.hashgrid.HashGrid`, of which it takes the same options, but without derivatives by the points."""

    def __init__(
        self, levels: tuple[Level, ...], features: int, base_resolution: int, growth: float, log2_table: int, seed: int
    ) -> None:
        super().__init__()
        if find_spec("tinycudann") is None:
            raise GsdError(
                "representation.backend=tinycudann needs the package tinycudann; install it with pip install "
                "git+https://github.com/NVlabs/tiny-cuda-nn/#subdirectory=bindings/torch, or use "
                "representation.backend=torch."
            )
        if not torch.cuda.is_available():
            raise GsdError("representation.backend=tinycudann runs on CUDA only; use representation.backend=torch.")
        import tinycudann

        self.levels, self.features, self.width = levels, features, len(levels) * features
        config: dict[str, Any] = {
            "otype": "HashGrid",
            "n_levels": len(levels),
            "n_features_per_level": features,
            "log2_hashmap_size": log2_table,
            "base_resolution": base_resolution,
            "per_level_scale": growth,
        }
        self.encoding = tinycudann.Encoding(3, config, seed=seed, dtype=torch.float32)

    def forward(
        self, xyz: Float[Tensor, "3 M"], share: float, known: Float[Tensor, "K M"] | None = None
    ) -> Float[Tensor, "K M"]:
        each = xyz.new_tensor(weights(self.levels, share)).repeat_interleave(self.features)
        return (self.encoding(xyz.T.contiguous()) * each).T.contiguous()

    def jacobian(self, xyz: Float[Tensor, "3 M"], share: float) -> tuple[Float[Tensor, "K M"], Float[Tensor, "3 K M"]]:
        raise GsdError("backend=tinycudann has no analytic normals; use representation.normals=finite_difference.")
