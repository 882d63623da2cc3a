"""Whole steps on a virtual CUDA device: they mix no devices, wait for no GPU, and agree with the CPU's."""

import re
from contextlib import nullcontext

import pytest
import torch
from quick_config import quick
from virtual_cuda import DeviceError, held, virtual_cuda
from yardsticks import YARDSTICKS

from gsd.backend.triton import launch
from gsd.cli.folders import files
from gsd.experiment import build
from gsd.loop import take_step
from gsd.metric.parts.clip import _opened
from gsd.noising.check.acceptance import Bench
from gsd.random import Stream
from gsd.results.measure import measure, render_turntable
from gsd.tools.gpu_check.steps import disagreements
from gsd.tools.noising_check import configured

pytest.importorskip("triton")
from gsd.field import composite_triton

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(),
    reason="a virtual device is for machines without a GPU; the tests marked gpu use this one",
)
NOT_OURS = ("prior/", "menagerie/", "gsplat_cuda")  # lines of the prior and of gsplat's call
WAITS, LAUNCHES, MOST_LAUNCHES = 3, 250, 400
BANK = ("prior.variants=1", "prior.azimuths=12", "prior.elevations=[15]")
SMALLER = (*BANK, "init.points=800", "camera.resolution=32")  # the interpreter of Triton is slow ...
RANDOM = (*SMALLER, "noising=random")  # ... and most of what it does is the noising, which has tests of its own
FIELD = ("representation=instant_ngp", "representation.occupancy_cells=12")
NETWORK = {"guidance=vsd": ["prior=tiny"], "guidance=esd": ["prior=tiny"]}


def options(group, *without):
    return [f"{group}={file.stem}" for file in files(group) if file.stem not in without]


def seen(experiment, state):
    """What a step made, on the CPU."""
    render = state.geometry.render
    maps = {"rgb": render.rgb, "depth": render.depth, "latents": state.latents, "noise": state.noise}
    maps |= {"gradient": state.score.gradient, "eps": state.score.eps, **state.terms}
    maps |= {f"shape {i}": p for i, p in enumerate(experiment.representation.shape_parameters())}
    return {name: held(x).detach().clone() for name, x in maps.items()}


def steps(device, *overrides, count=2):
    """What each of the first steps made; the second one's book is left."""
    experiment = build(quick("steps=1000", *overrides, f"device={device}"))
    for step in range(count):
        yield seen(experiment, take_step(experiment, step))


def agree(there, here):
    assert not disagreements(there, here)


def check(*overrides, there=()):
    """Two steps on both devices, on the virtual one with further overrides; the book of its second."""
    first, second = steps("cpu", *overrides)
    with virtual_cuda() as book:
        running = steps("cuda", *overrides, *there)
        agree(next(running), first)
        book.entries.clear()
        made = next(running)
    for name in ("rgb", "depth", "latents"):  # after a step of Adam, which turns rounding of small gradients into steps
        assert (made[name] - second[name]).abs().mean() < 1e-2 * second[name].abs().mean(), name
    return book


@pytest.mark.parametrize("option", options("noising"))
def test_noisings(option):
    book = check(option, *BANK)
    assert book.count("wait", *NOT_OURS) <= WAITS, book.table("wait")
    assert book.count("kernel", *NOT_OURS) <= MOST_LAUNCHES, book.table("kernel")


def test_the_default_step_is_short():
    book = check()
    assert book.count("wait", *NOT_OURS) == 0, book.table("wait")
    assert book.count("kernel", *NOT_OURS) <= LAUNCHES, book.table("kernel")


def test_the_triton_rasteriser_agrees_in_few_launches():
    small = ["init.points=200", "camera.resolution=32", "representation.sh_degree=1", "densify=default"]
    small.append("noising.kernel=box")  # the others launch a kernel per term of a series
    book = check(*small, there=["representation.backend=triton"])
    lines = ("rasterizer/triton_cuda", "backend/triton")  # also of the noising's and the loss's kernels
    assert book.count("kernel") - book.count("kernel", *lines) <= 25, book.table("kernel")
    assert book.count("wait") - book.count("wait", *lines) == 1, book.table("wait")


@pytest.mark.parametrize(
    "overrides",
    [
        ["noising=consistent", "noising.kernel=tent"],
        ["noising=consistent", "noising.upsample=3"],
        ["noising=consistent", "noising.refresh=ou", "noising.sqrt_beta=0.5"],
        ["noising=integral", "noising.algorithm=deng"],
    ],
    ids=" ".join,
)
def test_noisings_with_other_settings(overrides):
    book = check(*SMALLER, *overrides)
    assert book.count("wait", *NOT_OURS) <= WAITS, book.table("wait")
    assert book.count("kernel", *NOT_OURS) <= MOST_LAUNCHES, book.table("kernel")


@pytest.mark.parametrize("option", options("guidance", "vsd", "esd", "sds"))
def test_guidances(option):
    check(option, *RANDOM)


@pytest.mark.parametrize("option", ["guidance=vsd", "guidance=esd", "prior=tiny"])
def test_a_network(option):
    check(
        option, *NETWORK.get(option, []), "prior.dtype=fp32", "prior.compile=false", "init.points=800", "noising=random"
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["loss=[opaque,sparsity,tv]"],
        ["loss.consistency.resolution=render", "loss.consistency.warp=straight_through"],
        ["particles=2"],
        ["guidance.view_scale=2"],
        ["guidance.view_scale=2", "guidance.guidance_scale=2", "guidance.view_projection=opposed"],
        ["prompting=perp_neg", "guidance.guidance_scale=7.5"],
        ["camera.views=3"],
        [*FIELD, "camera.resolution=16", "representation.samples=24"],
        [
            *(*FIELD, "representation.normals=analytic", "loss=orient"),
            *("camera.resolution=12", "representation.samples=24"),
        ],
        ["representation=textured_mesh", "representation.texture=48", "representation.faces=500"],
    ],
    ids=" ".join,
)
def test_other_parts(overrides):
    check(*RANDOM, *overrides)


@pytest.mark.parametrize("option", options("densify", "none"))
def test_densifiers(option):
    growing = (
        option,
        *BANK,
        "noising=random",
        "init.points=150",
        "densify.start=0",
        "densify.every=1",
        "densify.cap_max=300",
    )
    steepest = ["densify.grow_gradient=1e-9"] if option == "densify=default" else []
    here = list(steps("cpu", *growing, *steepest, count=3))
    with virtual_cuda():
        there = list(steps("cuda", *growing, *steepest, count=3))
    agree(there[0], here[0])
    counts = [[len(step["shape 0"]) for step in each] for each in (there, here)]
    assert counts[0] == counts[1]
    assert counts[0][-1] > counts[0][0]
    for name in ("rgb", "depth", "latents"):
        assert (there[-1][name] - here[-1][name]).abs().mean() < 2e-2 * here[-1][name].abs().mean(), name


SMALL_TRUTH = ("metric.truth.resolution=16", "metric.truth.variants=1", "metric.truth.azimuths=12")


@pytest.mark.parametrize("option", options("metric", "none"))
def test_metrics(option, tmp_path):
    given = [option, "init=menagerie", "init.points=400", "turntable.views=8", "turntable.resolution=32"]
    given += SMALL_TRUTH if option == "metric=truth" else []
    name = option.removeprefix("metric=")
    if name in YARDSTICKS:
        write, settings = YARDSTICKS[name]
        write(tmp_path / name)
        given += [f"metric.{name}.{key}={value.format(folder=tmp_path / name)}" for key, value in settings.items()]

    def measured(device):
        experiment = build(quick(*given, f"device={device}"))
        with torch.no_grad():
            show = render_turntable(experiment.representation, experiment.turntable)
            return measure(experiment.metrics, show, experiment.turntable, experiment.prompt)

    here = measured("cpu")
    _opened.cache_clear()  # CLIP: one that other tests hold must not go to the virtual device, which it cannot leave
    with virtual_cuda():
        there = measured("cuda")
    _opened.cache_clear()
    assert there.keys() == here.keys()
    assert here
    for name, value in here.items():
        assert there[name] == pytest.approx(value, rel=1e-3, abs=1e-4), name


def test_the_virtual_device_refuses_what_cuda_refuses():
    with virtual_cuda() as book:
        x = torch.ones(3, device="cuda")
        assert x.is_cuda
        assert str((x + 1).device) == "cuda:0"
        with pytest.raises(DeviceError, match="same device"):
            x + torch.ones(3)
        with pytest.raises(TypeError, match=re.escape("Tensor.cpu()")):
            x.numpy()
        with pytest.raises(DeviceError, match="draws on the device"):
            torch.randn(3, device="cuda")
        before = book.count("wait")
        assert float(x.sum()) == 3
        assert x.cpu().tolist() == [1, 1, 1]
        assert book.count("wait") == before + 2
        y = x.clone().requires_grad_()
        (y.cpu().sum() + (y**3).sum().cpu()).backward()
        assert held(y.grad).tolist() == [4, 4, 4]


def test_kernels_run_on_the_gpu_of_their_tensors(monkeypatch):
    """With device=cuda:1 that is not the one which Triton takes by itself."""
    ran = []
    monkeypatch.setattr(torch.cuda, "device", lambda device: nullcontext(ran.append(device)))
    kernel = {(3,): lambda *arguments, **constants: ran.append((*arguments, constants))}
    there = torch.empty(2, device="meta")  # stands for a GPU that this machine has not
    launch(kernel, 600, 5, there, FLAG=True)
    assert ran == [there.device, (5, there, {"B": 256, "FLAG": True})]
    with virtual_cuda():
        x = torch.zeros(4, device="cuda")
        with pytest.raises(DeviceError, match="whatever GPU"):
            composite_triton.weights[(1,)](x, x, x, x, 0, B=4)


@pytest.mark.parametrize("option", ["nearest", "split_nearest"])
def test_the_exact_matrix_of_a_noising_is_the_cpus(option):
    """It is made on the CPU, where it is looked at."""
    noising = configured([f"noising={option}"])

    def matrix(device):
        bench = Bench(noising, 2, 0, torch.device(device))
        return noising.operator(bench.geometry(bench.neighbours, 200), Stream(0, "noising")).coalesce()

    here = matrix("cpu")
    with virtual_cuda():
        there = matrix("cuda")
    assert torch.equal(there.indices(), here.indices())
    torch.testing.assert_close(there.values(), here.values())
