"""Numba kernels of gsd.noising.points.background, which has their torch twin."""

import numpy as np

from gsd.backend.jit import njit


@njit
def intervals(planes, across):
    """first[r, v] ... last[r, v] = the columns of row r, of all faces one after the other, that view v sees."""
    views, step = len(planes), np.pi / 2 / across
    first, last = np.zeros((6 * across, views), np.int64), np.full((6 * across, views), -1, np.int64)
    for row in range(6 * across):
        axis, sign = row // across // 2, 1.0 - 2.0 * (row // across % 2)
        y = np.tan((row % across + 0.5) * step - np.pi / 4)
        for v in range(views):
            low, high = -1.0, 1.0
            for side in range(4):
                plane = planes[v, side]
                rest = sign * plane[axis] + y * plane[(axis + 2) % 3] - plane[3]
                slope = plane[(axis + 1) % 3]
                if slope > 0:
                    low = max(low, -rest / slope)
                elif slope < 0:
                    high = min(high, -rest / slope)
                elif not rest >= 0:
                    high = -2.0
            if low <= high:
                first[row, v] = max(np.ceil((np.arctan(low) + np.pi / 4) / step - 0.5), 0)
                last[row, v] = min(np.floor((np.arctan(high) + np.pi / 4) / step - 0.5), across - 1)
    return first, last


@njit
def centres(first, last, across):
    """The numbers of the cells in the intervals, each once, and their centres on the unit sphere."""
    most = 0
    for row in range(len(first)):
        for v in range(first.shape[1]):
            most += max(last[row, v] - first[row, v] + 1, 0)
    ids, points = np.empty(most, np.int64), np.empty((most, 3), np.float32)
    tangents = np.tan((np.arange(across) + 0.5) * (np.pi / 2 / across) - np.pi / 4)
    seen, n = np.zeros(across, np.bool_), 0
    for row in range(len(first)):
        axis, sign, y = row // across // 2, 1.0 - 2.0 * (row // across % 2), tangents[row % across]
        for v in range(first.shape[1]):
            for column in range(first[row, v], last[row, v] + 1):
                if seen[column]:
                    continue
                seen[column] = True
                x = tangents[column]
                scale = 1 / np.sqrt(1 + x * x + y * y)
                ids[n] = row * across + column
                points[n, axis] = sign * scale
                points[n, (axis + 1) % 3] = x * scale
                points[n, (axis + 2) % 3] = y * scale
                n += 1
        for v in range(first.shape[1]):
            seen[first[row, v] : last[row, v] + 1] = False
    return ids[:n], points[:n]
