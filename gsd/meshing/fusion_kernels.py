"""The compiled loop of TSDF fusion over the voxels of one view."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from gsd.backend.jit import njit


@njit
@no_type_check  # compiled code takes no run-time checks of shapes
def fuse(low, spacing, viewmat, K, depth, solid, truncation, total, weight):
    """Add what one view says of each voxel; see `gsd.meshing.depth.fuse_torch`."""
    height, width = depth.shape
    across, down, deep = total.shape
    for i in range(across):
        x = low[0] + spacing * np.float32(i)
        for j in range(down):
            y = low[1] + spacing * np.float32(j)
            for k in range(deep):
                z = low[2] + spacing * np.float32(k)
                z_camera = viewmat[2, 0] * x + viewmat[2, 1] * y + viewmat[2, 2] * z + viewmat[2, 3]
                u = viewmat[0, 0] * x + viewmat[0, 1] * y + viewmat[0, 2] * z + viewmat[0, 3]
                v = viewmat[1, 0] * x + viewmat[1, 1] * y + viewmat[1, 2] * z + viewmat[1, 3]
                column = K[0, 0] * u / z_camera + K[0, 2]
                row = K[1, 1] * v / z_camera + K[1, 2]
                if not (0 <= column < width and 0 <= row < height):
                    continue
                m, n = int(row), int(column)
                if not solid[m, n]:
                    total[i, j, k] += 1
                    weight[i, j, k] += 1
                    continue
                signed = (depth[m, n] - z_camera) / truncation
                if signed > -1:
                    total[i, j, k] += min(signed, np.float32(1))
                    weight[i, j, k] += 1
