"""The compiled loop of TSDF fusion over the voxels of one view."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from gsd.backend.jit import njit


@njit
@no_type_check  # compiled code takes no run-time checks of shapes
def fuse(low, spacing, P, depth, solid, truncation, total, weight):
    """Add what one view says of each voxel; see `gsd.meshing.depth.fuse_torch`.

    P is K times the upper three rows of the viewmat: from the world to pixels times camera-space z.
    """
    height, width = depth.shape
    across, down, deep = total.shape
    for i in range(across):
        x = low[0] + spacing * np.float32(i)
        for j in range(down):
            y = low[1] + spacing * np.float32(j)
            u0 = P[0, 0] * x + P[0, 1] * y + P[0, 3]
            v0 = P[1, 0] * x + P[1, 1] * y + P[1, 3]
            z0 = P[2, 0] * x + P[2, 1] * y + P[2, 3]
            for k in range(deep):
                z = low[2] + spacing * np.float32(k)
                z_camera = z0 + P[2, 2] * z
                column, row = (u0 + P[0, 2] * z) / z_camera, (v0 + P[1, 2] * z) / z_camera
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
