"""The compiled loop over triangles. No fast maths: its faces are those of the torch function, one by one."""

from __future__ import annotations

from math import ceil, floor
from typing import no_type_check

from gsd.backend.jit import njit


@njit(fastmath=False)
@no_type_check  # compiled code takes no run-time checks of shapes
def draw(corners, near, slack, face, closeness):
    """Fill in the nearest face at the centre of every pixel of one view; see `gsd.meshing.triangles.nearest_torch`.

    corners[f, k] is (x, y) in pixels and z in the camera, float64. face is -1 and closeness, 1 / z, is 0 before.
    """
    height, width = face.shape
    for f in range(len(corners)):
        ax, ay, az = corners[f, 0]
        bx, by, bz = corners[f, 1]
        cx, cy, cz = corners[f, 2]
        if not (az > near and bz > near and cz > near):
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        left, right = max(0.0, ceil(min(ax, bx, cx) - 0.5)), min(width - 1.0, floor(max(ax, bx, cx) - 0.5))
        top, bottom = max(0.0, ceil(min(ay, by, cy) - 0.5)), min(height - 1.0, floor(max(ay, by, cy) - 0.5))
        if right < left or bottom < top:
            continue
        for row in range(int(top), int(bottom) + 1):
            y = row + 0.5
            for column in range(int(left), int(right) + 1):
                x = column + 0.5
                b = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
                c = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
                a = 1 - b - c
                if a >= -slack and b >= -slack and c >= -slack:
                    near_by = a / az + b / bz + c / cz
                    if near_by > closeness[row, column]:
                        closeness[row, column] = near_by
                        face[row, column] = f
