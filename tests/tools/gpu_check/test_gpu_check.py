"""gsd gpu-check on a virtual CUDA device, on next to nothing: every stage, and what becomes of those that fail."""

import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from small_check import SMALL_CHECK
from virtual_cuda import virtual_cuda

from gsd.backend.device import pick_device
from gsd.tools.gpu_check import __main__ as command
from gsd.tools.gpu_check.bench import Bench
from gsd.tools.gpu_check.check import check
from gsd.tools.gpu_check.goals import GOALS
from gsd.tools.gpu_check.result import Row
from gsd.tools.gpu_check.sizes import Sizes
from gsd.tools.gpu_check.stages import STAGES, Stage

pytest.importorskip("triton")
pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="with a GPU, gsd gpu-check itself is the test")


def run(folder, *names, minutes=60.0, stages=STAGES, sizes=SMALL_CHECK):
    """The outcomes of some stages by name, with gpu.json, which says the same."""
    with virtual_cuda():
        chosen = [stage for stage in stages if not names or stage.name in names]
        outcomes = check(folder, pick_device("cuda"), minutes, sizes, chosen)
    written = json.loads((folder / "gpu.json").read_text())
    assert [each["status"] for each in written["stages"]] == [each.status for each in outcomes]
    assert not list(folder.glob(".*"))
    return {outcome.name: outcome for outcome in outcomes}, written


def test_rasterisers_agree_with_the_cpu(tmp_path):
    outcomes, written = run(tmp_path, "machine", "build", "rasterizers")
    for outcome in outcomes.values():
        assert outcome.status == "ok", outcome
    assert {row.name: row.figures["value"] for row in outcomes["machine"].rows if "value" in row.figures}[
        "Triton's kernels"
    ] == "can be used"
    rasterised = [row.name for row in outcomes["rasterizers"].rows]
    assert {"gsplat", "torch", "gsplat, 300 Gaussians, 32 pixels"} <= set(rasterised)
    assert {"rasterizers.png", "gpu.md"} <= {path.name for path in tmp_path.iterdir()}
    text = (tmp_path / "gpu.md").read_text()
    assert all(goal.what in text for goal in GOALS)
    assert "](rasterizers.png)" in text
    assert all(row["found"] == "not measured" for row in written["goals"])
    assert written["card"] == "virtual"


@pytest.mark.parametrize(
    ("kind", "backend", "table"),
    [("gaussians", "torch", None), ("instant_ngp", None, 10), ("textured_mesh", None, None)],
)
def test_only_gaussians_have_a_rasteriser_and_only_fields_a_table(kind, backend, table):
    bench = SimpleNamespace(options=["device=cpu", "representation.backend=torch"])
    scene = Bench.config(bench, f"representation={kind}", of_field=["representation.log2_table=10"]).representation
    assert (scene.get("backend"), scene.get("log2_table")) == (backend, table)


def broken(bench):
    yield Row("first", {"ms": 1.0})
    raise RuntimeError("out of luck\nand more")


def wrong(bench):
    yield Row("far off", {"largest": float("nan")}, False)


def slow(bench):
    yield Row("one")
    yield Row("never reached")


def test_a_stage_that_fails_leaves_the_others_alone(tmp_path, capsys):
    stages = (Stage("broken", "Broken", 0.1, broken), Stage("wrong", "Wrong", 0.1, wrong))
    outcomes, written = run(tmp_path, minutes=1.0, stages=(*stages, STAGES[0], Stage("long", "Long", 9.0, slow)))
    assert [each.status for each in outcomes.values()] == ["FAILED", "FAILED", "ok", "not run"]
    assert outcomes["broken"].note == "RuntimeError: out of luck"
    assert [row.name for row in outcomes["broken"].rows] == ["first"]
    assert written["stages"][1]["rows"][0]["figures"]["largest"] == "nan"
    shown = capsys.readouterr().out
    assert "out of luck" in shown
    assert "do not fit into the" in written["stages"][3]["note"]


def test_a_stage_is_cut_off_when_the_time_is_over(tmp_path, monkeypatch):
    clock = SimpleNamespace(monotonic=itertools.count().__next__)  # a second passes whenever it is asked
    monkeypatch.setattr("gsd.tools.gpu_check.check.time", clock)
    outcomes, _ = run(tmp_path, minutes=1.5 / 60, stages=(Stage("slow", "Slow", 0.0, slow),))
    assert outcomes["slow"].status == "cut off"
    assert [row.name for row in outcomes["slow"].rows] == ["one"]


def test_what_a_killed_check_leaves(tmp_path):
    def killed(bench):
        yield Row("found", {"ms": 2.0})
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stages=(Stage("killed", "Killed", 0.0, killed), STAGES[0]))
    left = json.loads((tmp_path / "gpu.json").read_text())["stages"]
    assert [stage["status"] for stage in left] == ["unfinished", "not run"]
    assert [row["figures"] for row in left[0]["rows"]] == [{"ms": 2.0}]
    assert not list(tmp_path.glob(".*"))


def test_without_a_gpu_it_says_so(refusal, tmp_path):
    assert refusal(command.main, "--out", tmp_path).startswith("error: device=cuda: ")
    assert "measures GPUs" in refusal(command.main, "--out", tmp_path, "--device", "cpu")


def test_the_command_fails_with_a_stage(tmp_path, monkeypatch, refusal):
    monkeypatch.setattr("gsd.tools.gpu_check.stages.STAGES", (Stage("wrong", "Wrong", 0.1, wrong), STAGES[0]))
    with virtual_cuda():
        assert refusal(command.main, "--out", tmp_path).startswith("failed: wrong; see ")
        assert "did you mean wrong?" in refusal(command.main, "--out", tmp_path, "--only", "wrnog")


@pytest.fixture
def virtual_programs(monkeypatch):
    """python -m gsd, started by the check, has the virtual device too."""
    real = subprocess.Popen
    program = [sys.executable, str(Path(__file__).parents[2] / "helpers" / "virtual_gsd.py")]

    def popen(args, *rest, **options):
        return real([*program, *args[3:]] if args[1:3] == ["-m", "gsd"] else args, *rest, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)


MARKED = """
import pytest

@pytest.mark.gpu
@pytest.mark.parametrize("holds", [True, False])
def test_it(holds):
    assert holds

@pytest.mark.gpu
@pytest.mark.skip
def test_skipped():
    pass
"""


def test_marked_tests_are_run(tmp_path):
    folder = tmp_path / "tests"
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = gpu: x\n")
    (folder / "test_some_marked.py").write_text(MARKED)
    (folder / "test_some_others.py").write_text("raise SystemExit('not to be imported')")
    outcomes, _ = run(tmp_path / "out", "tests", sizes=Sizes(tests=folder))
    assert [row.ok for row in outcomes["tests"].rows] == [True, False, None]
    assert outcomes["tests"].status == "FAILED"
    without, _ = run(tmp_path / "none", "tests", sizes=Sizes(tests=tmp_path / "nothing"))
    assert without["tests"].rows[0].note.startswith("there is no checkout")


@pytest.mark.slow
def test_the_whole_check(tmp_path, monkeypatch, virtual_programs):
    monkeypatch.setattr("torch._dynamo.config.disable", True)  # which knows no virtual tensors
    taken = [stage.name for stage in STAGES if stage.name != "tests"]
    outcomes, written = run(tmp_path, *taken, minutes=1440.0)  # however busy the machine is
    assert [(each.name, each.status, each.note) for each in outcomes.values() if each.status != "ok"] == []
    assert all(row["found"] != "not measured" for row in written["goals"])
    names = {name: [row.name for row in each.rows] for name, each in outcomes.items()}
    assert len(names["steps"]) == 13
    assert {"sds", "usual sds", "gsd", "vsd", "3dfuse", "gsd, 600 Gaussians"} <= set(names["cost"])
    assert "gaussiandreamer_gsd" in names["presets"]
    assert all(row.figures["share that differs"] < 0.02 for row in outcomes["noisings"].rows)
    assert all((tmp_path / f"{name}.png").exists() for name in ("noisings", "rasterizers", "steps"))
