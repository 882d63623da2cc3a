"""Another person's sweep: its record sets runs and sizes, and neither starts programs nor stops anybody's."""

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest
from made_sweep import run, sweep

from gsd.errors import GsdError
from gsd.results.folder import RunFolder
from gsd.results.sweep_folder import SweepFolder
from gsd.tools.sweep import control
from gsd.tools.sweep.trust import harmless


@pytest.mark.parametrize(
    "override",
    [
        *("noising=random,consistent", "seed=range(5)", "prompt='an owl, looking up'", "loss=[consistency,opaque]"),
        *("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.launcher.partition=gpu", "~loss.consistency"),
        *("experiment=part/threefuse", "init.path=../owl.ply", "+loss.opaque.weight=0.1", "experiment=glob(*)"),
        *("hydra.sweeper.params.seed='0,1'", "hydra.mode=MULTIRUN", "hydra.launcher.ray.remote.num_gpus=0.5"),
    ],
)
def test_settings_and_sizes_are_repeated(override):
    assert harmless(override)


@pytest.mark.parametrize(
    "override",
    [
        *("hydra/launcher=mine", "hydra.launcher._target_=os.system", "noising._target_=subprocess.run", "-c", "--cfg"),
        *("--config-dir=/evil", "hydra.searchpath=[file:///evil]", "hydra.launcher.setup=['touch x']", "--info"),
        *("prompt=${oc.env:HOME}", "+loss.x={_target_: os.system}", "hydra.job.env_set.LD_PRELOAD=x.so", "hydra/x=y"),
        *("experiment=../../evil", "hydra.sweep.dir=/tmp/x", "hydra.sweep.subdir=../x", "hydra.run.dir=/tmp/x"),
        *("hydra.callbacks.x=1", "~hydra.callbacks", "hydra.launcher.partition='a b'", "hydra.launcher.temp_folder=/x"),
        *("plain@hydra.callbacks.x=1", "prompting@hydra.callbacks.x=plain", "name='a\nb'", "hydra.output_subdir=x"),
        *("hydra.sweeper.params.experiment='../x'", "hydra.sweeper.storage=sqlite:////x", "hydra/job_logging=x"),
        *("hydra.launcher.ray.init.address=evil:6379", "hydra.launcher.additional_parameters.wrap=x", "[", ""),
    ],
)
def test_what_could_run_code_or_leave_the_folder_is_not(override):
    assert not harmless(override)


def foreign(folder, **changes):
    """A folder with a run that is missing, and a record that somebody has written."""
    folder.mkdir()
    record = asdict(sweep({"00000000": ["seed=0"]})) | changes
    (folder / "sweep.json").write_text(json.dumps([{k: v for k, v in record.items() if v is not None}]))
    return SweepFolder(folder)


def test_a_retry_starts_gsd_with_overrides_alone(tmp_path, monkeypatch):
    """Also of a folder from before, which has a whole command."""
    calls = []
    monkeypatch.setattr(
        subprocess, "run", lambda *args, **kwargs: (calls.append((args, kwargs)), subprocess.CompletedProcess([], 3))[1]
    )
    command = ["/evil/run.py", "-m", "seed=0,1", "noising=random", "hydra.sweep.dir=/evil"]
    old = foreign(tmp_path / "old", command=command, overrides=None, cwd="/evil")
    assert control.retry(old, ["threads=1"]) == 3
    ((args,), options) = calls.pop()
    into = f'hydra.sweep.dir="{tmp_path}/old"'
    assert args == [sys.executable, "-m", "gsd", "-m", "seed=0,1", "noising=random", "threads=1", into]
    assert "cwd" not in options
    assert "shell" not in options
    for k, changes in enumerate(
        (
            {"overrides": ["seed=0", "hydra.launcher._target_=os.system"]},
            {"folders": ["/evil"]},
            {"command": ["-c", "x=1; import os", "--config-dir=/evil"], "overrides": None},
        )
    ):
        with pytest.raises(GsdError, match="if you trust it") as refused:
            control.retry(foreign(tmp_path / str(k), **changes), [])
        assert "\n" not in str(refused.value)
    assert calls == []
    mine = foreign(tmp_path / "mine", overrides=["seed=0,1", "hydra.launcher.setup=['module load cuda']"])
    assert control.retry(mine, ["hydra.launcher.setup=['module load cuda']"]) == 3  # typed again


@pytest.mark.parametrize("overrides", [["seed=0", 1], [None], [["seed=0"]]])
def test_a_record_of_other_types_is_damaged(tmp_path, overrides):
    with pytest.raises(GsdError, match=r"sweep\.json is damaged"):
        control.retry(foreign(tmp_path / "sweep", overrides=overrides), [])


@pytest.fixture
def bystander():
    """A process that has nothing to do with any sweep."""
    process = subprocess.Popen([sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"], stdout=-1)
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()


def test_only_who_holds_the_lock_is_told_to_stop(tmp_path, bystander):
    folder = foreign(tmp_path / "sweep")
    run(folder.path / "00000000", "random", 0, "")
    with RunFolder(folder.path / "00000000").lock():
        lock = folder.path / "00000000/.lock"
        mine = json.loads(lock.read_text())
        for pid in (bystander.pid, 1, 0, -1, "1", None, 10**9):
            lock.write_text(json.dumps(mine | {"pid": pid}))
            (said,) = control.cancel(folder)
            assert any(words in said for words in ("is not the process that works", "has ended", "not on this machine"))
        assert control._holds(os.getpid(), lock)
    assert bystander.poll() is None


def test_a_job_of_another_sweep_is_not_cancelled(tmp_path, monkeypatch):
    """Slurm's commands are files that tell what they were called with: of two jobs one was submitted from here."""
    folder = foreign(tmp_path / "sweep")
    for job in ("7", "12"):
        (folder.path / ".submitit" / job).mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    own = folder.path / ".submitit/.submission_file_x.sh"
    commands = {
        "squeue": f'case "$*" in *%o*) echo "7 /other/.submitit/x.sh"; echo "12_0 {own}";; '
        '*) echo "7 RUNNING"; echo "12_0 RUNNING";; esac',
        "scancel": f'echo "$@" >> {tmp_path}/cancelled',
    }
    for name, text in commands.items():
        (tmp_path / "bin" / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    assert control.cancel(folder) == ["Slurm: 1 jobs cancelled"]
    assert (tmp_path / "cancelled").read_text() == "12_0\n"
