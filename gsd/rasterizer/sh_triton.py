"""The spherical harmonics of gsd.rasterizer.sh as a Triton kernel, for the directions of rays."""

from __future__ import annotations

import triton
import triton.language as tl

# sqrt(p / (q pi)) for p / q = 1/4, 3/4, 15/4, 5/16, 15/16, 35/32, 105/4, 21/32, 7/16 and 105/16
N0, N1, N2 = tl.constexpr(0.28209479177387814), tl.constexpr(0.4886025119029199), tl.constexpr(1.0925484305920792)
N3, N4, N5 = tl.constexpr(0.31539156525252005), tl.constexpr(0.5462742152960396), tl.constexpr(0.5900435899266435)
N6, N7, N8 = tl.constexpr(2.890611442640554), tl.constexpr(0.4570457994644658), tl.constexpr(0.3731763325901154)
N9 = tl.constexpr(1.445305721320277)


@triton.jit
def basis(directions, out, R, B: tl.constexpr):
    """out [16, R], the basis functions up to degree 3 at unit directions [R, 3]."""
    r = tl.program_id(0).to(tl.int64) * B + tl.arange(0, B)
    live = r < R
    x, y = tl.load(directions + r * 3, live, 0.0), tl.load(directions + r * 3 + 1, live, 0.0)
    z = tl.load(directions + r * 3 + 2, live, 0.0)
    xx, yy, zz = x * x, y * y, z * z
    tl.store(out + r, x * 0 + N0, live)
    tl.store(out + R + r, y * (-N1), live)
    tl.store(out + 2 * R + r, z * N1, live)
    tl.store(out + 3 * R + r, x * (-N1), live)
    tl.store(out + 4 * R + r, x * y * N2, live)
    tl.store(out + 5 * R + r, y * z * (-N2), live)
    tl.store(out + 6 * R + r, (2 * zz - xx - yy) * N3, live)
    tl.store(out + 7 * R + r, x * z * (-N2), live)
    tl.store(out + 8 * R + r, (xx - yy) * N4, live)
    tl.store(out + 9 * R + r, y * (3 * xx - yy) * (-N5), live)
    tl.store(out + 10 * R + r, x * y * z * N6, live)
    tl.store(out + 11 * R + r, y * (4 * zz - xx - yy) * (-N7), live)
    tl.store(out + 12 * R + r, z * (2 * zz - 3 * xx - 3 * yy) * N8, live)
    tl.store(out + 13 * R + r, x * (4 * zz - xx - yy) * (-N7), live)
    tl.store(out + 14 * R + r, z * (xx - yy) * N9, live)
    tl.store(out + 15 * R + r, x * (xx - 3 * yy) * (-N5), live)
