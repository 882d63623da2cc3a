"""Every Triton kernel becomes machine code for the GPUs in use; the interpreter takes more than the compiler does.

One variant of each kernel is compiled in every run of the tests, all of them in the slow ones.
"""

import os
import subprocess
import sys

import pytest

pytest.importorskip("triton")

COMPILE = """
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

F, D, L, I, B = "*fp32", "*fp64", "*i64", "*i32", "*i1"
f, d, i, u = "fp32", "fp64", "i32", "u64"


def check(kernel, types, options=None, **constants):
    names = kernel.arg_names[: len(types)]
    assert kernel.arg_names[len(types) :] == list(constants), (kernel.__name__, kernel.arg_names, list(constants))
    signature = dict(zip(names, types)) | dict.fromkeys(constants, "constexpr")
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
    made = triton.compile(source, target=GPUTarget("cuda", int(sys.argv[1]), 32), options=options)
    assert len(made.asm["cubin"]) > 1000
    assert made.metadata.shared <= 99 * 1024, (kernel.__name__, made.metadata.shared)  # what any of these GPUs has
    print(kernel.__name__, len(made.asm["cubin"]), made.metadata.shared)


def either(first):
    # Values of a switch: this one, and the other where all variants are asked for
    return (first, not first)[: 2 if sys.argv[2] == "all" else 1]


from gsd.field import composite_triton as along
from gsd.field import density_triton as density
from gsd.field import hashgrid_triton as grid
from gsd.field import march_triton as rays
from gsd.field import mlp_triton as mlp
from gsd.noising.points import paint_triton as points
from gsd.noising.points.canvas import RAMPS
from gsd.noising.warped import cover_triton as warped
from gsd.rasterizer import composite_triton, project_backward_triton, project_triton, sh_triton
from gsd.rasterizer.triton_cuda import TILE, TOGETHER, WARPS
from gsd.warping import compare_triton as warping

check(points.fill_normal, [u, L, F, i, i], B=256)
for kernel in RAMPS if sys.argv[2] == "all" else ("box",):
    for stored in (False, True):
        check(
            points.paint, [F, F, L, F, F, F, B, F, L, L, u, u, u, f, f, f, f, i, i, i],
            N=3, NP=4, V=2, C=4, B=64, DEPTH=not stored, STORED=stored, RAMP=RAMPS[kernel],
            PRODUCTS=1 if kernel == "box" else 5,
        )
check(points.normalise, [L, L, F, u, i, i, i], B=256)
check(points.chebyshev_step, [F, F, F, F, F, f, f, f, f, f, i, i, i, i], B=256)
check(warped.cover, [D, D, D, I, D, I, i, i, i, i, i, i, d], B=256)
for bilinear in either(True):
    check(warping.compare, [F, F, F, L, F, F, F, F, *[f] * 5, *[i] * 5], C=4, BILINEAR=bilinear, B=256)
for jacobian in either(True):
    check(grid.encode, [F, F, L, F, F, F, i, i], F=2, JACOBIAN=jacobian, B=256)
    check(grid.encode_backward, [F, F, L, F, F, F, i, i], F=2, OUT=True, JACOBIAN=jacobian, B=256)
check(grid.slope, [F, F, L, F, F, F, i, i], F=2, B=256)
check(grid.slope_backward, [F, F, L, F, F, F, F, F, i, i], F=2, B=256)
for write in (False, True):
    check(rays.march, [F, F, F, F, F, B, L, L, F, L, f, f, f, i, i], WRITE=write, B=256)
check(rays.cast, [*[F] * 7, f, f, i, i, i], B=256)
check(rays.place, [F, F, L, F, F, i], B=256)
check(rays.count_lit, [F, L, L, f, i], B=256)
check(rays.keep_lit, [F, L, L, L, F, L, i], B=256)
check(along.weights, [F, L, F, F, i], B=256)
check(along.weights_backward, [F, F, L, F, F, i], B=256)
check(along.composite, [F, F, F, L, F, F, F, f, i, i], B=256)
check(along.composite_backward, [F, F, F, L, *[F] * 6, f, i, i], B=256)
for blob in (0, 1, 2) if sys.argv[2] == "all" else (1,):
    check(density.activate, [F, F, F, f, f, i], BLOB=blob, SOFTPLUS=blob > 0, B=256)
    check(density.activate_backward, [F, F, F, F, f, f, f, i], BLOB=blob, SOFTPLUS=blob > 0, B=256)
    check(density.orient, [F, F, F, F, L, F, f, f, f, i, i], BLOB=blob, B=256)
    check(density.orient_backward, [F, F, F, F, L, F, F, f, f, f, i], BLOB=blob, B=256)
check(sh_triton.basis, [F, F, i], B=256)
for deep in either(False):
    layers, hidden = (2, 32) if deep else (1, 64)
    network = {"IN": 32, "H": hidden, "OUT": 3, "IP": 32, "HP": hidden, "OP": 16, "LAYERS": layers, "B": 32}
    check(mlp.forward, [*[F] * 5, i], **network)
    check(mlp.backward, [*[F] * 7, i], **network)
    check(mlp.slope, [*[F] * 5, i], **network)
    check(mlp.slope_backward, [*[F] * 6, i], **network)
wide, one = {"num_warps": WARPS}, {"num_warps": 1}
for own in either(True):
    check(
        project_triton.project, [*[F] * 9, I, I, I, I, f, f, f, *[i] * 6], options=wide,
        TILE=TILE, OWN=own, B=256,
    )
    check(
        project_backward_triton.project_backward, [*[F] * 6, I, L, *[F] * 7, D, f, *[i] * 4], options=wide,
        OWN=own, POSES=own, B=256,
    )
check(composite_triton.assign, [I, L, I, I, I, F, L, i, i], B=256)
check(composite_triton.composite, [F, I, L, *[F] * 4, *[i] * 4], options=one, TILE=TILE, K=TOGETHER)
check(composite_triton.composite_backward, [F, I, L, L, *[F] * 7, *[i] * 4], options=one, TILE=TILE, K=TOGETHER)
"""


@pytest.mark.parametrize(
    ("arch", "which", "count"),
    [(90, "one", 35), *(pytest.param(arch, "all", 56, marks=pytest.mark.slow) for arch in (80, 89, 90))],
)
def test_every_kernel_becomes_machine_code(arch, which, count, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILE, str(arch), which]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.count("\n") == count
