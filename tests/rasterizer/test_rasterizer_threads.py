"""The same bits for every number of threads and from run to run; pools survive forks; vectors stay vectors."""

import os
import platform

import numba
import pytest
import torch
from splats import ball, gradients

from gsd.backend.jit import FASTMATH
from gsd.backend.threads import default_threads, each
from gsd.errors import GsdError
from gsd.rasterizer import rasterize


def same(a, b):
    return torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) and all(torch.equal(v, b[3][k]) for k, v in a[3].items())


@pytest.mark.parametrize(("views", "count"), [(1, 300), (2, 9001), (3, 300)])
@pytest.mark.parametrize("also", [(), ("viewmats",)])
def test_result_does_not_depend_on_threads_or_run(views, count, also):
    scene = ball(count, 80, 70, views=views)
    one = gradients(scene, also=also, backend="cpu", threads=1)
    assert same(one, gradients(scene, also=also, backend="cpu", threads=1))
    for threads in (2, 2, 5):
        assert same(one, gradients(scene, also=also, backend="cpu", threads=threads))


def test_each_task_runs_once_and_its_error_reaches_the_caller():
    done = []
    each(done.append, 100, 3)
    assert sorted(done) == list(range(100))

    def fail(i):
        if i == 7:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        each(fail, 20, 3)


def test_threads_come_from_the_environment_then_torch(monkeypatch):
    torch.set_num_threads(1)
    assert default_threads(100_000) == 1
    torch.set_num_threads(2)
    assert default_threads(10) == 1
    monkeypatch.setenv("GSD_THREADS", "3")
    assert default_threads(100_000) == 3
    monkeypatch.setenv("GSD_THREADS", "many")
    with pytest.raises(GsdError, match="GSD_THREADS"):
        default_threads(100_000)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_pool_survives_a_fork():
    scene = ball(50, 16, 16, views=2)
    expected, *_ = rasterize(**scene, backend="cpu", threads=2)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if torch.equal(rasterize(**scene, backend="cpu", threads=2)[0], expected) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.parametrize("name", ["composite", "composite_backward"])
def test_the_pixel_loops_are_vector_code(name):
    """Compiled anew, because code from the cache has no assembly to look at."""
    from gsd.rasterizer import compositing
    from gsd.rasterizer.layout import TABLE

    rows, ids = torch.zeros(1, 16).numpy(), torch.zeros(1, dtype=torch.int32).numpy()
    blocks, live = torch.zeros(512 * 64).numpy(), torch.zeros(40, dtype=torch.int16).numpy().view("uint16")
    arguments = [rows, ids, rows[0, 0], rows[0, 0], blocks, live, 512, TABLE]
    if name == "composite_backward":
        arguments.append(torch.zeros(1, 16).numpy())
    function = getattr(compositing, name).py_func
    compiled = numba.njit(nogil=True, error_model="numpy", fastmath=set(FASTMATH))(function)
    compiled(*arguments)
    (assembly,) = compiled.inspect_asm().values()
    lines = [line.split("\t") for line in assembly.splitlines() if line.startswith("\t")]
    if platform.machine() in ("x86_64", "AMD64"):
        packed = [o for _, o, *rest in lines if o.startswith("vfmadd") and o.endswith("ps") and "mm" in rest[0]]
    else:
        packed = [o for _, o, *rest in lines if o == "fmla" and ".4s" in rest[0]]
    assert len(packed) >= 12  # five for the exponential, and those of the colours and moments
    assert "expf" not in assembly
