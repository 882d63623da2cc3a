"""Compiled kernels of the CPU rasteriser. Everything jitted lives in this file: numba's cache watches no other."""

import math

import numpy as np

from gsd.jit import njit
from gsd.rasterizer.simd import LANES, ceil, floor, load, maximum, minimum, minus_absolute, occupied, root, select, splat, store, total

BW = 4
BH = LANES // BW
TIGHT = True
F = np.float32
ALPHA_MIN = 1.0 / 255.0
ALPHA_MAX = F(0.999)
T_MIN = F(1e-4)
S_MAX = math.log(255.0)
SLACK = F(0.01)
X, Y, SHEAR, HA, HC, OPACITY, SMAX, RED, GREEN, BLUE, DEPTH, RX, RY, HALF, RATIO, TOP = range(16)
ROW = 16


@njit(inline="always")
def rotation(q):
    w, x, y, z = float(q[0]), float(q[1]), float(q[2]), float(q[3])
    inv = 1.0 / max(math.sqrt(w * w + x * x + y * y + z * z), 1e-12)
    w, x, y, z = w * inv, x * inv, y * inv, z * inv
    return (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )


@njit(inline="always")
def geometry(mean, R, s, V, K, width, height):
    """Camera-space mean, T = J W (2x3), A = T R diag(s) (2x3) and whether the direction was clamped."""
    mx, my, mz = float(mean[0]), float(mean[1]), float(mean[2])
    x = V[0, 0] * mx + V[0, 1] * my + V[0, 2] * mz + V[0, 3]
    y = V[1, 0] * mx + V[1, 1] * my + V[1, 2] * mz + V[1, 3]
    z = V[2, 0] * mx + V[2, 1] * my + V[2, 2] * mz + V[2, 3]
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    marginx, marginy = 0.15 * width / fx, 0.15 * height / fy
    iz = 1.0 / z
    tx = min(max(x * iz, -cx / fx - marginx), (width - cx) / fx + marginx)
    ty = min(max(y * iz, -cy / fy - marginy), (height - cy) / fy + marginy)
    jx, jy, jxz, jyz = fx * iz, fy * iz, -fx * tx * iz, -fy * ty * iz
    t00, t01, t02 = jx * V[0, 0] + jxz * V[2, 0], jx * V[0, 1] + jxz * V[2, 1], jx * V[0, 2] + jxz * V[2, 2]
    t10, t11, t12 = jy * V[1, 0] + jyz * V[2, 0], jy * V[1, 1] + jyz * V[2, 1], jy * V[1, 2] + jyz * V[2, 2]
    s0, s1, s2 = float(s[0]), float(s[1]), float(s[2])
    a00 = (t00 * R[0] + t01 * R[3] + t02 * R[6]) * s0
    a01 = (t00 * R[1] + t01 * R[4] + t02 * R[7]) * s1
    a02 = (t00 * R[2] + t01 * R[5] + t02 * R[8]) * s2
    a10 = (t10 * R[0] + t11 * R[3] + t12 * R[6]) * s0
    a11 = (t10 * R[1] + t11 * R[4] + t12 * R[7]) * s1
    a12 = (t10 * R[2] + t11 * R[5] + t12 * R[8]) * s2
    return x, y, z, tx, ty, t00, t01, t02, t10, t11, t12, a00, a01, a02, a10, a11, a12


@njit(inline="always")
def cov2d(A, eps):
    a00, a01, a02, a10, a11, a12 = A
    xx = a00 * a00 + a01 * a01 + a02 * a02
    xy = a00 * a10 + a01 * a11 + a02 * a12
    yy = a10 * a10 + a11 * a11 + a12 * a12
    c0, c1, c2 = a01 * a12 - a02 * a11, a02 * a10 - a00 * a12, a00 * a11 - a01 * a10
    det = eps * eps + eps * (xx + yy) + c0 * c0 + c1 * c1 + c2 * c2
    return xx + eps, xy, yy + eps, det


@njit
def project(means, quats, scales, opacities, colors, V, K, width, height, eps, near, far, rows, depths, radii, ids):
    """Fill rows, depths and radii; returns how many Gaussians can touch the image; their indices lead `ids`."""
    count = 0
    for n in range(means.shape[0]):
        depths[n] = 0.0
        radii[n, 0] = 0
        radii[n, 1] = 0
        o = float(opacities[n])
        total = o + quats[n, 0] + quats[n, 1] + quats[n, 2] + quats[n, 3]
        total += float(scales[n, 0]) + scales[n, 1] + scales[n, 2] + colors[n, 0] + colors[n, 1] + colors[n, 2]
        if not (o >= ALPHA_MIN) or not math.isfinite(total):
            continue
        z = V[2, 0] * means[n, 0] + V[2, 1] * means[n, 1] + V[2, 2] * means[n, 2] + V[2, 3]
        if not (z >= near and z <= far):
            continue
        R = rotation(quats[n])
        x, y, z, _, _, _, _, _, _, _, _, a00, a01, a02, a10, a11, a12 = geometry(
            means[n], R, scales[n], V, K, width, height
        )
        xx, xy, yy, det = cov2d((a00, a01, a02, a10, a11, a12), eps)
        u = K[0, 0] * x / z + K[0, 2]
        v = K[1, 1] * y / z + K[1, 2]
        smax = min(math.log(o * 255.0), S_MAX)
        rx = math.sqrt(2 * smax * xx)
        ry = math.sqrt(2 * smax * yy)
        if not (u + math.ceil(rx) > 0 and u - math.ceil(rx) < width and v + math.ceil(ry) > 0 and v - math.ceil(ry) < height):
            continue
        if not (det > 0 and math.isfinite(det)):
            continue
        depths[n] = z
        radii[n, 0] = int(min(math.ceil(rx), 1e9))
        radii[n, 1] = int(min(math.ceil(ry), 1e9))
        row = rows[n]
        row[X] = u
        row[Y] = v
        row[SHEAR] = xy / yy
        row[HA] = 0.5 * yy / det
        row[HC] = 0.5 / yy
        row[OPACITY] = o
        row[SMAX] = smax
        row[RED] = colors[n, 0]
        row[GREEN] = colors[n, 1]
        row[BLUE] = colors[n, 2]
        row[DEPTH] = z
        row[RX] = rx
        row[RY] = ry
        row[HALF] = math.sqrt(2 * smax * det / yy)
        row[RATIO] = det / (yy * yy)
        row[TOP] = xy / yy * ry * ry / rx
        ids[count] = n
        count += 1
    return count


@njit
def sort_by_depth(depths, ids, count):
    """Stable radix sort of the first `count` indices by depth; positive floats order like their bits."""
    bits = depths.view(np.uint32)
    other = np.empty(count, np.int32)
    hist = np.zeros((3, 2048), np.int64)
    for i in range(count):
        key = bits[ids[i]]
        hist[0, key & 2047] += 1
        hist[1, (key >> 11) & 2047] += 1
        hist[2, key >> 22] += 1
    source, target = ids[:count], other
    for p in range(3):
        shift = 11 * p
        if hist[p].max() == count:  # all alike in these bits
            continue
        start = 0
        for b in range(2048):
            c = hist[p, b]
            hist[p, b] = start
            start += c
        for i in range(count):
            n = source[i]
            b = (bits[n] >> shift) & 2047
            target[hist[p, b]] = n
            hist[p, b] += 1
        source, target = target, source
    for i in range(count):
        ids[i] = source[i]


@njit(inline="always")
def exp_neg(s):
    """exp(-s) for 0 <= s <= ln 255, relative error 6e-7: a minimax polynomial for exp(-s/8), to the 8th power."""
    p = s * F(-1.7906975e-07) + F(9.718420e-06)
    p = p * s + F(-3.2420562e-04)
    p = p * s + F(7.8107349e-03)
    p = p * s + F(-1.2499911e-01)
    p = p * s + F(0.99999993)
    p = p * p
    p = p * p
    return p * p


@njit(inline="always")
def pixel_offsets():
    """Column and row of each lane within a block."""
    offsets = np.empty(LANES, np.float32)
    for i in range(LANES):
        offsets[i] = i % BW
    lx = load(offsets, 0)
    for i in range(LANES):
        offsets[i] = i // BW
    ly = load(offsets, 0)
    for i in range(LANES):
        offsets[i] = i
    return lx, ly, load(offsets, 0)


@njit(inline="always")
def block_rows(row, nby):
    """First and one past the last row of blocks that the cutoff ellipse may touch."""
    y, ry = row[Y], row[RY] + SLACK
    first = math.ceil((max(y - ry, F(0.0)) - F(BH - 0.5)) * F(1.0 / BH))
    last = math.floor((min(y + ry, F(nby * BH)) - F(0.5)) * F(1.0 / BH))
    return max(int(first), 0), min(int(last), nby - 1) + 1


@njit(inline="always")
def cover(row, nbx, nby, lanes, spans, place, column, line):
    """List the blocks the cutoff ellipse touches: their numbers and the position of their first pixel from the mean.

    Eight rows of blocks at a time; each row appends a whole vector and then counts only what it needs, so that the
    usual Gaussian runs through without a branch that could be mispredicted.
    """
    y0, y1 = block_rows(row, nby)
    x, y, shear, top, ratio = row[X], row[Y], splat(row[SHEAR]), splat(row[TOP]), splat(row[RATIO])
    square, zero = splat(row[HALF] * row[HALF]), splat(F(0.0))
    across = lanes * F(BW)
    n = 0
    for first in range(y0, y1, LANES):
        low = lanes * F(BH) + (F(first * BH) + F(0.5) - y)
        high = low + F(BH - 1)
        v = minimum(maximum(top, low), high)
        right = shear * v + root(maximum(square - ratio * v * v, zero))
        v = minimum(maximum(zero - top, low), high)
        left = shear * v - root(maximum(square - ratio * v * v, zero))
        store(spans, 0, maximum(ceil((left + (x - SLACK - F(BW - 0.5))) * F(1.0 / BW)), zero))
        store(spans, LANES, minimum(floor((right + (x + SLACK - F(0.5))) * F(1.0 / BW)), splat(F(nbx - 1))))
        for j in range(min(LANES, y1 - first)):
            by = first + j
            b, e = spans[j], spans[LANES + j] + F(1.0)
            while b < e:
                store(place, n, lanes + (F(by * nbx) + b))
                store(column, n, across + (b * F(BW) + F(0.5) - x))
                store(line, n, splat(F(by * BH) + F(0.5) - y))
                n += int(min(e - b, F(LANES)))
                b += F(LANES)
    return n


@njit
def composite(rows, ids, count, state, live, nbx, nby):
    """Front to back over the sorted Gaussians. A block of `state` holds r g b depth alpha T; finished pixels keep -T."""
    lx, ly, lanes = pixel_offsets()
    spans = np.empty(2 * LANES, np.float32)
    place = np.empty(nbx * nby + LANES, np.float32)
    column = np.empty(nbx * nby + LANES, np.float32)
    line = np.empty(nbx * nby + LANES, np.float32)
    for i in range(count):
        row = rows[ids[i]]
        shear, ha, hc, o, smax = splat(row[SHEAR]), splat(row[HA]), splat(row[HC]), splat(row[OPACITY]), splat(row[SMAX])
        r, g, b, z = splat(row[RED]), splat(row[GREEN]), splat(row[BLUE]), splat(row[DEPTH])
        for j in range(cover(row, nbx, nby, lanes, spans, place, column, line)):
            block = int(place[j])
            if live[block] == 0:
                continue
            at = block * (6 * LANES)
            v = ly + line[j]
            u = lx + column[j] - shear * v
            s = ha * u * u + hc * v * v
            alpha = minimum(o * exp_neg(s), splat(ALPHA_MAX))
            alpha = select(s <= smax, alpha, splat(F(0.0)))
            T = load(state, at + 5 * LANES)
            after = T - T * alpha
            going = after > splat(T_MIN)
            w = select(going, alpha * T, splat(F(0.0)))
            T = select(going, after, minus_absolute(T))
            store(state, at, load(state, at) + w * r)
            store(state, at + LANES, load(state, at + LANES) + w * g)
            store(state, at + 2 * LANES, load(state, at + 2 * LANES) + w * b)
            store(state, at + 3 * LANES, load(state, at + 3 * LANES) + w * z)
            store(state, at + 4 * LANES, load(state, at + 4 * LANES) + w)
            store(state, at + 5 * LANES, T)
            if not occupied(T > splat(F(0.0))):
                live[block] = 0


@njit
def start(state, stride, channel, live, nbx, nby, width, height):
    """Empty blocks: everything 0, the transmittance 1, and -1 (finished) beyond the edge of the image."""
    state[:] = F(0.0)
    live[:] = 1
    for by in range(nby):
        for bx in range(nbx):
            at = (by * nbx + bx) * stride + channel * LANES
            for l in range(LANES):
                inside = bx * BW + l % BW < width and by * BH + l // BW < height
                state[at + l] = F(1.0) if inside else F(-1.0)


@njit
def finish(state, nbx, background, render, alpha):
    """Blocks to images: colours over the background, expected depth, alpha."""
    H, W = alpha.shape[0], alpha.shape[1]
    b0, b1, b2 = background[0], background[1], background[2]
    for i in range(H):
        for j in range(W):
            at = ((i // BH) * nbx + j // BW) * (6 * LANES) + (i % BH) * BW + j % BW
            T = abs(state[at + 5 * LANES])
            a = state[at + 4 * LANES]
            render[i, j, 0] = state[at] + T * b0
            render[i, j, 1] = state[at + LANES] + T * b1
            render[i, j, 2] = state[at + 2 * LANES] + T * b2
            render[i, j, 3] = state[at + 3 * LANES] / max(a, F(1e-10))
            alpha[i, j, 0] = a


@njit
def prepare_backward(render, alpha, background, g_render, g_alpha, nbx, state):
    """Blocks of T, R and the gradients of r g b depth alpha before the background and the division."""
    H, W = alpha.shape[0], alpha.shape[1]
    b0, b1, b2 = background[0], background[1], background[2]
    for i in range(H):
        for j in range(W):
            at = ((i // BH) * nbx + j // BW) * (7 * LANES) + (i % BH) * BW + j % BW
            a = alpha[i, j, 0]
            T = F(1.0) - a
            gr, gg, gb, gd = g_render[i, j, 0], g_render[i, j, 1], g_render[i, j, 2], g_render[i, j, 3]
            safe = max(a, F(1e-10))
            d = render[i, j, 3]
            ga = g_alpha[i, j, 0] - gr * b0 - gg * b1 - gb * b2
            gz = gd / safe
            if a > F(1e-10):
                ga -= gz * d
            c = gr * (render[i, j, 0] - T * b0) + gg * (render[i, j, 1] - T * b1) + gb * (render[i, j, 2] - T * b2)
            state[at + LANES] = c + gz * (d * safe) + ga * a
            state[at + 2 * LANES] = gr
            state[at + 3 * LANES] = gg
            state[at + 4 * LANES] = gb
            state[at + 5 * LANES] = gz
            state[at + 6 * LANES] = ga


@njit
def composite_backward(rows, ids, count, state, live, nbx, nby, grads, absolute_too):
    """Front to back again. Rows of `grads` get x y shear ha hc opacity r g b depth |x| |y|."""
    lx, ly, lanes = pixel_offsets()
    zero = splat(F(0.0))
    spans = np.empty(2 * LANES, np.float32)
    place = np.empty(nbx * nby + LANES, np.float32)
    column = np.empty(nbx * nby + LANES, np.float32)
    line = np.empty(nbx * nby + LANES, np.float32)
    for i in range(count):
        n = ids[i]
        row = rows[n]
        shear, ha, hc, o, smax = splat(row[SHEAR]), splat(row[HA]), splat(row[HC]), splat(row[OPACITY]), splat(row[SMAX])
        r, g, b, z = splat(row[RED]), splat(row[GREEN]), splat(row[BLUE]), splat(row[DEPTH])
        m, mu, mv, muu, muv, mvv = zero, zero, zero, zero, zero, zero
        wr, wg, wb, wz = zero, zero, zero, zero
        for j in range(cover(row, nbx, nby, lanes, spans, place, column, line)):
            block = int(place[j])
            if live[block] == 0:
                continue
            at = block * (7 * LANES)
            v = ly + line[j]
            u = lx + column[j] - shear * v
            s = ha * u * u + hc * v * v
            raw = o * exp_neg(s)
            alpha = minimum(raw, splat(ALPHA_MAX))
            alpha = select(s <= smax, alpha, zero)
            T = load(state, at)
            after = T - T * alpha
            going = after > splat(T_MIN)
            w = select(going, alpha * T, zero)
            gr, gg, gb, gz = load(state, at + 2 * LANES), load(state, at + 3 * LANES), load(state, at + 4 * LANES), load(state, at + 5 * LANES)
            dot = load(state, at + 6 * LANES) + r * gr + g * gg + b * gb + z * gz
            R = load(state, at + LANES) - w * dot
            ds = alpha * (R / (splat(F(1.0)) - alpha)) - (alpha * T) * dot
            ds = select(going & (raw <= splat(ALPHA_MAX)), ds, zero)
            T = select(going, after, minus_absolute(T))
            store(state, at, T)
            store(state, at + LANES, R)
            du, dv = ds * u, ds * v
            m = m + ds
            mu = mu + du
            mv = mv + dv
            muu = muu + du * u
            muv = muv + du * v
            mvv = mvv + dv * v
            wr = wr + w * gr
            wg = wg + w * gg
            wb = wb + w * gb
            wz = wz + w * gz
            if not occupied(T > zero):
                live[block] = 0
        out = grads[n]
        su, sv = total(mu), total(mv)
        out[0] = F(-2.0) * row[HA] * su
        out[1] = F(2.0) * (row[HA] * row[SHEAR] * su - row[HC] * sv)
        out[2] = F(-2.0) * row[HA] * total(muv)
        out[3] = total(muu)
        out[4] = total(mvv)
        out[5] = -total(m) / row[OPACITY]
        out[6] = total(wr)
        out[7] = total(wg)
        out[8] = total(wb)
        out[9] = total(wz)


@njit
def project_backward(
    means, quats, scales, viewmats, Ks, width, height, eps, radii, rows, grads,
    g_means, g_quats, g_scales, g_opacities, g_colors, g_means2d, g_absgrad, start, stop
):  # fmt: skip
    """Chain the image-plane gradients of every view down to the parameters of Gaussians start..stop."""
    C = viewmats.shape[0]
    per_view = g_colors.shape[0] > 1
    absolute = g_absgrad.shape[0] > 0
    for n in range(start, stop):
        R = rotation(quats[n])
        s0, s1, s2 = float(scales[n, 0]), float(scales[n, 1]), float(scales[n, 2])
        dx = dy = dz = go = 0.0
        m00 = m01 = m02 = m10 = m11 = m12 = m20 = m21 = m22 = 0.0
        for c in range(C):
            cc = c if per_view else 0
            if radii[c, n, 0] == 0:
                continue
            G = grads[c, n]
            V, K = viewmats[c], Ks[c]
            x, y, z, tx, ty, t00, t01, t02, t10, t11, t12, a00, a01, a02, a10, a11, a12 = geometry(
                means[n], R, scales[n], V, K, width, height
            )
            xx, xy, yy, det = cov2d((a00, a01, a02, a10, a11, a12), eps)
            gx, gy = float(G[0]), float(G[1])
            g_means2d[c, n, 0] = G[0]
            g_means2d[c, n, 1] = G[1]
            if absolute:
                g_absgrad[c, n, 0] = G[10]
                g_absgrad[c, n, 1] = G[11]
            go += float(G[5])
            for d in range(3):
                g_colors[cc, n, d] += G[6 + d]
            k = xy / yy
            ha, hc = 0.5 * yy / det, 0.5 / yy
            gk, gha, ghc = float(G[2]), float(G[3]), float(G[4])
            gD = -2.0 * ha * ha * gha
            gxx = gD
            gxy = -2.0 * k * gD + gk / yy
            gyy = k * k * gD - gk * k / yy - 2.0 * hc * hc * ghc
            # cov = A A^T + eps
            b00, b01, b02 = 2 * gxx * a00 + gxy * a10, 2 * gxx * a01 + gxy * a11, 2 * gxx * a02 + gxy * a12
            b10, b11, b12 = 2 * gyy * a10 + gxy * a00, 2 * gyy * a11 + gxy * a01, 2 * gyy * a12 + gxy * a02
            # A = T M, M = R diag(s)
            m00 += t00 * b00 + t10 * b10
            m01 += t00 * b01 + t10 * b11
            m02 += t00 * b02 + t10 * b12
            m10 += t01 * b00 + t11 * b10
            m11 += t01 * b01 + t11 * b11
            m12 += t01 * b02 + t11 * b12
            m20 += t02 * b00 + t12 * b10
            m21 += t02 * b01 + t12 * b11
            m22 += t02 * b02 + t12 * b12
            b00, b01, b02, b10, b11, b12 = b00 * s0, b01 * s1, b02 * s2, b10 * s0, b11 * s1, b12 * s2
            h00 = b00 * R[0] + b01 * R[1] + b02 * R[2]
            h01 = b00 * R[3] + b01 * R[4] + b02 * R[5]
            h02 = b00 * R[6] + b01 * R[7] + b02 * R[8]
            h10 = b10 * R[0] + b11 * R[1] + b12 * R[2]
            h11 = b10 * R[3] + b11 * R[4] + b12 * R[5]
            h12 = b10 * R[6] + b11 * R[7] + b12 * R[8]
            # T = J W
            j00 = h00 * V[0, 0] + h01 * V[0, 1] + h02 * V[0, 2]
            j02 = h00 * V[2, 0] + h01 * V[2, 1] + h02 * V[2, 2]
            j11 = h10 * V[1, 0] + h11 * V[1, 1] + h12 * V[1, 2]
            j12 = h10 * V[2, 0] + h11 * V[2, 1] + h12 * V[2, 2]
            fx, fy = K[0, 0], K[1, 1]
            iz = 1.0 / z
            # u = fx x/z + cx; J = fx/z, -fx tx/z with tx = clamp(x/z)
            gtx, gty = -fx * iz * j02, -fy * iz * j12
            gz = G[9] - (fx * j00 + fy * j11 - fx * tx * j02 - fy * ty * j12) * iz * iz
            px = fx * gx + (gtx if tx == x * iz else 0.0)
            py = fy * gy + (gty if ty == y * iz else 0.0)
            cx_, cy_ = px * iz, py * iz
            gz -= (px * x + py * y) * iz * iz
            dx += V[0, 0] * cx_ + V[1, 0] * cy_ + V[2, 0] * gz
            dy += V[0, 1] * cx_ + V[1, 1] * cy_ + V[2, 1] * gz
            dz += V[0, 2] * cx_ + V[1, 2] * cy_ + V[2, 2] * gz
        g_means[n, 0], g_means[n, 1], g_means[n, 2] = dx, dy, dz
        g_opacities[n] = go
        g_scales[n, 0] = m00 * R[0] + m10 * R[3] + m20 * R[6]
        g_scales[n, 1] = m01 * R[1] + m11 * R[4] + m21 * R[7]
        g_scales[n, 2] = m02 * R[2] + m12 * R[5] + m22 * R[8]
        r00, r01, r02 = m00 * s0, m01 * s1, m02 * s2
        r10, r11, r12 = m10 * s0, m11 * s1, m12 * s2
        r20, r21, r22 = m20 * s0, m21 * s1, m22 * s2
        w, qx, qy, qz = float(quats[n, 0]), float(quats[n, 1]), float(quats[n, 2]), float(quats[n, 3])
        norm = math.sqrt(w * w + qx * qx + qy * qy + qz * qz)
        inv = 1.0 / max(norm, 1e-12)
        w, qx, qy, qz = w * inv, qx * inv, qy * inv, qz * inv
        gw = 2 * (qx * (r21 - r12) + qy * (r02 - r20) + qz * (r10 - r01))
        gqx = 2 * (w * (r21 - r12) + qy * (r01 + r10) + qz * (r02 + r20) - 2 * qx * (r11 + r22))
        gqy = 2 * (w * (r02 - r20) + qx * (r01 + r10) + qz * (r12 + r21) - 2 * qy * (r00 + r22))
        gqz = 2 * (w * (r10 - r01) + qx * (r02 + r20) + qy * (r12 + r21) - 2 * qz * (r00 + r11))
        along = (gw * w + gqx * qx + gqy * qy + gqz * qz) if norm > 1e-12 else 0.0
        g_quats[n, 0] = (gw - along * w) * inv
        g_quats[n, 1] = (gqx - along * qx) * inv
        g_quats[n, 2] = (gqy - along * qy) * inv
        g_quats[n, 3] = (gqz - along * qz) * inv


@njit
def forward_view(
    c, means, quats, scales, opacities, colors, viewmats, Ks, width, height, eps, near, far, grounds,
    rows, depths, radii, ids, counts, render, alpha,
):  # fmt: skip
    """Everything of view c, from parameters to image."""
    features = colors[c if colors.shape[0] > 1 else 0]
    count = project(
        means, quats, scales, opacities, features, viewmats[c], Ks[c], width, height, eps, near, far,
        rows[c], depths[c], radii[c], ids[c],
    )  # fmt: skip
    counts[c] = count
    sort_by_depth(depths[c], ids[c], count)
    nbx, nby = (width + BW - 1) // BW, (height + BH - 1) // BH
    state = np.empty(nbx * nby * 6 * LANES, np.float32)
    live = np.empty(nbx * nby, np.uint8)
    start(state, 6 * LANES, 5, live, nbx, nby, width, height)
    composite(rows[c], ids[c], count, state, live, nbx, nby)
    finish(state, nbx, grounds[c], render[c], alpha[c])


@njit
def backward_view(c, rows, ids, counts, render, alpha, grounds, g_render, g_alpha, grads, absolute):
    """From the gradient of view c's image to those of its projected Gaussians."""
    height, width = alpha.shape[1], alpha.shape[2]
    nbx, nby = (width + BW - 1) // BW, (height + BH - 1) // BH
    state = np.empty(nbx * nby * 7 * LANES, np.float32)
    live = np.empty(nbx * nby, np.uint8)
    start(state, 7 * LANES, 0, live, nbx, nby, width, height)
    prepare_backward(render[c], alpha[c], grounds[c], g_render[c], g_alpha[c], nbx, state)
    composite_backward(rows[c], ids[c], counts[c], state, live, nbx, nby, grads[c], absolute)
