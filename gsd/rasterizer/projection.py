"""Kernels between the parameters of Gaussians and their image-plane ellipses, forward and backward, in float64."""

import numpy as np

from gsd.backend.jit import njit
from gsd.rasterizer.layout import (
    ALPHA_MIN,
    GRADIENT,
    ROW,
    RX,
    RY,
    S_MAX,
    SLACK,
    TILE,
    F,
    X,
    Y,
)  # fmt: skip
from gsd.rasterizer.simd import (
    gather,
    gather_rows,
    lane_bits,
    maximum,
    minimum,
    root,
    scatter_rows,
    select,
    splat4,
    total4,
    upward,
)  # fmt: skip


@njit
def rotation(w, x, y, z):
    """The rotation matrix of a quaternion of any length, row by row; the identity for a zero quaternion."""
    t = 2.0 / maximum(w * w + x * x + y * y + z * z, splat4(1e-24))
    return (
        1.0 - t * (y * y + z * z), t * (x * y - w * z), t * (x * z + w * y),
        t * (x * y + w * z), 1.0 - t * (x * x + z * z), t * (y * z - w * x),
        t * (x * z - w * y), t * (y * z + w * x), 1.0 - t * (x * x + y * y),
    )  # fmt: skip


@njit
def camera_space(mean, V):
    mx, my, mz = mean
    return (
        V[0, 0] * mx + V[0, 1] * my + V[0, 2] * mz + V[0, 3],
        V[1, 0] * mx + V[1, 1] * my + V[1, 2] * mz + V[1, 3],
        V[2, 0] * mx + V[2, 1] * my + V[2, 2] * mz + V[2, 3],
    )


@njit
def linearise(x, y, iz, V, K, width, height):
    """Rows of J (those that are not 0) and of T = J W: the projection linearised at a point, with W the rotation.

    Far outside the image the linearisation is not trusted: the ray (tx, ty) it is taken at is clamped, as in gsplat.
    """
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    tx = minimum(maximum(x * iz, splat4(-(cx + 0.15 * width) / fx)), splat4((1.15 * width - cx) / fx))
    ty = minimum(maximum(y * iz, splat4(-(cy + 0.15 * height) / fy)), splat4((1.15 * height - cy) / fy))
    jx, jy = fx * iz, fy * iz
    jxz, jyz = 0.0 - jx * tx, 0.0 - jy * ty
    t0 = (jx * V[0, 0] + jxz * V[2, 0], jx * V[0, 1] + jxz * V[2, 1], jx * V[0, 2] + jxz * V[2, 2])
    t1 = (jy * V[1, 0] + jyz * V[2, 0], jy * V[1, 1] + jyz * V[2, 1], jy * V[1, 2] + jyz * V[2, 2])
    return tx, ty, jxz, jyz, t0, t1


@njit
def times_axes(t, R, s):
    """t R diag(s) for a row vector t."""
    return (
        (t[0] * R[0] + t[1] * R[3] + t[2] * R[6]) * s[0],
        (t[0] * R[1] + t[1] * R[4] + t[2] * R[7]) * s[1],
        (t[0] * R[2] + t[1] * R[5] + t[2] * R[8]) * s[2],
    )


@njit
def covariance(a, b, eps):
    """xx, xy, yy and determinant of A A' + eps I for A with rows a and b; the determinant without cancellation."""
    xx = a[0] * a[0] + a[1] * a[1] + a[2] * a[2]
    xy = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    yy = b[0] * b[0] + b[1] * b[1] + b[2] * b[2]
    c0, c1, c2 = a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]
    return xx + eps, xy, yy + eps, eps * eps + eps * (xx + yy) + c0 * c0 + c1 * c1 + c2 * c2


@njit
def gather3(flat, i, j, k, m):
    i, j, k, m = 3 * i, 3 * j, 3 * k, 3 * m
    return gather(flat, i, j, k, m), gather(flat, i + 1, j + 1, k + 1, m + 1), gather(flat, i + 2, j + 2, k + 2, m + 2)


@njit
def four_from(n, last):
    """Four indices from n on; beyond the last Gaussian the last is repeated, and written twice with the same values."""
    return n, min(n + 1, last), min(n + 2, last), min(n + 3, last)


@njit
def project(
    means, quats, scales, opacities, cutoffs, colors, V, K, width, height, eps, near, far,
    rows, depths, radii, tiles, ids,
):  # fmt: skip
    """Fill rows, depths, radii and the ranges of tiles of the Gaussians that can touch the image.

    Returns how many they are; their indices lead `ids`. Four Gaussians at a time, in float64.
    """
    N, count = means.shape[0], 0
    fx, fy, cx, cy = K[0, 0], K[1, 1], K[0, 2], K[1, 2]
    flat_means, flat_quats, flat_scales, flat_colors = (
        means.reshape(-1), quats.reshape(-1), scales.reshape(-1), colors.reshape(-1)
    )  # fmt: skip
    flat_rows, parts = rows.reshape(-1), np.empty(16, np.float32)
    zero, huge = splat4(0.0), splat4(1e30)
    for start in range(0, N, 4):
        i, j, k, m = four_from(start, N - 1)
        mean, s = gather3(flat_means, i, j, k, m), gather3(flat_scales, i, j, k, m)
        o = gather(opacities, i, j, k, m)
        qw, qx, qy, qz = gather_rows(flat_quats, 4 * i, 4 * j, 4 * k, 4 * m)
        r, g, b = gather3(flat_colors, i, j, k, m)
        x, y, z = camera_space(mean, V)
        iz = 1.0 / z
        _, _, _, _, t0, t1 = linearise(x, y, iz, V, K, width, height)
        R = rotation(qw, qx, qy, qz)
        xx, xy, yy, det = covariance(times_axes(t0, R, s), times_axes(t1, R, s), eps)
        u, v = fx * x * iz + cx, fy * y * iz + cy
        s2 = 2.0 * minimum(gather(cutoffs, i, j, k, m), splat4(S_MAX))
        rx, ry = root(s2 * xx), root(s2 * yy)
        px, py = upward(rx), upward(ry)
        both = 1.0 / (yy * det)
        iyy, idet = both * det, both * yy
        scatter_rows(flat_rows, ROW * i, ROW * j, ROW * k, ROW * m, u, v, xy * iyy, 0.5 * yy * idet)
        scatter_rows(flat_rows, ROW * i + 4, ROW * j + 4, ROW * k + 4, ROW * m + 4, 0.5 * iyy, o, 0.5 * s2, r)
        scatter_rows(flat_rows, ROW * i + 8, ROW * j + 8, ROW * k + 8, ROW * m + 8, g, b, z, rx)
        scatter_rows(
            flat_rows, ROW * i + 12, ROW * j + 12, ROW * k + 12, ROW * m + 12,
            ry, s2 * det * iyy, det * iyy * iyy, s2 * xy / maximum(rx, splat4(1e-30)),
        )  # fmt: skip
        scatter_rows(parts, 0, 4, 8, 12, minimum(px, splat4(1e9)), minimum(py, splat4(1e9)), z, zero)
        finite = o + qw + qx + qy + qz + s[0] + s[1] + s[2] + r + g + b
        inside = (u + px > zero) & (u - px < splat4(float(width))) & (v + py > zero) & (v - py < splat4(float(height)))
        sound = (finite < huge) & (finite > zero - huge) & (xx < huge) & (yy < huge)
        seen = lane_bits(inside & sound & (o >= splat4(ALPHA_MIN)) & (z >= splat4(near)) & (z <= splat4(far)))
        for lane in range(min(4, N - start)):
            n = start + lane
            if seen >> lane & 1:
                radii[n, 0], radii[n, 1] = int(parts[4 * lane]), int(parts[4 * lane + 1])
                depths[n] = parts[4 * lane + 2]
                ids[count] = n
                count += 1
                row = rows[n]
                tiles[n, 0], tiles[n, 1] = tile_range(row[X], row[RX], width)
                tiles[n, 2], tiles[n, 3] = tile_range(row[Y], row[RY], height)
            else:
                radii[n, 0] = radii[n, 1] = 0
                depths[n] = F(0.0)
    return count


@njit
def tile_range(centre, radius, size):
    """First and one past the last tile that has a pixel within the radius."""
    first = int(max(centre - radius - SLACK, F(0.0)) * F(1.0 / TILE))
    last = int(min(max(centre + radius + SLACK, F(0.0)), F(size - 1)) * F(1.0 / TILE))
    return first, last + 1


@njit
def project_backward(  # noqa: PLR0915
    means, quats, scales, viewmats, Ks, width, height, eps, depths, grads,
    g_means, g_quats, g_scales, g_opacities, g_colors, g_means2d, g_viewmats, first, stop,
):  # fmt: skip
    """Chain the image-plane gradients of all views down to the parameters of Gaussians first..stop - 1.

    g_colors is summed over the views, g_means2d [C, N, 2] is not; g_viewmats [C, 16] is added to unless it is None.
    """
    flat_means, flat_quats, flat_scales = means.reshape(-1), quats.reshape(-1), scales.reshape(-1)
    out_quats = g_quats.reshape(-1)
    parts, zero = np.empty((3, 16), np.float32), splat4(0.0)
    numbers = np.arange(4).astype(np.float32)
    p0, p1, p2 = parts[0], parts[1], parts[2]
    for start in range(first, stop, 4):
        i, j, k, m = four_from(start, stop - 1)
        mean, s = gather3(flat_means, i, j, k, m), gather3(flat_scales, i, j, k, m)
        qw, qx, qy, qz = gather_rows(flat_quats, 4 * i, 4 * j, 4 * k, 4 * m)
        R = rotation(qw, qx, qy, qz)
        dx, dy, dz, go, cr, cg, cb, drawn = zero, zero, zero, zero, zero, zero, zero, zero
        m0, m1, m2 = (zero, zero, zero), (zero, zero, zero), (zero, zero, zero)
        for c in range(viewmats.shape[0]):
            for n in range(start, min(start + 4, stop)):
                g_means2d[c, n, 0], g_means2d[c, n, 1] = grads[c, n, 0], grads[c, n, 1]
            depth = gather(depths[c], i, j, k, m)
            seen, drawn = depth > zero, maximum(drawn, depth)
            if lane_bits(seen) == 0:
                continue
            V, K, G = viewmats[c], Ks[c], grads[c].reshape(-1)
            gu, gv, gk, gha = gather_rows(G, GRADIENT * i, GRADIENT * j, GRADIENT * k, GRADIENT * m)
            ghc, gop, gr, gg = gather_rows(G, GRADIENT * i + 4, GRADIENT * j + 4, GRADIENT * k + 4, GRADIENT * m + 4)
            gb, gz, _, _ = gather_rows(G, GRADIENT * i + 8, GRADIENT * j + 8, GRADIENT * k + 8, GRADIENT * m + 8)
            go, cr, cg, cb = go + gop, cr + gr, cg + gg, cb + gb
            x, y, z = camera_space(mean, V)
            iz = 1.0 / z
            tx, ty, jxz, jyz, t0, t1 = linearise(x, y, iz, V, K, width, height)
            a, b = times_axes(t0, R, s), times_axes(t1, R, s)
            _, xy, yy, det = covariance(a, b, eps)
            both = 1.0 / (yy * det)
            iyy = both * det
            shear, ha = xy * iyy, 0.5 * yy * yy * both
            # shear = xy/yy, ha = 1/(2 (xx - xy^2/yy)), hc = 1/(2 yy)
            gxx = -2.0 * ha * ha * gha
            gxy = gk * iyy - 2.0 * shear * gxx
            gyy = shear * shear * gxx - (gk * shear + 0.5 * ghc * iyy) * iyy
            # [xx xy; xy yy] = A A' + eps, A = T M, M = R diag(s)
            da = (2.0 * gxx * a[0] + gxy * b[0], 2.0 * gxx * a[1] + gxy * b[1], 2.0 * gxx * a[2] + gxy * b[2])
            db = (2.0 * gyy * b[0] + gxy * a[0], 2.0 * gyy * b[1] + gxy * a[1], 2.0 * gyy * b[2] + gxy * a[2])
            m0 = add_outer(m0, seen, t0[0], da, t1[0], db)
            m1 = add_outer(m1, seen, t0[1], da, t1[1], db)
            m2 = add_outer(m2, seen, t0[2], da, t1[2], db)
            d0, d1 = axes_times(R, s, da), axes_times(R, s, db)
            # T = J W, J = (fx/z, 0, -fx tx/z; 0, fy/z, -fy ty/z) with tx = x/z unless clamped
            j00, j02 = (
                d0[0] * V[0, 0] + d0[1] * V[0, 1] + d0[2] * V[0, 2],
                d0[0] * V[2, 0] + d0[1] * V[2, 1] + d0[2] * V[2, 2],
            )
            j11, j12 = (
                d1[0] * V[1, 0] + d1[1] * V[1, 1] + d1[2] * V[1, 2],
                d1[0] * V[2, 0] + d1[1] * V[2, 1] + d1[2] * V[2, 2],
            )
            fx, fy = K[0, 0], K[1, 1]
            free_x, free_y = (tx <= x * iz) & (tx >= x * iz), (ty <= y * iz) & (ty >= y * iz)
            hx = (fx * gu - select(free_x, fx * iz * j02, zero)) * iz
            hy = (fy * gv - select(free_y, fy * iz * j12, zero)) * iz
            hz = gz - (fx * j00 + fy * j11 - fx * tx * j02 - fy * ty * j12) * iz * iz - (hx * x + hy * y) * iz
            hx, hy, hz = select(seen, hx, zero), select(seen, hy, zero), select(seen, hz, zero)
            if g_viewmats is not None:
                once = seen & (gather(numbers, 0, 1, 2, 3) < splat4(float(stop - start)))  # the last is repeated
                jx, jy = fx * iz, fy * iz
                back = (
                    add_row(hx, mean, jx, d0, zero, d1),
                    add_row(hy, mean, zero, d0, jy, d1),
                    add_row(hz, mean, jxz, d0, jyz, d1),
                )
                for e in range(3):
                    for d in range(3):
                        g_viewmats[c, 4 * e + d] += total4(select(once, back[e][d], zero))
                g_viewmats[c, 3] += total4(select(once, hx, zero))
                g_viewmats[c, 7] += total4(select(once, hy, zero))
                g_viewmats[c, 11] += total4(select(once, hz, zero))
            dx = dx + V[0, 0] * hx + V[1, 0] * hy + V[2, 0] * hz
            dy = dy + V[0, 1] * hx + V[1, 1] * hy + V[2, 1] * hz
            dz = dz + V[0, 2] * hx + V[1, 2] * hy + V[2, 2] * hz
        g_s0 = m0[0] * R[0] + m1[0] * R[3] + m2[0] * R[6]
        g_s1 = m0[1] * R[1] + m1[1] * R[4] + m2[1] * R[7]
        g_s2 = m0[2] * R[2] + m1[2] * R[5] + m2[2] * R[8]
        gw, gx, gy, gz = rotation_backward(qw, qx, qy, qz, m0, m1, m2, s)
        used = drawn > zero  # the parameters of the others may be anything
        gw, gx, gy, gz = select(used, gw, zero), select(used, gx, zero), select(used, gy, zero), select(used, gz, zero)
        g_s0, g_s1, g_s2 = select(used, g_s0, zero), select(used, g_s1, zero), select(used, g_s2, zero)
        scatter_rows(out_quats, 4 * i, 4 * j, 4 * k, 4 * m, gw, gx, gy, gz)
        scatter_rows(p0, 0, 4, 8, 12, dx, dy, dz, go)
        scatter_rows(p1, 0, 4, 8, 12, g_s0, g_s1, g_s2, zero)
        scatter_rows(p2, 0, 4, 8, 12, cr, cg, cb, zero)
        for lane in range(min(4, stop - start)):
            n = start + lane
            g_opacities[n] = p0[4 * lane + 3]
            for d in range(3):
                g_means[n, d], g_scales[n, d], g_colors[n, d] = p0[4 * lane + d], p1[4 * lane + d], p2[4 * lane + d]


@njit
def add_outer(m, seen, t, da, u, db):
    """m + t da + u db for the Gaussians that are seen."""
    zero = splat4(0.0)
    return (
        m[0] + select(seen, t * da[0] + u * db[0], zero),
        m[1] + select(seen, t * da[1] + u * db[1], zero),
        m[2] + select(seen, t * da[2] + u * db[2], zero),
    )


@njit
def add_row(h, mean, p, d0, q, d1):
    """A row of the rotation's gradient: h mean' from the mean and p d0 + q d1 from T = J W."""
    return (
        h * mean[0] + p * d0[0] + q * d1[0],
        h * mean[1] + p * d0[1] + q * d1[1],
        h * mean[2] + p * d0[2] + q * d1[2],
    )


@njit
def axes_times(R, s, d):
    """R diag(s) d."""
    e0, e1, e2 = s[0] * d[0], s[1] * d[1], s[2] * d[2]
    return (
        R[0] * e0 + R[1] * e1 + R[2] * e2,
        R[3] * e0 + R[4] * e1 + R[5] * e2,
        R[6] * e0 + R[7] * e1 + R[8] * e2,
    )


@njit
def rotation_backward(w, x, y, z, m0, m1, m2, s):
    """Gradient of the quaternion from that of M = R diag(s), given by rows."""
    r00, r01, r02 = m0[0] * s[0], m0[1] * s[1], m0[2] * s[2]
    r10, r11, r12 = m1[0] * s[0], m1[1] * s[1], m1[2] * s[2]
    r20, r21, r22 = m2[0] * s[0], m2[1] * s[1], m2[2] * s[2]
    # R = I + t P(q) with t = 2/|q|^2, so that the gradient is t dP - (R - I) . dR 2 q / |q|^2
    t = 2.0 / maximum(w * w + x * x + y * y + z * z, splat4(1e-24))
    gw = x * (r21 - r12) + y * (r02 - r20) + z * (r10 - r01)
    gx = w * (r21 - r12) + y * (r01 + r10) + z * (r02 + r20) - 2.0 * x * (r11 + r22)
    gy = w * (r02 - r20) + x * (r01 + r10) + z * (r12 + r21) - 2.0 * y * (r00 + r22)
    gz = w * (r10 - r01) + x * (r02 + r20) + y * (r12 + r21) - 2.0 * z * (r00 + r11)
    along = 0.5 * t * (gw * w + gx * x + gy * y + gz * z)
    return t * (gw - along * w), t * (gx - along * x), t * (gy - along * y), t * (gz - along * z)
