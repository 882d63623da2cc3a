"""Numba kernels of gsd.noising.points.canvas and whiten, which have their torch twins."""

import numpy as np

from gsd.backend.jit import njit
from gsd.noising.points.counter_kernels import fill_normal, mix64

_BLOCK = 512  # sub-points per pass, so that their data stay in the first- and second-level caches


@njit
def place(points, frames, ids, chosen, upsample, key, x, y, z):
    """World coordinates points[k] + frames[k] u of the sub-points of the points `chosen`; u as in canvas.bell."""
    for i in range(len(chosen)):
        k = chosen[i]
        for s in range(upsample):
            h = mix64(key, ids[k] * upsample + s)
            u, v, w = _bell(h), _bell(h >> np.uint64(21)), _bell(h >> np.uint64(42))
            m = i * upsample + s
            x[m] = points[k, 0] + (frames[k, 0, 0] * u + frames[k, 0, 1] * v + frames[k, 0, 2] * w)
            y[m] = points[k, 1] + (frames[k, 1, 0] * u + frames[k, 1, 1] * v + frames[k, 1, 2] * w)
            z[m] = points[k, 2] + (frames[k, 2, 0] * u + frames[k, 2, 1] * v + frames[k, 2, 2] * w)


@njit
def _candidates(points, frames, viewmats, accepts, depth, tolerance):
    """The points that may be seen: all but those whose sub-points lie behind the farthest surface of every view."""
    count, views = len(points), len(viewmats)
    out, n = np.empty(count, np.int64), 0
    farthest = np.full(views, np.float32(np.inf))
    for v in range(views):
        if depth.size:
            farthest[v] = -np.inf
            for p in range(depth.shape[1]):
                if accepts[v, p]:
                    farthest[v] = max(farthest[v], depth[v, p])
    for k in range(count):
        reach = np.float32(0.0)
        for i in range(3):
            for j in range(3):
                reach += frames[k, i, j] * frames[k, i, j]
        reach = np.float32(5.2) * np.sqrt(reach) + tolerance  # |u| < 3 sqrt(3)
        seen = False
        for v in range(views):
            z = viewmats[v, 2, 0] * points[k, 0] + viewmats[v, 2, 1] * points[k, 1]
            z += viewmats[v, 2, 2] * points[k, 2] + viewmats[v, 2, 3]
            seen |= not z - reach > farthest[v]
        out[n] = k
        n += seen
    return out[:n]


@njit
def _bell(h):
    total = (h & np.uint64(127)) + ((h >> np.uint64(7)) & np.uint64(127)) + ((h >> np.uint64(14)) & np.uint64(127))
    return (np.float32(np.int64(total)) - np.float32(190.5)) * np.float32(0.015625476)  # variance (128^2 - 1) / 4


@njit
def sub_values(ids, upsample, parent_key, child_key, own, fresh, out):
    """out[k, s] = own n_k + fresh (z_ks - mean_s z_ks) with n drawn from parent_key and z from child_key."""
    channels = out.shape[2]
    if upsample == 1:  # z is its own mean
        fill_normal(parent_key, ids, out.reshape(-1, channels))
        out *= own
        return
    parents = np.empty((len(ids), channels), np.float32)
    children = np.empty(len(ids) * upsample, np.int64)
    for k in range(len(ids)):
        for s in range(upsample):
            children[k * upsample + s] = ids[k] * upsample + s
    fill_normal(parent_key, ids, parents)
    fill_normal(child_key, children, out.reshape(-1, channels))
    fraction = fresh / np.float32(upsample)
    for k in range(len(ids)):
        for c in range(channels):
            total = np.float32(0.0)
            for s in range(upsample):
                total += out[k, s, c]
            shift = parents[k, c] * own - total * fraction
            for s in range(upsample):
                out[k, s, c] = fresh * out[k, s, c] + shift


@njit
def paint(
    tent, points, frames, ids, upsample, place_key, value_keys, own, fresh, stored,
    viewmats, Ks, width, height, near, accepts, depth, tolerance, total, gram,
):  # fmt: skip
    """total[v, p] += the weighted values of the sub-points seen in pixel p, gram[v, p] += products of their weights.

    The box: weight 1 in the pixel that contains the sub-point, so gram[v, p, 0] is a count. The tent: bilinear weights
    in the four nearest pixels; gram[v, p, i] sums the products of a sub-point's weights in p and in the pixel at
    (dy, dx) = (0, 0), (0, 1), (1, -1), (1, 0), (1, 1) from p. Values are drawn for the points with a visible sub-point,
    or taken from `stored` [K, N, C] if that is not empty.
    """
    views, _, channels = total.shape
    corners = 4 if tent else 1
    step = max(1, _BLOCK // upsample)
    size = step * upsample
    x, y, z = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    at_x, at_y, at_z = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    pixel, weight = np.empty((views, size, corners), np.int32), np.empty((views, size, corners), np.float32)
    seen, chosen, chosen_ids = np.empty(step, np.bool_), np.empty(step, np.int64), np.empty(step, np.int64)
    values = np.empty((step, upsample, channels), np.float32)
    candidates = _candidates(points, frames, viewmats, accepts, depth, tolerance)
    for first in range(0, len(candidates), step):
        batch = candidates[first : first + step]
        n = len(batch)
        m = n * upsample
        place(points, frames, ids, batch, upsample, place_key, x, y, z)
        seen[:] = False
        for v in range(views):
            _project(x[:m], y[:m], z[:m], viewmats[v], Ks[v], near, at_x[:m], at_y[:m], at_z[:m])
            pixels, weights = pixel[v], weight[v]
            if tent:
                _tent_pixels(
                    at_x[:m], at_y[:m], at_z[:m], width, height, accepts[v], depth[v], tolerance, pixels, weights
                )
            else:
                _box_pixels(at_x[:m], at_y[:m], at_z[:m], width, height, accepts[v], depth[v], tolerance, pixels)
            _mark_seen(pixels, n, upsample, seen)
        n_seen = 0
        for k in range(n):
            if seen[k]:
                chosen[n_seen], chosen_ids[n_seen] = k, ids[batch[k]]
                n_seen += 1
        if stored.size:
            for i in range(n_seen):
                values[i] = stored[batch[chosen[i]]]
        elif n_seen:
            sub_values(chosen_ids[:n_seen], upsample, value_keys[0], value_keys[1], own, fresh, values[:n_seen])
        for v in range(views):
            if tent:
                _add_tent(values, chosen[:n_seen], pixel[v], weight[v], total[v], gram[v])
            else:
                _add_box(values, chosen[:n_seen], pixel[v], total[v], gram[v])


@njit
def _mark_seen(pixel, count, upsample, seen):
    for k in range(count):
        seen[k] |= _any_in_image(pixel, k * upsample, upsample)


@njit
def _any_in_image(pixel, first, upsample):
    """Whether any sub-point of a point falls into a pixel."""
    for m in range(first, first + upsample):
        for corner in range(pixel.shape[1]):
            if pixel[m, corner] >= 0:
                return True
    return False


@njit
def _box_pixels(x, y, z, width, height, accepts, depth, tolerance, pixel):
    """pixel[m] = the pixel that contains sub-point m, if it accepts it, else -1."""
    for m in range(len(x)):
        inside = (x[m] >= 0) & (y[m] >= 0) & (x[m] < width) & (y[m] < height)
        row = np.int32(y[m] if inside else np.float32(0.0))
        column = np.int32(x[m] if inside else np.float32(0.0))
        pixel[m, 0] = row * np.int32(width) + column if inside else np.int32(-1)
    for m in range(len(x)):
        p = pixel[m, 0]
        if p >= 0 and not (accepts[p] and (depth.size == 0 or abs(z[m] - depth[p]) < tolerance)):
            pixel[m, 0] = -1


@njit
def _tent_pixels(x, y, z, width, height, accepts, depth, tolerance, pixel, weight):
    """The four pixels nearest to each sub-point, -1 if one does not accept it, and its bilinear weights there."""
    for m in range(len(x)):
        pixel[m, :] = -1
        weight[m, :] = 0
        if not ((x[m] > -1) & (y[m] > -1) & (x[m] < width + 1) & (y[m] < height + 1)):
            continue
        left, top = np.int32(np.floor(x[m] - np.float32(0.5))), np.int32(np.floor(y[m] - np.float32(0.5)))
        fx, fy = x[m] - np.float32(0.5) - np.float32(left), y[m] - np.float32(0.5) - np.float32(top)
        for corner in range(4):
            px, py = left + (corner & 1), top + (corner >> 1)
            w = (fx if corner & 1 else 1 - fx) * (fy if corner >> 1 else 1 - fy)
            if 0 <= px < width and 0 <= py < height and w > 0:
                p = py * np.int32(width) + px
                if accepts[p] and (depth.size == 0 or abs(z[m] - depth[p]) < tolerance):
                    pixel[m, corner], weight[m, corner] = p, w


@njit
def _add_box(values, chosen, pixel, total, gram):
    _, upsample, channels = values.shape
    for i in range(len(chosen)):
        for s in range(upsample):
            p = pixel[chosen[i] * upsample + s, 0]
            if p >= 0:
                gram[p, 0] += np.float32(1.0)
                for c in range(channels):
                    total[p, c] += values[i, s, c]


@njit
def _add_tent(values, chosen, pixel, weight, total, gram):
    _, upsample, channels = values.shape
    for i in range(len(chosen)):
        for s in range(upsample):
            m = chosen[i] * upsample + s
            a, b, c, d = weight[m, 0], weight[m, 1], weight[m, 2], weight[m, 3]
            for corner in range(4):
                p, w = pixel[m, corner], weight[m, corner]
                if p >= 0:
                    gram[p, 0] += w * w
                    for channel in range(channels):
                        total[p, channel] += w * values[i, s, channel]
            if pixel[m, 0] >= 0:  # the weight of a pixel that does not take part is 0
                gram[pixel[m, 0], 1] += a * b
                gram[pixel[m, 0], 3] += a * c
                gram[pixel[m, 0], 4] += a * d
            if pixel[m, 1] >= 0:
                gram[pixel[m, 1], 2] += b * c
                gram[pixel[m, 1], 3] += b * d
            if pixel[m, 2] >= 0:
                gram[pixel[m, 2], 1] += c * d


@njit
def _project(px, py, pz, E, K, near, x, y, z):
    """Image coordinates and camera z of points, x = -9 behind the camera; branch-free, so that it vectorises."""
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    e00, e01, e02, e03 = E[0, 0], E[0, 1], E[0, 2], E[0, 3]
    e10, e11, e12, e13 = E[1, 0], E[1, 1], E[1, 2], E[1, 3]
    e20, e21, e22, e23 = E[2, 0], E[2, 1], E[2, 2], E[2, 3]
    for m in range(px.size):
        depth = e20 * px[m] + e21 * py[m] + e22 * pz[m] + e23
        inverse = np.float32(1.0) / depth
        u = fx * (e00 * px[m] + e01 * py[m] + e02 * pz[m] + e03) * inverse + cx
        v = fy * (e10 * px[m] + e11 * py[m] + e12 * pz[m] + e13) * inverse + cy
        x[m] = u if depth > near else np.float32(-9.0)
        y[m] = v
        z[m] = depth


@njit
def normalise(total, gram, fresh_key, out):
    """out[v, c, p] = total[v, p, c] / sqrt(gram[v, p, 0]); fresh noise of (view, pixel) where nothing fell."""
    views, area, channels = total.shape
    empty, n_empty = np.empty(views * area, np.int64), 0
    for v in range(views):
        for p in range(area):
            if gram[v, p, 0] == 0:
                empty[n_empty] = v * area + p
                n_empty += 1
                continue
            scale = np.float32(1.0) / np.sqrt(gram[v, p, 0])
            for c in range(channels):
                out[v, c, p] = total[v, p, c] * scale
    fresh = np.empty((n_empty, channels), np.float32)
    fill_normal(fresh_key, empty[:n_empty], fresh)
    for k in range(n_empty):
        for c in range(channels):
            out[empty[k] // area, c, empty[k] % area] = fresh[k, c]


@njit
def stencil(gram, width, height, out):
    """Gram matrix of the pixels' unit rows as padded planes out[4, h + 2, w + 2]; returns its largest row sum.

    out[0], [1], [2], [3] at a pixel: its product with the pixel at (0, 1), (1, -1), (1, 0), (1, 1) from it.
    """
    out[:] = 0
    dy, dx = (0, 1, 1, 1), (1, -1, 0, 1)
    for y in range(height):
        for x in range(width):
            squared = gram[y * width + x, 0]
            for i in range(4):
                oy, ox = y + dy[i], x + dx[i]
                if squared > 0 and oy < height and 0 <= ox < width:
                    other = gram[oy * width + ox, 0]
                    if other > 0:
                        out[i, y + 1, x + 1] = gram[y * width + x, i + 1] / np.sqrt(squared * other)
    largest = np.float32(0.0)
    for y in range(1, height + 1):
        for x in range(1, width + 1):
            row = np.float32(1.0) if gram[(y - 1) * width + x - 1, 0] > 0 else np.float32(0.0)
            row += out[0, y, x] + out[0, y, x - 1] + out[1, y, x] + out[1, y - 1, x + 1]
            row += out[2, y, x] + out[2, y - 1, x] + out[3, y, x] + out[3, y - 1, x - 1]
            largest = max(largest, row)
    return largest


@njit
def chebyshev(diagonal, planes, coefficients, scale, shift, start, out):
    """out = sum_k c_k T_k(A) start for every channel, A = scale (G + ridge I) - shift I with spectrum in [-1, 1].

    start and out are padded [C, h + 2, w + 2]; diagonal, padded [h + 2, w + 2], is the diagonal of G + ridge I.
    """
    channels, height, width = start.shape
    for c in range(channels):
        before, now = np.zeros((height, width), np.float32), start[c].copy()
        for k in range(len(coefficients)):
            if k == 1:
                _multiply(diagonal, planes, scale, shift, np.float32(1.0), start[c], before)
                before, now = now, before
            elif k > 1:
                _multiply(diagonal, planes, scale, shift, np.float32(2.0), now, before)
                before, now = now, before
            coefficient = np.float32(coefficients[k])
            for y in range(1, height - 1):
                for x in range(1, width - 1):
                    out[c, y, x] += coefficient * now[y, x]


@njit
def _multiply(diagonal, planes, scale, shift, factor, t, out):
    """A step of Chebyshev's recurrence: out = factor A t - out. The first step has factor 1 and out = 0."""
    height, width = t.shape
    east, southwest, south, southeast = planes[0], planes[1], planes[2], planes[3]
    a, b = factor * scale, factor * shift
    for y in range(1, height - 1):
        for x in range(1, width - 1):
            g = diagonal[y, x] * t[y, x] + east[y, x] * t[y, x + 1] + east[y, x - 1] * t[y, x - 1]
            g += south[y, x] * t[y + 1, x] + south[y - 1, x] * t[y - 1, x]
            g += southeast[y, x] * t[y + 1, x + 1] + southeast[y - 1, x - 1] * t[y - 1, x - 1]
            g += southwest[y, x] * t[y + 1, x - 1] + southwest[y - 1, x + 1] * t[y - 1, x + 1]
            out[y, x] = a * g - b * t[y, x] - out[y, x]
