"""Sweeps as a user starts them: what is run, what is left out, what is said, and the exit code."""

import os
import re
import signal
import subprocess
import sys
import time

import hydra
import pytest
from forked import take_over
from fuzzing import outcome
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.types import RunMode
from launch import ROOT, SMALL, shell, start, wait_for_a_run
from omegaconf import OmegaConf

from gsd.__main__ import main
from gsd.config import register
from gsd.errors import GsdError
from gsd.results.folder import RunFolder
from gsd.results.sweep_folder import SweepFolder
from gsd.tools.sweep import control
from gsd.tools.sweep.control import retry
from gsd.tools.sweep.sweeper import _check_size, _require_plugin

ISM = ("steps=3", "guidance=ism", "loss=none", "metric=none", "noising=consistent,random")  # refuses consistent noise
LONG = ("steps=300", "noising=random", "loss=none", "metric=none")  # seconds of quick steps
JOBLIB = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2")


def test_a_sweep_and_its_second_call(tmp_path):
    sweep = ["-m", *SMALL, "steps=2", "noising=random,consistent", "loss=none", "seed=0,1,1"]
    code, out, err = shell(tmp_path, *sweep)
    assert code == 0, err
    assert "4 runs: 4 pending; 4 to do." in out
    assert out.endswith("multirun/noising: 4 runs: 4 done.\n")
    folder = tmp_path / "multirun/noising"
    done = list(folder.glob("*/DONE"))
    assert len(done) == 4
    assert all((folder / name).exists() for name in ("summary.csv", "summary.md", "report.html"))
    (recorded,) = SweepFolder(folder).sweeps
    assert recorded.overrides == sweep[1:]
    assert sorted(recorded.jobs) == sorted(path.parent.name for path in done)
    assert {len(job.overrides) for job in recorded.jobs.values()} == {2}  # what is swept, nothing else
    times = [path.stat().st_mtime_ns for path in done]
    code, out, err = shell(tmp_path, *sweep)
    assert code == 0, err
    assert "4 runs: 4 done; 0 to do." in out
    assert [path.stat().st_mtime_ns for path in done] == times


def test_a_failure_does_not_hide_the_others_and_is_all_that_is_run_again(tmp_path):
    for line in ("2 runs: 2 pending; 2 to do.", "2 runs: 1 done, 1 failed; 1 to do."):
        the_first_of_two_fails(tmp_path, line)
    (reason,) = tmp_path.glob("multirun/noising/*/FAILED")
    assert reason.read_text().startswith("guidance ISM finds")


def test_a_failure_beside_others(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install -e '.[cluster]'")
    if sys.version_info >= (3, 11):  # another checkout, where the sweep is typed, is not what runs
        (tmp_path / "gsd.py").write_text("import os\nos._exit(1)\n")
    the_first_of_two_fails(tmp_path, "2 runs: 2 pending; 2 to do.", *JOBLIB)


def the_first_of_two_fails(tmp_path, line, *launcher):
    code, out, err = shell(tmp_path, "-m", *SMALL, *ISM, *launcher)
    assert code == 1, err
    assert line in out
    assert out.count("guidance ISM finds its own noise") == 1
    assert out.endswith("2 runs: 1 done, 1 failed. The same command runs what is missing.\n")


def test_a_sweep_from_outside(tmp_path, monkeypatch, capfd):
    """While it runs a second one is refused and status sees it; cancel stops it at a checkpoint; retry ends it."""
    sweep, arguments = tmp_path / "multirun/sweep", ["-m", *SMALL, *LONG, "seed=0,1", "name=sweep"]
    process = start(tmp_path, *arguments)
    run, pid = wait_for_a_run(sweep, process)
    os.kill(pid, signal.SIGSTOP)
    code, _, err = shell(tmp_path, *arguments)
    assert code == 1
    assert f"Another process (pid {process.pid} on" in err
    code, out, err = shell(tmp_path, "sweep", "status", "multirun/sweep")
    assert code == 0, err
    assert "2 runs by basic, begun" in out
    assert f"running  {run.name}" in out
    assert out.endswith("multirun/sweep: 2 runs: 1 running, 1 pending.\n")
    code, out, err = shell(tmp_path, "sweep", "cancel", "multirun/sweep")
    assert "told to stop at a checkpoint" in out
    os.kill(pid, signal.SIGCONT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert out.endswith("multirun/sweep: 2 runs: 2 pending; the same command continues.\n")
    assert shell(tmp_path, "sweep", "cancel", "multirun/sweep")[1] == "Nothing of it runs.\n"
    take_over(monkeypatch)
    assert retry(SweepFolder(sweep), ["images_every=0"]) == 0
    assert capfd.readouterr().out.endswith("2 runs: 2 done.\n")
    assert shell(tmp_path, "sweep", "retry", "multirun/sweep")[1] == "Nothing is missing.\n"


def test_a_run_that_is_killed_beside_others(tmp_path, monkeypatch, capfd):
    """The others go on; it is said to have failed, and why, and can be retried."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install -e '.[cluster]'")
    process = start(tmp_path, "-m", *SMALL, "steps=100", *LONG[1:], "seed=range(3)", "name=s", *JOBLIB)
    killed, pid = wait_for_a_run(tmp_path / "multirun/s", process)
    os.kill(pid, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1, err
    assert out.endswith("multirun/s: 3 runs: 2 done, 1 failed. The same command runs what is missing.\n")
    assert f"pid {pid}, was killed by SIGKILL (by the system for want" in (killed / "FAILED").read_text()
    take_over(monkeypatch)
    assert retry(SweepFolder(tmp_path / "multirun/s"), []) == 0
    out = capfd.readouterr().out
    assert "3 runs: 2 done, 1 failed; 1 to do." in out
    assert out.endswith("multirun/s: 3 runs: 3 done.\n")


def test_runs_stop_at_a_checkpoint_when_their_sweep_is_killed(tmp_path):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install -e '.[cluster]'")
    sweep = tmp_path / "multirun/s"
    process = start(tmp_path, "-m", *SMALL, "steps=100000", *LONG[1:], "seed=0,1", "name=s", *JOBLIB)
    wait_for_a_run(sweep, process)
    while len(list(sweep.glob("*/checkpoint.pt"))) < 2:
        time.sleep(0.02)
    process.kill()
    process.wait()
    end = time.monotonic() + 60
    while running := [row for row in SweepFolder(sweep).rows() if row.state == "running"]:
        assert time.monotonic() < end, running
        time.sleep(0.05)
    assert control.cancel(SweepFolder(sweep)) == []
    for checkpoint in sweep.glob("*/checkpoint.pt"):
        folder = RunFolder(checkpoint.parent)
        assert len(folder.records()) == folder.load_checkpoint()["step"]  # nothing was computed in vain
        assert not (checkpoint.parent / "FAILED").exists()


@pytest.mark.parametrize(
    ("option", "sentence"), [("n_jobs=0", "n_jobs=0: give the number"), ("timeout=60", "timeout has no effect here")]
)
def test_options_without_a_meaning_are_refused(tmp_path, option, sentence):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install -e '.[cluster]'")
    code, _, err = shell(tmp_path, "-m", *SMALL, "seed=0,1", "hydra/launcher=joblib", f"hydra.launcher.{option}")
    assert (code, sentence in err.splitlines()[-1]) == (1, True), err


def test_presets_that_are_swept_lie_in_one_folder(tmp_path):
    code, _, err = shell(tmp_path, "-m", *SMALL, "steps=1", "metric=none", "experiment=sds,paper")
    assert code == 0, err
    assert len(list(tmp_path.glob("multirun/experiment/*/DONE"))) == 2
    assert os.listdir(tmp_path / "multirun") == ["experiment"]


def test_a_place_where_nothing_can_be_written(tmp_path):
    (tmp_path / "multirun").write_text("a file")
    code, _, err = shell(tmp_path, "-m", *SMALL, "seed=0,1")
    assert code == 1
    assert err.strip().splitlines()[-1].startswith("error: The folder ")
    assert err.strip().endswith("cannot be made: Not a directory.")


def test_a_wrong_value_stops_the_sweep_before_it_starts(tmp_path):
    code, _, err = shell(tmp_path, "-m", *SMALL, "noising=random,consistant")
    assert code == 1
    assert "did you mean consistent?" in err
    assert not (tmp_path / "multirun").exists()


def test_a_launcher_without_its_package_names_it(tmp_path):
    target = {"_target_": "hydra_plugins.hydra_absent_launcher.Absent"}
    hydra = {"launcher": target, "runtime": {"choices": {"hydra/launcher": "absent"}}}
    with pytest.raises(
        GsdError, match=r"hydra/launcher=absent needs hydra-absent-launcher: pip install -e '\.\[cluster\]'"
    ):
        _require_plugin(OmegaConf.create({"hydra": hydra}))
    hidden = f"""
import runpy, sys
sys.modules["hydra_plugins.hydra_submitit_launcher"] = None
sys.argv = ["run.py", "-m", "seed=0,1", "hydra/launcher=slurm"]
runpy.run_path("{ROOT / "run.py"}", run_name="__main__")
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    call = [sys.executable, "-W", "ignore", "-c", hidden]
    done = subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    said = "hydra/launcher=slurm needs hydra-submitit-launcher: pip install -e '.[cluster]' in a checkout."
    assert done.stderr == f"error: {said}\n"


def test_slurm_is_missed_in_one_sentence(tmp_path, monkeypatch):
    pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="pip install -e '.[cluster]'")
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _, err = shell(tmp_path, "-m", *SMALL, "seed=0,1", "hydra/launcher=slurm")
    assert code == 1
    assert err.startswith("error: There is no Slurm here (no sbatch)")


@pytest.mark.parametrize("launcher", ["slurm", "joblib", "ray"])
def test_launchers_are_composed(launcher):
    if launcher == "slurm":
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher", reason="pip install -e '.[cluster]'")
    register()
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        launcher = hydra.compose("config", [f"hydra/launcher={launcher}"], return_hydra_config=True).hydra.launcher
    assert OmegaConf.to_container(launcher)["_target_"].startswith("hydra_plugins.")


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        (["noising=random,consistent", "loss=none,consistency", "seed=0,1"], "noising_loss"),
        (["noising=random,consistent", "seed=range(3)", "steps=50"], "noising"),
        (["prompt='an owl','a corgi'", "prior.view_bias=choice(0,4)"], "prompt_prior.view_bias"),
        (["guidance.guidance_scale=interval(1,20)", "name=scale"], "scale"),
        (["experiment=sds,paper"], "experiment"),
        (["experiment=ablation", "seed=0,1"], "ablation"),
        (["seed=0,1", "prompt='An owl/a cat'"], "an_owl_a_cat"),
        (["experiment=[ablation,paper]"], "noising_loss"),
        ([f"+prior.{letter * 20}=1,2" for letter in "abc"], f"prior.{'a' * 20}_prior.{'b' * 20}_prior"),
    ],
)
def test_a_sweep_is_named_by_what_it_sweeps(typed, name):
    register()
    with hydra.initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration("config", typed, RunMode.MULTIRUN)
    assert config.hydra.sweep.dir == f"multirun/{name}"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["seed=range(3,3)"], "seed=range(3,3) has no values, so there would be no run."),
        (["seed=range(4,1)", "noising=random,consistent"], "seed=range(4,1) has no values"),
        (["seed=range(1,9,0)"], "has no values"),
        (["seed=range(2000000000)"], "and may have 100000; leave some values out."),
        (["seed=range(1000)", "steps=range(1,1001)"], "This sweep has 1000000 runs"),
        (["guidance.guidance_scale=interval(1,9)"], "is for sweepers that choose values"),
    ],
)
def test_a_sweep_over_nothing_or_too_much_is_refused_before_it_is_listed(typed, said):
    with pytest.raises(GsdError, match=re.escape(said)):
        _check_size(OverridesParser.create().parse_overrides(typed))


def test_sweeps_of_some_size_are_none_of_that_kind():
    _check_size(OverridesParser.create().parse_overrides(["seed=range(100)", "noising=random,consistent", "steps=5"]))
    _check_size(OverridesParser.create().parse_overrides(["seed=range(9,0,-2)", "sigma.t_min=range(0,0.1,0.02)"]))


def test_a_sweep_that_matches_nothing_is_refused(tmp_path):
    code, _, err = shell(tmp_path, "-m", "seed=glob(*)")
    assert (code, err.strip()) == (1, "error: There is no run in this sweep: what it is over matches nothing.")
    assert not list(tmp_path.glob("multirun/*/*/config.yaml"))


def test_a_preset_that_is_meant_for_a_sweep_says_so_without_m(tmp_path, monkeypatch):
    """One run of it is the one with the values by default."""
    (tmp_path / "mine/experiment").mkdir(parents=True)
    text = "# @package _global_\nhydra:\n  sweeper:\n    params:\n      seed: 1,2\n"
    (tmp_path / "mine/experiment/seeds.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GSD_CONF", "mine")
    code, printed = outcome(main, *SMALL, "steps=1", "metric=none", "experiment=seeds")
    assert (code, "warning: the preset sweeps over seed, which is one run without -m." in printed) == (0, True)
