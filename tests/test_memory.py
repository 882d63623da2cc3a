"""What a run needs is estimated from its config, and too much is refused with the numbers."""

import pytest
import torch
from launch import config
from quick_config import quick

from gsd.check import check
from gsd.errors import GsdError, gathered
from gsd.memory import GB, limits, memory_of

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("turntable.resolution=3000 turntable.views=3000", "3000 x 3000^2"),
        ("camera.resolution=4000 camera.views=900", "900 x 4000^2"),
        ("init.points=800000000", "800000000"),
        ("init=menagerie init.grow={samples: 999000000}", "init.grow.samples = 999000000"),
        ("prior.resolution=512 prior.variants=60 prior.azimuths=300", "images of prior"),
        ("metric.truth.resolution=512 metric.truth.variants=64 metric.truth.azimuths=360", "images of metric.truth"),
        ("representation=instant_ngp representation.log2_table=24 representation.levels=30 representation.growth=1.5 "
         "representation.features=8 particles=9", "2^24"),
        ("representation=instant_ngp representation.occupancy_cells=512 particles=20", "512^3"),
        ("noising=integral noising.k=5 prior.resolution=512 camera.groups=4", "8 x (512 x 32)^2"),
    ],
)  # fmt: skip
def test_more_than_the_machine_has_is_refused_with_the_numbers(typed, said, monkeypatch):
    monkeypatch.setattr("gsd.memory.memory_of", lambda device: 24e9)
    check(config(), CPU)
    parts = typed.replace("{samples: ", "{samples:").split(" ")
    with pytest.raises(GsdError, match=r"needs [\d.e+]+ GB of memory or more and there are 24 GB") as refused:
        check(config(*parts), CPU)
    assert said in str(refused.value)


def test_presets_fit_into_what_they_are_made_for(monkeypatch):
    monkeypatch.setattr("gsd.memory.memory_of", lambda device: 24e9)
    for preset in ("gaussiandreamer_gsd", "mvdream"):
        check(config(f"experiment={preset}"), CPU)


def test_the_limit_of_a_container_counts(tmp_path):
    groups, proc = tmp_path / "sys", tmp_path / "cgroup"
    inner = groups / "slice" / "run"
    inner.mkdir(parents=True)
    (groups / "slice" / "memory.max").write_text("7000000000\n")
    (inner / "memory.max").write_text("max\n")
    proc.write_text("0::/slice/run\n")
    assert limits(proc, groups) == [7_000_000_000]
    (groups / "memory").mkdir()
    (groups / "memory" / "memory.limit_in_bytes").write_text("5000000000\n")
    proc.write_text("9:cpu,memory:/docker/1f\n4:cpu:/x\n")  # the host's path, which a container does not see
    assert limits(proc, groups) == [5_000_000_000]
    (groups / "memory" / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert limits(proc, groups) == []
    assert limits(tmp_path / "nowhere", groups) == []
    assert memory_of(CPU) > 0.1 * GB


@pytest.mark.parametrize("name", ["meta", "hip:0", "cuda:99", "cpu:1", "CUDA", "", "mps:0"])
def test_devices_that_no_run_can_have_are_refused(name):
    from gsd.backend.device import pick_device

    with pytest.raises(GsdError, match=rf"device={name}"):
        pick_device(name)
    assert pick_device("cpu").type == "cpu"


@pytest.mark.parametrize("target", ["builtins.dict", "pathlib.Path", "types.SimpleNamespace"])
def test_foreign_classes_are_refused_before_they_are_made(target):
    cfg = quick()
    cfg.noising["_target_"] = target
    with pytest.raises(GsdError, match="is no Noising"):
        check(cfg, CPU)


def test_all_that_is_missing_is_named_at_once():
    def missing(what):
        raise GsdError(f"{what} is missing.")

    assert gathered(lambda: 1, lambda: "two") == [1, "two"]
    with pytest.raises(GsdError, match=r"^The package is missing\. CLIP is missing\.$"):
        gathered(lambda: missing("The package"), lambda: 1, lambda: missing("CLIP"), lambda: missing("CLIP"))
