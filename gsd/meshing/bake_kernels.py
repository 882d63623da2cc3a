"""The compiled loops of baking: which face lies under a texel, and what the views show there."""

from __future__ import annotations

from typing import no_type_check

import numpy as np

from gsd.backend.jit import njit


@njit
@no_type_check  # compiled code takes no run-time checks of shapes
def rasterise(corners, face, weights):
    """Fill in the face and the barycentric coordinates at the centre of every texel.

    corners[f, k] is (x, y) of a corner in texels, in either orientation; face is -1 where no triangle is.
    """
    height, width = face.shape
    for f in range(len(corners)):
        ax, ay = corners[f, 0]
        bx, by = corners[f, 1]
        cx, cy = corners[f, 2]
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        left, right = max(0, int(min(ax, bx, cx) - 0.5)), min(width - 1, int(max(ax, bx, cx)))
        top, bottom = max(0, int(min(ay, by, cy) - 0.5)), min(height - 1, int(max(ay, by, cy)))
        for row in range(top, bottom + 1):
            y = np.float32(row + 0.5)
            for column in range(left, right + 1):
                x = np.float32(column + 0.5)
                b = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
                c = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
                a = 1 - b - c
                if a >= 0 and b >= 0 and c >= 0:
                    face[row, column] = f
                    weights[row, column, 0] = a
                    weights[row, column, 1] = b
                    weights[row, column, 2] = c


@njit
@no_type_check
def reach_out(corners, reach, face, weights):
    """Give each texel that `rasterise` left out the nearest point of an edge, if that is at most `reach` texels away.

    Charts thinner than a texel may have no centre of a texel inside.
    """
    height, width = face.shape
    nearest = np.where(face < 0, np.float32(reach * reach), np.float32(0))
    for f in range(len(corners)):
        for k in range(3):
            next_k = (k + 1) % 3
            px, py = corners[f, k]
            dx, dy = corners[f, next_k, 0] - px, corners[f, next_k, 1] - py
            length = max(dx * dx + dy * dy, np.float32(1e-12))
            left, right = max(0, int(min(px, px + dx) - reach)), min(width - 1, int(max(px, px + dx) + reach))
            top, bottom = max(0, int(min(py, py + dy) - reach)), min(height - 1, int(max(py, py + dy) + reach))
            for row in range(top, bottom + 1):
                y = np.float32(row + 0.5) - py
                for column in range(left, right + 1):
                    if nearest[row, column] == 0:
                        continue
                    x = np.float32(column + 0.5) - px
                    along = min(max((x * dx + y * dy) / length, np.float32(0)), np.float32(1))
                    distance = (x - along * dx) ** 2 + (y - along * dy) ** 2
                    if distance < nearest[row, column]:
                        nearest[row, column] = distance
                        face[row, column] = f
                        weights[row, column] = 0
                        weights[row, column, k] = 1 - along
                        weights[row, column, next_k] = along


@njit
@no_type_check
def blend(points, outward, P, seen, tolerance, total, weight):
    """Add what one view shows of each point; see `gsd.meshing.views.blend_torch`.

    P is K times the upper three rows of the viewmat: from the world to pixels times camera-space z. seen is
    interleaved, (H, W, 5): red, green, blue, depth, alpha.
    """
    height, width, _ = seen.shape
    for n in range(len(points)):
        frontal = -(P[2, 0] * outward[n, 0] + P[2, 1] * outward[n, 1] + P[2, 2] * outward[n, 2])
        if not frontal > 0:
            continue
        x, y, z = points[n]
        z_camera = P[2, 0] * x + P[2, 1] * y + P[2, 2] * z + P[2, 3]
        column = (P[0, 0] * x + P[0, 1] * y + P[0, 2] * z + P[0, 3]) / z_camera - np.float32(0.5)
        row = (P[1, 0] * x + P[1, 1] * y + P[1, 2] * z + P[1, 3]) / z_camera - np.float32(0.5)
        if not (0 <= column < width - 1 and 0 <= row < height - 1):
            continue
        i, j = int(row), int(column)
        down, across = row - np.float32(i), column - np.float32(j)
        if abs(z_camera - bilinear(seen, i, j, 3, down, across)) < tolerance:
            alpha = bilinear(seen, i, j, 4, down, across)
            strength = frontal**2 * min(max(alpha, np.float32(0)), np.float32(1)) ** 4
            for k in range(3):
                total[n, k] += strength * bilinear(seen, i, j, k, down, across)
            weight[n] += strength


@njit
@no_type_check
def bilinear(seen, i, j, k, down, across):
    """Channel k between the four pixels from row i and column j on."""
    above = seen[i, j, k] + across * (seen[i, j + 1, k] - seen[i, j, k])
    below = seen[i + 1, j, k] + across * (seen[i + 1, j + 1, k] - seen[i + 1, j, k])
    return above + down * (below - above)
