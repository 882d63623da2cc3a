"""Triton kernel of the way back from the image-plane gradients of Gaussians to their parameters, in float64."""

from __future__ import annotations

import triton
import triton.language as tl

from gsd.rasterizer.project_triton import (
    SLOPES,
    clamped,
    covariance,
    lens,
    matrix,
    quaternion,
    rotation,
    store_three,
    three,
)


@triton.jit
def _gradient(slopes, ends, counts, at, seen):
    """The sum of a Gaussian's gradients over the tiles of a view, which lie one after the other."""
    count = tl.load(counts + at, seen, 0)
    first = tl.load(ends + at, seen, 0) - count
    zero = first.to(tl.float64) * 0
    gu, gv, gk, ga, gc, go, gr, gg, gb, gz = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
    for i in range(tl.max(count, 0)):
        here, row = i < count, slopes + (first + i) * SLOPES
        gu += tl.load(row, here, 0.0)
        gv += tl.load(row + 1, here, 0.0)
        gk += tl.load(row + 2, here, 0.0)
        ga += tl.load(row + 3, here, 0.0)
        gc += tl.load(row + 4, here, 0.0)
        go += tl.load(row + 5, here, 0.0)
        gr += tl.load(row + 6, here, 0.0)
        gg += tl.load(row + 7, here, 0.0)
        gb += tl.load(row + 8, here, 0.0)
        gz += tl.load(row + 9, here, 0.0)
    return gu, gv, gk, ga, gc, go, gr, gg, gb, gz


@triton.jit
def _store_row(out, k, hx, x, jx, dx, jz, dz, seen):
    """The sum over Gaussians of one entry of a viewmat's gradient: from the mean, and from the linearisation."""
    tl.store(out + k, tl.sum(tl.where(seen, hx * x + jx * dx + jz * dz, 0.0), 0))


@triton.jit
def project_backward(  # noqa: PLR0915
    means, quats, scales, viewmats, Ks, depths, counts, ends, slopes,
    g_means, g_quats, g_scales, g_opacities, g_colors, g_means2d, g_viewmats, eps, N, C, width, height,
    OWN: tl.constexpr, POSES: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """As `gsd.rasterizer.projection.project_backward`, summing first the gradients of all tiles in their order.

    With POSES the gradient of the viewmats is written per program, g_viewmats [programs, C, 12].
    """
    n = tl.program_id(0) * B + tl.arange(0, B)
    live = n < N
    mx, my, mz = three(means, n, live)
    sx, sy, sz = three(scales, n, live)
    qw, qx, qy, qz, t = quaternion(quats, n, live)
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = rotation(qw, qx, qy, qz, t)
    wide, high = tl.cast(width, tl.float64), tl.cast(height, tl.float64)
    eps = tl.cast(eps, tl.float64)
    zero = tl.zeros([B], tl.float64)
    dx, dy, dz, opacity, red, green, blue = zero, zero, zero, zero, zero, zero, zero
    m00, m01, m02, m10, m11, m12, m20, m21, m22 = zero, zero, zero, zero, zero, zero, zero, zero, zero
    used = live & (n < 0)
    for c in range(C):
        at = tl.cast(c, tl.int64) * N + n
        seen = tl.load(depths + at, live, 0.0) > 0
        used |= seen
        gu, gv, gk, ga, gc, go, gr, gg, gb, gz = _gradient(slopes, ends, counts, at, seen)
        tl.store(g_means2d + at * 2, gu, live)
        tl.store(g_means2d + at * 2 + 1, gv, live)
        if OWN:
            store_three(g_colors, at, gr, gg, gb, live)
        else:
            red += gr
            green += gg
            blue += gb
        opacity += go
        v00, v01, v02, v03, v10, v11, v12, v13, v20, v21, v22, v23 = matrix(viewmats + c * 16)
        fx, fy, cx, cy = lens(Ks + c * 9)
        x, y = v00 * mx + v01 * my + v02 * mz + v03, v10 * mx + v11 * my + v12 * mz + v13
        iz = 1.0 / tl.where(seen, v20 * mx + v21 * my + v22 * mz + v23, 1.0)
        jx, jy = fx * iz, fy * iz
        tx, ty = clamped(x * iz, fx, cx, wide), clamped(y * iz, fy, cy, high)
        jxz, jyz = -jx * tx, -jy * ty
        p0, p1, p2 = jx * v00 + jxz * v20, jx * v01 + jxz * v21, jx * v02 + jxz * v22
        q0, q1, q2 = jy * v10 + jyz * v20, jy * v11 + jyz * v21, jy * v12 + jyz * v22
        a0, b0 = (p0 * r00 + p1 * r10 + p2 * r20) * sx, (q0 * r00 + q1 * r10 + q2 * r20) * sx
        a1, b1 = (p0 * r01 + p1 * r11 + p2 * r21) * sy, (q0 * r01 + q1 * r11 + q2 * r21) * sy
        a2, b2 = (p0 * r02 + p1 * r12 + p2 * r22) * sz, (q0 * r02 + q1 * r12 + q2 * r22) * sz
        _, xy, yy, det = covariance(a0, a1, a2, b0, b1, b2, eps)
        iyy = 1.0 / tl.where(seen, yy, 1.0)
        shear, ha = xy * iyy, 0.5 * yy / tl.where(seen, det, 1.0)
        # shear = xy/yy, ha = 1/(2 (xx - xy^2/yy)), hc = 1/(2 yy)
        gxx = -2.0 * ha * ha * ga
        gxy = gk * iyy - 2.0 * shear * gxx
        gyy = shear * shear * gxx - (gk * shear + 0.5 * gc * iyy) * iyy
        # [xx xy; xy yy] = A A' + eps, A = (p; q) M, M = R diag(s)
        da0, db0 = 2.0 * gxx * a0 + gxy * b0, 2.0 * gyy * b0 + gxy * a0
        da1, db1 = 2.0 * gxx * a1 + gxy * b1, 2.0 * gyy * b1 + gxy * a1
        da2, db2 = 2.0 * gxx * a2 + gxy * b2, 2.0 * gyy * b2 + gxy * a2
        m00 += tl.where(seen, p0 * da0 + q0 * db0, 0.0)
        m01 += tl.where(seen, p0 * da1 + q0 * db1, 0.0)
        m02 += tl.where(seen, p0 * da2 + q0 * db2, 0.0)
        m10 += tl.where(seen, p1 * da0 + q1 * db0, 0.0)
        m11 += tl.where(seen, p1 * da1 + q1 * db1, 0.0)
        m12 += tl.where(seen, p1 * da2 + q1 * db2, 0.0)
        m20 += tl.where(seen, p2 * da0 + q2 * db0, 0.0)
        m21 += tl.where(seen, p2 * da1 + q2 * db1, 0.0)
        m22 += tl.where(seen, p2 * da2 + q2 * db2, 0.0)
        e0, e1, e2, f0, f1, f2 = sx * da0, sy * da1, sz * da2, sx * db0, sy * db1, sz * db2
        d0, d1, d2 = r00 * e0 + r01 * e1 + r02 * e2, r10 * e0 + r11 * e1 + r12 * e2, r20 * e0 + r21 * e1 + r22 * e2
        h0, h1, h2 = r00 * f0 + r01 * f1 + r02 * f2, r10 * f0 + r11 * f1 + r12 * f2, r20 * f0 + r21 * f1 + r22 * f2
        # p and q are the rows of J W, J = (fx/z, 0, -fx tx/z; 0, fy/z, -fy ty/z) with tx = x/z unless clamped
        j00, j02 = d0 * v00 + d1 * v01 + d2 * v02, d0 * v20 + d1 * v21 + d2 * v22
        j11, j12 = h0 * v10 + h1 * v11 + h2 * v12, h0 * v20 + h1 * v21 + h2 * v22
        hx = (fx * gu - tl.where(tx == x * iz, jx * j02, 0.0)) * iz
        hy = (fy * gv - tl.where(ty == y * iz, jy * j12, 0.0)) * iz
        hz = gz - (fx * j00 + fy * j11 - fx * tx * j02 - fy * ty * j12) * iz * iz - (hx * x + hy * y) * iz
        hx, hy, hz = tl.where(seen, hx, 0.0), tl.where(seen, hy, 0.0), tl.where(seen, hz, 0.0)
        if POSES:
            out = g_viewmats + (tl.program_id(0) * C + c) * 12
            _store_row(out, 0, hx, mx, jx, d0, zero, zero, seen)
            _store_row(out, 1, hx, my, jx, d1, zero, zero, seen)
            _store_row(out, 2, hx, mz, jx, d2, zero, zero, seen)
            _store_row(out, 3, hx, zero + 1, zero, zero, zero, zero, seen)
            _store_row(out, 4, hy, mx, jy, h0, zero, zero, seen)
            _store_row(out, 5, hy, my, jy, h1, zero, zero, seen)
            _store_row(out, 6, hy, mz, jy, h2, zero, zero, seen)
            _store_row(out, 7, hy, zero + 1, zero, zero, zero, zero, seen)
            _store_row(out, 8, hz, mx, jxz, d0, jyz, h0, seen)
            _store_row(out, 9, hz, my, jxz, d1, jyz, h1, seen)
            _store_row(out, 10, hz, mz, jxz, d2, jyz, h2, seen)
            _store_row(out, 11, hz, zero + 1, zero, zero, zero, zero, seen)
        dx += v00 * hx + v10 * hy + v20 * hz
        dy += v01 * hx + v11 * hy + v21 * hz
        dz += v02 * hx + v12 * hy + v22 * hz
    store_three(g_means, n, dx, dy, dz, live)
    tl.store(g_opacities + n, opacity, live)
    if not OWN:
        store_three(g_colors, n, red, green, blue, live)
    gx, gy, gz = m00 * r00 + m10 * r10 + m20 * r20, m01 * r01 + m11 * r11 + m21 * r21, m02 * r02 + m12 * r12 + m22 * r22
    # the parameters of those that no view draws may be anything
    store_three(g_scales, n, tl.where(used, gx, 0.0), tl.where(used, gy, 0.0), tl.where(used, gz, 0.0), live)
    m00, m10, m20, m01, m11, m21 = m00 * sx, m10 * sx, m20 * sx, m01 * sy, m11 * sy, m21 * sy
    m02, m12, m22 = m02 * sz, m12 * sz, m22 * sz
    # R = I + t P(q) with t = 2/|q|^2, so that the gradient is t dP - (R - I) . dR 2 q / |q|^2
    gw = qx * (m21 - m12) + qy * (m02 - m20) + qz * (m10 - m01)
    gx = qw * (m21 - m12) + qy * (m01 + m10) + qz * (m02 + m20) - 2.0 * qx * (m11 + m22)
    gy = qw * (m02 - m20) + qx * (m01 + m10) + qz * (m12 + m21) - 2.0 * qy * (m00 + m22)
    gz = qw * (m10 - m01) + qx * (m02 + m20) + qy * (m12 + m21) - 2.0 * qz * (m00 + m11)
    along = 0.5 * t * (gw * qw + gx * qx + gy * qy + gz * qz)
    tl.store(g_quats + n * 4, tl.where(used, t * (gw - along * qw), 0.0), live)
    tl.store(g_quats + n * 4 + 1, tl.where(used, t * (gx - along * qx), 0.0), live)
    tl.store(g_quats + n * 4 + 2, tl.where(used, t * (gy - along * qy), 0.0), live)
    tl.store(g_quats + n * 4 + 3, tl.where(used, t * (gz - along * qz), 0.0), live)
