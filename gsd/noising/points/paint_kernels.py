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
    ramp, points, frames, ids, upsample, place_key, value_keys, own, fresh, stored,
    viewmats, Ks, width, height, near, accepts, depth, tolerance, total, gram,
):  # fmt: skip
    """total[v, p] += the weighted values of the sub-points seen in pixel p, gram[v, p] += products of their weights.

    ramp 0, the box: weight 1 in the pixel that contains the sub-point, so gram[v, p, 0] is a count. Else weights in the
    four pixels nearest to it, see canvas.RAMPS; gram[v, p, i] sums the products of a sub-point's weights in p and in
    the pixel at (dy, dx) = (0, 0), (0, 1), (1, -1), (1, 0), (1, 1) from p. Values are drawn for the points with a
    visible sub-point, or taken from `stored` [K, N, C] if that is not empty.
    """
    views, _, channels = total.shape
    step = max(1, _BLOCK // upsample)
    size = step * upsample
    x, y, z = np.empty(size, np.float32), np.empty(size, np.float32), np.empty(size, np.float32)
    shape = (views, size)
    at_x, at_y, at_z = np.empty(shape, np.float32), np.empty(shape, np.float32), np.empty(shape, np.float32)
    pixel = np.empty(shape, np.int32)
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
            u, w, far = at_x[v, :m], at_y[v, :m], at_z[v, :m]
            _project(x[:m], y[:m], z[:m], viewmats[v], Ks[v], near, u, w, far)
            _contained(u, w, far, width, height, accepts[v], depth[v], tolerance, pixel[v])
            _mark_seen(pixel[v], n, upsample, seen)
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
            if ramp > 0:
                _add_ramp(
                    ramp, values, chosen[:n_seen], pixel[v], at_x[v], at_y[v], at_z[v], width, height, accepts[v],
                    depth[v], tolerance, total[v], gram[v],
                )  # fmt: skip
            else:
                _add_box(values, chosen[:n_seen], pixel[v], total[v], gram[v])


@njit
def _mark_seen(pixel, count, upsample, seen):
    for k in range(count):
        for m in range(k * upsample, (k + 1) * upsample):
            seen[k] |= pixel[m] >= 0


@njit
def _contained(x, y, z, width, height, accepts, depth, tolerance, pixel):
    """pixel[m] = the pixel that contains sub-point m, if it accepts it, else -1."""
    for m in range(len(x)):
        inside = (x[m] >= 0) & (y[m] >= 0) & (x[m] < width) & (y[m] < height)
        row = np.int32(y[m] if inside else np.float32(0.0))
        column = np.int32(x[m] if inside else np.float32(0.0))
        pixel[m] = row * np.int32(width) + column if inside else np.int32(-1)
    for m in range(len(x)):
        p = pixel[m]
        if p >= 0 and not (accepts[p] and (depth.size == 0 or abs(z[m] - depth[p]) < tolerance)):
            pixel[m] = -1


@njit
def _add_box(values, chosen, pixel, total, gram):
    _, upsample, channels = values.shape
    for i in range(len(chosen)):
        for s in range(upsample):
            p = pixel[chosen[i] * upsample + s]
            if p >= 0:
                gram[p, 0] += np.float32(1.0)
                for c in range(channels):
                    total[p, c] += values[i, s, c]


@njit
def _add_ramp(ramp, values, chosen, pixel, x, y, z, width, height, accepts, depth, tolerance, total, gram):
    """To the pixels that contain the sub-points, and to those of the three nearest to them that accept them too."""
    upsample = values.shape[1]
    for i in range(len(chosen)):
        for s in range(upsample):
            m = chosen[i] * upsample + s
            p = pixel[m]
            if p < 0:
                continue
            column, u, beside = _beside(x[m], ramp, width)
            row, w, above = _beside(y[m], ramp, height)
            q, r = p + column, p + row * np.int32(width)
            t = r + column
            rest, last = np.float32(1.0) - u, np.float32(1.0) - w
            a = rest * last
            b = u * last if beside and _accepted(q, z[m], accepts, depth, tolerance) else np.float32(0.0)
            c = rest * w if above and _accepted(r, z[m], accepts, depth, tolerance) else np.float32(0.0)
            d = u * w if beside and above and _accepted(t, z[m], accepts, depth, tolerance) else np.float32(0.0)
            falling, rising = (4, 2) if column == row else (2, 4)  # of the diagonals through p and through q
            _add(a, values, i, s, p, total, gram)
            if b > 0:
                _add(b, values, i, s, q, total, gram)
                gram[min(p, q), 1] += a * b
            if c > 0:
                _add(c, values, i, s, r, total, gram)
                gram[min(p, r), 3] += a * c
                gram[min(q, r), rising] += b * c
            if d > 0:
                _add(d, values, i, s, t, total, gram)
                gram[min(p, t), falling] += a * d
                gram[min(q, t), 3] += b * d
                gram[min(r, t), 1] += c * d


@njit
def _beside(x, ramp, size):
    """The nearer pixel beside the one that contains x, as -1 or 1, the weight there, and whether it gets any."""
    middle = np.floor(x)
    step = np.int32(-1) if x - middle < np.float32(0.5) else np.int32(1)
    edge = x - middle if step < 0 else middle + np.float32(1.0) - x
    weight = max(np.float32(0.5) - edge / ramp, np.float32(0.0))
    return step, weight, weight > 0 and 0 <= middle + step < size


@njit
def _accepted(pixel, z, accepts, depth, tolerance):
    return accepts[pixel] and (depth.size == 0 or abs(z - depth[pixel]) < tolerance)


@njit
def _add(weight, values, i, s, pixel, total, gram):
    gram[pixel, 0] += weight * weight
    for c in range(values.shape[2]):
        total[pixel, c] += weight * values[i, s, c]


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
    """Gram matrix of the pixels' unit rows as padded planes out[4, h + 2, w + 2].

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


@njit
def begin(total, gram, z, ridge, slack, planes, start, diagonal, out):
    """The padded start and diagonal of `chebyshev`, and out[C, h, w], the map where pixels do not overlap.

    R is max(ridge, a - slack), a the sum of a pixel's products with its neighbours. Returns the largest sum of a row of
    G + R, and the frame of the pixels that overlap: first and last row and column, from 1 on.
    """
    channels, height, width = out.shape
    bound, top, bottom, left, right = np.float32(0.0), height, 0, width, 0
    for y in range(1, height + 1):
        for x in range(1, width + 1):
            p = (y - 1) * width + x - 1
            around = planes[0, y, x] + planes[0, y, x - 1] + planes[1, y, x] + planes[1, y - 1, x + 1]
            around += planes[2, y, x] + planes[2, y - 1, x] + planes[3, y, x] + planes[3, y - 1, x - 1]
            shown = gram[p, 0] > 0
            own = max(ridge, around - slack) if shown else np.float32(1.0)
            scale, fresh = np.float32(1.0) / np.sqrt(gram[p, 0]) if shown else np.float32(0.0), np.sqrt(own)
            diagonal[y, x] = own + np.float32(1.0) if shown else own
            for c in range(channels):
                start[c, y, x] = scale * total[p, c] + fresh * z[p, c]
                out[c, y - 1, x - 1] = start[c, y, x] / np.sqrt(diagonal[y, x])
            bound = max(bound, diagonal[y, x] + around)
            if around > 0:
                top, bottom, left, right = min(top, y), max(bottom, y), min(left, x), max(right, x)
    return bound, top, bottom, left, right


@njit
def chebyshev(diagonal, planes, coefficients, scale, shift, start, out):
    """out = sum_k c_k T_k(A) start for every channel, A = scale (G + R) - shift I with spectrum in [-1, 1].

    start and out are padded [C, h + 2, w + 2]; diagonal, padded [h + 2, w + 2], is that of G + R.
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
