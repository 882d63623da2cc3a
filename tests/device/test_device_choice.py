"""Which device a run takes, what it says of it, and that nothing is computed on another one in silence."""

import json
from functools import cache

import pytest
import torch
from launch import SMALL, launch
from virtual_cuda import PEAK, virtual_cuda

from gsd.backend import driver, triton
from gsd.backend.device import pick_device
from gsd.errors import GsdError
from gsd.identity import device_kind
from gsd.rasterizer.gsplat_cuda import prepare

FEW = (*SMALL, "steps=2", "metric=none", "noising=random", "loss=none")
no_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="what is said on machines whose GPU cannot be used")


@pytest.fixture
def a_gpu(monkeypatch):
    """A machine with a GPU, as its files say."""
    monkeypatch.setattr(driver, "gpu_is_there", lambda: True)


def test_a_gpu_is_there_if_this_process_may_open_it(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not driver.gpu_is_there(tmp_path)
    loaded = tmp_path / "proc/driver/nvidia/version"
    loaded.parent.mkdir(parents=True)
    loaded.touch()
    assert not driver.gpu_is_there(tmp_path)  # a container without a GPU sees the driver of the machine
    (tmp_path / "nvidia-smi").touch(0o755)
    assert driver.gpu_is_there(tmp_path)
    (tmp_path / "dev").mkdir()
    node = tmp_path / "dev/nvidia0"
    node.touch()
    assert driver.gpu_is_there(tmp_path)
    monkeypatch.setattr("os.access", lambda path, mode: path != node)  # a job that was given no GPU
    assert not driver.gpu_is_there(tmp_path)
    monkeypatch.undo()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not driver.gpu_is_there(tmp_path)


@no_gpu
def test_a_gpu_that_cannot_be_used_is_not_passed_over_in_silence(a_gpu, tmp_path):
    for ask in (pick_device, device_kind):
        with pytest.raises(GsdError, match=r"There is an NVIDIA GPU here.*CPUs; install its CUDA build.*device=cpu"):
            ask("auto")
    with pytest.raises(GsdError, match="There is an NVIDIA GPU here"):
        launch(tmp_path / "run", *FEW)
    assert not (tmp_path / "run").exists()
    assert pick_device("cpu").type == device_kind("cpu") == "cpu"


@no_gpu
def test_what_the_driver_says_is_in_the_sentence(a_gpu, monkeypatch):
    def too_old():
        raise RuntimeError("The NVIDIA driver on your system is too old (found version 11040).")

    monkeypatch.setattr(torch.version, "cuda", "12.8")
    monkeypatch.setattr(torch.cuda, "init", too_old)
    with pytest.raises(GsdError, match=r"too old \(found version 11040\) \(PyTorch is built for CUDA 12\.8\)"):
        pick_device("auto")
    with pytest.raises(GsdError, match="device=cuda: The NVIDIA driver on your system is too old"):
        pick_device("cuda")


@no_gpu
def test_devices_beside_a_gpu():
    with virtual_cuda():
        assert pick_device("auto").type == "cuda"
        for name, said in (("cuda:7", "is not here; use cuda:0"), ("mps", "auto"), ("meta", "auto")):
            with pytest.raises(GsdError, match=rf"device={name}.*{said}"):
                pick_device(name)


@no_gpu
def test_a_run_says_what_computed_it_and_is_not_continued_on_another_device(tmp_path, capsys):
    here = launch(tmp_path / "here", *FEW, "device=cpu")
    assert "Device: cpu, dtype fp32\n" in capsys.readouterr().out
    with virtual_cuda():
        there = launch(tmp_path / "there", *FEW, "device=cuda")
        assert "Device: cuda, gpu virtual, gpu_memory 80 GiB" in capsys.readouterr().out
        (here / "DONE").unlink()
        with pytest.raises(GsdError, match=r"another run, which differs in device: cpu -> cuda"):
            launch(here, *FEW, "device=cuda")
    on_cpu, on_gpu = (json.loads((folder / "summary.json").read_text()) for folder in (here, there))
    assert on_cpu["machine"] == {"device": "cpu", "dtype": "fp32"}
    assert on_cpu["peak_memory_mb"] > 50
    assert on_gpu["machine"].keys() == {"device", "dtype", "gpu", "gpu_memory", "driver", "cuda"}
    assert on_gpu["peak_memory_mb"] == PEAK / 2**20
    stored = json.loads((there / "identity.json").read_text())
    assert (stored["device"], stored["machine"]) == ("cuda", on_gpu["machine"])
    assert stored["settings"]["representation.backend"] == "auto"
    (there / "DONE").unlink()
    with pytest.raises(GsdError, match=r"another run, which differs in device: cuda -> cpu"):
        launch(there, *FEW, "device=cpu")


@pytest.fixture
def made_by(monkeypatch):
    """Triton makes its driver by the function given, as where there is a GPU."""
    runtime = pytest.importorskip("triton.runtime")
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    for function in (triton.usable, triton.why_not):
        monkeypatch.setattr(triton, function.__name__, cache(function.__wrapped__))

    def given(make):
        monkeypatch.setattr(runtime, "driver", type("Driver", (), {"active": property(lambda _: make())})())

    return given


def test_triton_without_a_c_compiler_is_not_used(made_by, caplog):
    """As in container images that hold what runs and not what builds."""

    def fails():
        raise RuntimeError("Failed to find C compiler. Please specify via CC environment variable.\nAnd more")

    made_by(fails)
    with caplog.at_level("INFO", "gsd"):
        assert not triton.usable()
        assert not triton.usable()
    assert len(caplog.records) == 1
    for part in ("Failed to find C compiler", "python3-dev", "tensor operations"):
        assert part in caplog.text
    words = r"backend=triton cannot be used \(Failed to find C compiler.*device=cpu"
    with pytest.raises(GsdError, match=words) as refused:
        prepare("triton")
    assert "\n" not in str(refused.value)


def test_triton_that_has_its_driver_is_used(made_by):
    made_by(object)
    assert triton.usable()
    prepare("triton")
