"""Triton kernels of the Triton backend: from the parameters of Gaussians to tiles and back, in float64 as on the CPU.

A projected Gaussian is a row of COLUMNS floats with the meaning of `gsd.rasterizer.layout`: x y shear ha hc opacity
cutoff r g b depth, and one unused. The gradient of a row, per tile, has SLOPES floats: x y shear ha hc opacity r g b
depth.
"""

from __future__ import annotations

import triton
import triton.language as tl

from gsd.rasterizer import layout

COLUMNS, SLOPES = tl.constexpr(12), tl.constexpr(10)
ALPHA_MIN, S_MAX, SLACK = tl.constexpr(layout.ALPHA_MIN), tl.constexpr(layout.S_MAX), tl.constexpr(float(layout.SLACK))
HUGE = tl.constexpr(1e30)


@triton.jit
def three(x, i, live):
    """Row i of x [*, 3]."""
    return (
        tl.load(x + i * 3, live, 0.0).to(tl.float64),
        tl.load(x + i * 3 + 1, live, 0.0).to(tl.float64),
        tl.load(x + i * 3 + 2, live, 0.0).to(tl.float64),
    )


@triton.jit
def store_three(out, i, x, y, z, live):
    tl.store(out + i * 3, x, live)
    tl.store(out + i * 3 + 1, y, live)
    tl.store(out + i * 3 + 2, z, live)


@triton.jit
def quaternion(quats, n, live):
    """w x y z, and 2 over the squared length."""
    w = tl.load(quats + n * 4, live, 0.0).to(tl.float64)
    x = tl.load(quats + n * 4 + 1, live, 0.0).to(tl.float64)
    y = tl.load(quats + n * 4 + 2, live, 0.0).to(tl.float64)
    z = tl.load(quats + n * 4 + 3, live, 0.0).to(tl.float64)
    return w, x, y, z, 2.0 / tl.maximum(w * w + x * x + y * y + z * z, 1e-24)


@triton.jit
def rotation(w, x, y, z, t):
    """The rotation matrix row by row."""
    return (
        1.0 - t * (y * y + z * z), t * (x * y - w * z), t * (x * z + w * y),
        t * (x * y + w * z), 1.0 - t * (x * x + z * z), t * (y * z - w * x),
        t * (x * z - w * y), t * (y * z + w * x), 1.0 - t * (x * x + y * y),
    )  # fmt: skip


@triton.jit
def matrix(V):
    """The rows of a world-to-camera matrix but for the last."""
    return (
        tl.load(V).to(tl.float64), tl.load(V + 1).to(tl.float64), tl.load(V + 2).to(tl.float64),
        tl.load(V + 3).to(tl.float64), tl.load(V + 4).to(tl.float64), tl.load(V + 5).to(tl.float64),
        tl.load(V + 6).to(tl.float64), tl.load(V + 7).to(tl.float64), tl.load(V + 8).to(tl.float64),
        tl.load(V + 9).to(tl.float64), tl.load(V + 10).to(tl.float64), tl.load(V + 11).to(tl.float64),
    )  # fmt: skip


@triton.jit
def lens(K):
    """fx fy cx cy."""
    return (
        tl.load(K).to(tl.float64), tl.load(K + 4).to(tl.float64),
        tl.load(K + 2).to(tl.float64), tl.load(K + 5).to(tl.float64),
    )  # fmt: skip


@triton.jit
def clamped(slope, f, c, size):
    """The slope of a ray, not further outside the image than the linearisation is trusted."""
    return tl.minimum(tl.maximum(slope, -(c + 0.15 * size) / f), (1.15 * size - c) / f)


@triton.jit
def covariance(a0, a1, a2, b0, b1, b2, eps):
    """xx, xy, yy and determinant, see `gsd.rasterizer.projection.covariance`."""
    xx, xy, yy = a0 * a0 + a1 * a1 + a2 * a2, a0 * b0 + a1 * b1 + a2 * b2, b0 * b0 + b1 * b1 + b2 * b2
    c0, c1, c2 = a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0
    return xx + eps, xy, yy + eps, eps * eps + eps * (xx + yy) + c0 * c0 + c1 * c1 + c2 * c2


@triton.jit
def _tiles(centre, radius, size, TILE: tl.constexpr):
    """The first tile that has a pixel within the radius, and how many from there on."""
    first = (tl.maximum(centre - radius - SLACK, 0.0) / TILE).to(tl.int32)
    last = (tl.minimum(tl.maximum(centre + radius + SLACK, 0.0), size - 1.0) / TILE).to(tl.int32)
    return first, tl.maximum(last - first + 1, 0)


@triton.jit
def project(
    means, quats, scales, opacities, colors, viewmats, Ks, rows, depths, radii, corners, spans, counts,
    near, far, eps, N, C, width, height, tiles_x, tiles_y,
    TILE: tl.constexpr, OWN: tl.constexpr, B: tl.constexpr,
):  # fmt: skip
    """Rows [C, N, COLUMNS], depths and radii of the Gaussians that can touch an image, and the tiles that they touch.

    Those are a rectangle, `spans` [C, N] wide, from tile `corners` on, and counts [C, N] in number. OWN: colors are
    [C, N, 3] instead of [N, 3].
    """
    n = tl.program_id(0) * B + tl.arange(0, B)
    live = n < N
    mx, my, mz = three(means, n, live)
    sx, sy, sz = three(scales, n, live)
    qw, qx, qy, qz, t = quaternion(quats, n, live)
    r00, r01, r02, r10, r11, r12, r20, r21, r22 = rotation(qw, qx, qy, qz, t)
    o = tl.load(opacities + n, live, 0.0).to(tl.float64)
    cutoff = tl.minimum(tl.maximum(tl.log(tl.maximum(o, 1e-9) * 255.0), 0.0), S_MAX)
    wide, high = tl.cast(width, tl.float64), tl.cast(height, tl.float64)
    eps = tl.cast(eps, tl.float64)
    for c in range(C):
        v00, v01, v02, v03, v10, v11, v12, v13, v20, v21, v22, v23 = matrix(viewmats + c * 16)
        fx, fy, cx, cy = lens(Ks + c * 9)
        red, green, blue = three(colors, c * N + n if OWN else n, live)
        x, y = v00 * mx + v01 * my + v02 * mz + v03, v10 * mx + v11 * my + v12 * mz + v13
        z = v20 * mx + v21 * my + v22 * mz + v23
        seen = live & (z >= near) & (z <= far) & (o >= ALPHA_MIN)
        finite = tl.abs(o + qw + qx + qy + qz + sx + sy + sz + red + green + blue) < HUGE
        iz = 1.0 / tl.where(seen, z, 1.0)
        jx, jy = fx * iz, fy * iz
        jxz, jyz = -jx * clamped(x * iz, fx, cx, wide), -jy * clamped(y * iz, fy, cy, high)
        p0, p1, p2 = jx * v00 + jxz * v20, jx * v01 + jxz * v21, jx * v02 + jxz * v22
        q0, q1, q2 = jy * v10 + jyz * v20, jy * v11 + jyz * v21, jy * v12 + jyz * v22
        xx, xy, yy, det = covariance(
            (p0 * r00 + p1 * r10 + p2 * r20) * sx, (p0 * r01 + p1 * r11 + p2 * r21) * sy,
            (p0 * r02 + p1 * r12 + p2 * r22) * sz, (q0 * r00 + q1 * r10 + q2 * r20) * sx,
            (q0 * r01 + q1 * r11 + q2 * r21) * sy, (q0 * r02 + q1 * r12 + q2 * r22) * sz, eps,
        )  # fmt: skip
        u, v = jx * x + cx, jy * y + cy
        seen &= finite & (xx < HUGE) & (yy < HUGE) & (det > 0)
        rx, ry = tl.sqrt(tl.where(seen, 2.0 * cutoff * xx, 0.0)), tl.sqrt(tl.where(seen, 2.0 * cutoff * yy, 0.0))
        px, py = tl.ceil(rx), tl.ceil(ry)
        seen &= (u + px > 0) & (u - px < wide) & (v + py > 0) & (v - py < high)
        at = tl.cast(c, tl.int64) * N + n
        tl.store(radii + at * 2, tl.where(seen, tl.minimum(px, 1e9), 0.0).to(tl.int32), live)
        tl.store(radii + at * 2 + 1, tl.where(seen, tl.minimum(py, 1e9), 0.0).to(tl.int32), live)
        tl.store(depths + at, tl.where(seen, z, 0.0), live)
        left, columns = _tiles(tl.where(seen, u, 0.0), tl.where(seen, rx, 0.0), wide, TILE)
        top, lines = _tiles(tl.where(seen, v, 0.0), tl.where(seen, ry, 0.0), high, TILE)
        tl.store(corners + at, (c * tiles_y + top) * tiles_x + left, live)
        tl.store(spans + at, columns, live)
        tl.store(counts + at, tl.where(seen, columns * lines, 0), live)
        row = rows + at * COLUMNS
        tl.store(row, u, seen)
        tl.store(row + 1, v, seen)
        tl.store(row + 2, xy / tl.where(seen, yy, 1.0), seen)
        tl.store(row + 3, 0.5 * yy / tl.where(seen, det, 1.0), seen)
        tl.store(row + 4, 0.5 / tl.where(seen, yy, 1.0), seen)
        tl.store(row + 5, o, seen)
        tl.store(row + 6, cutoff, seen)
        tl.store(row + 7, red, seen)
        tl.store(row + 8, green, seen)
        tl.store(row + 9, blue, seen)
        tl.store(row + 10, z, seen)
