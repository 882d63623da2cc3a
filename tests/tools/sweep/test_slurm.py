"""A real Slurm, and what happens to jobs: killed, preempted, out of time, on a node that dies, cancelled, refused."""

import json
import os
import re
import signal
import time

import pytest
from cluster import HIGH, MAX_ARRAY
from launch import SMALL, same, shell, start

from gsd.config import register
from gsd.tools.sweep.clock import Clock
from gsd.tools.sweep.schedule import Schedule
from gsd.tools.sweep.slurm import SlurmLauncher

SLURM = ("hydra/launcher=slurm", "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1")
PATIENCE_S = 180


def until(holds, what):
    end = time.monotonic() + PATIENCE_S
    while not (found := holds()):
        assert time.monotonic() < end, what() if callable(what) else what
        time.sleep(0.02)
    return found


class Faults:
    """Catches runs of a sweep in the middle, and stops their clocks until what is to happen to them has happened."""

    def __init__(self, sweep, process, cluster):
        self.sweep, self.process, self.cluster, self.caught = sweep, process, cluster, set()

    def catch(self):
        """Folder, pid and job of a run that has a checkpoint and is stopped (SIGSTOP) before its end."""
        return until(self._catch, self.cluster.logs)

    def _catch(self):
        assert self.process.poll() is None, self.process.communicate()
        for checkpoint in self.sweep.glob("*/checkpoint.pt"):
            folder = checkpoint.parent
            begun = checkpoint.stat().st_mtime > (folder / ".lock").stat().st_mtime  # not of a life before
            if not begun or folder in self.caught or (folder / "DONE").exists():
                continue
            try:
                holder = json.loads((folder / ".lock").read_text())
                os.kill(holder["pid"], signal.SIGSTOP)
            except (ValueError, ProcessLookupError):
                continue
            if (folder / "DONE").exists():
                os.kill(holder["pid"], signal.SIGCONT)
                continue
            self.caught.add(folder)
            return folder, holder["pid"], holder["job"]
        return None

    def pids(self):
        """Of all who run or ran."""
        return [json.loads(lock.read_text() or '{"pid": 0}')["pid"] for lock in self.sweep.glob("*/.lock")]

    def log(self, job):
        return (self.sweep / f".submitit/{job}/{job}_0_log.out").read_text()


def gone(pid):
    """Whether the process has ended; its parent may be slow to notice."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        return True


@pytest.mark.slow
@pytest.mark.clock
def test_eight_runs_through_four_faults_end_as_the_serial_ones(tmp_path, cluster):
    """Two arrays, since the cluster takes no more than five jobs in one. Slurm counts time limits in minutes."""
    arguments = ["-m", *SMALL, "steps=400", "noising=random,consistent", "seed=range(4)"]
    limits = ("hydra.launcher.timeout_min=1", "hydra.launcher.signal_delay_s=15")  # a busy machine is slow to answer
    process = start(tmp_path, *arguments, *SLURM, *limits)
    sweep = tmp_path / "multirun/noising"
    faults = Faults(sweep, process, cluster)

    _, pid, preempted = faults.catch()
    cluster.command("sbatch", "-p", HIGH, "-n", "2", "--job-name=other", "--output=/dev/null", "--wrap", "true")
    until(lambda: gone(pid), "the preemption")
    until(lambda: not cluster.command("squeue", "-h", "-n", "other"), "the end of the other job")

    _, _, of_dead_node = faults.catch()
    cluster.node("down")
    until(lambda: all(gone(pid) for pid in faults.pids()), "the death of the node")
    cluster.node("resume")

    killed, pid, killed_job = faults.catch()
    os.kill(pid, signal.SIGKILL)

    _, pid, timed_out = faults.catch()
    (tmp_path / "serial").mkdir()
    serial = start(tmp_path / "serial", *arguments)
    until(lambda: gone(pid), "the time limit")

    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, err
    assert re.search(r"Slurm took 8 runs \(jobs \d+, \d+\)", out)
    assert "multirun/noising: 8 runs: 7 done, 1 failed. The same command runs what is missing." in out.splitlines()[-1]
    assert f"Slurm job {killed_job} ended as FAILED without a result" in (killed / "FAILED").read_text()
    for job in (preempted, timed_out, of_dead_node):
        assert int(re.search(r"Restarts=(\d+)", cluster.command("scontrol", "show", "job", job))[1]) >= 1
    for job in (preempted, timed_out):
        assert re.search(r"SIGUSR2: checkpoint at step \d+ of 400", faults.log(job))
    assert re.search(r"SIGTERM: checkpoint at step \d+ of 400", faults.log(of_dead_node))

    code, out, err = shell(tmp_path, "sweep", "retry", "multirun/noising")
    assert code == 0, err
    assert "8 runs: 7 done, 1 failed; 1 to do." in out
    assert out.endswith("8 runs: 8 done.\n")

    out, err = serial.communicate(timeout=PATIENCE_S)
    assert serial.returncode == 0, err
    folders = sorted(path.parent for path in (tmp_path / "serial/multirun/noising").glob("*/DONE"))
    assert len(folders) == 8
    for folder in folders:
        same(folder, sweep / folder.name)


@pytest.mark.slow
@pytest.mark.clock
def test_jobs_outlive_their_sweep_and_cancelled_is_not_failed(tmp_path, cluster):
    sweep, arguments = (
        tmp_path / "multirun/sweep",
        ["-m", *SMALL, "steps=100000", "seed=range(3)", "name=sweep", *SLURM],
    )
    process = start(tmp_path, *arguments)
    until(lambda: list(sweep.glob("*/checkpoint.pt")), "the first run")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130, err
    assert out.endswith("; the same command continues.\n")
    code, out, err = shell(tmp_path, "sweep", "status", "multirun/sweep")
    assert code == 0, err
    assert re.search(r"running +\w+ +\d+/100000 +seed=\d +pid \d+ on .*, Slurm job \d+_\d", out)
    assert re.search(r"3 runs: .*running.*\.\nSlurm: .*running\.\n", out)
    code, _, err = shell(tmp_path, *arguments)
    assert code == 1
    assert re.match(r"error: Slurm: .*running\. An earlier sweep into .* left them; wait", err)
    assert shell(tmp_path, "sweep", "cancel", "multirun/sweep")[1] == "Slurm: 3 jobs cancelled\n"

    until(lambda: not cluster.command("squeue", "-h"), "the end of the jobs")
    process = start(tmp_path, *arguments)
    until(lambda: list(sweep.glob("*/.lock")) and cluster.command("squeue", "-h", "-t", "running"), "running jobs")
    assert shell(tmp_path, "sweep", "cancel", "multirun/sweep")[1] == "Slurm: 3 jobs cancelled\n"
    out, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1, err
    assert out.endswith("3 runs: 3 pending. The same command runs what is missing.\n")
    assert not list(sweep.glob("*/FAILED"))


def test_what_slurm_refuses_is_said(tmp_path, cluster):
    code, _, err = shell(tmp_path, "-m", *SMALL, "seed=0,1", *SLURM, "hydra.launcher.partition=nowhere")
    assert code == 1
    assert re.search(r"error: sbatch refused 2 of 2 runs: .*invalid partition specified: nowhere", err)


@pytest.mark.slow
@pytest.mark.clock
def test_a_schedule_books_itself_anew(tmp_path, cluster, monkeypatch):
    register()
    monkeypatch.chdir(tmp_path)
    small = (
        *SMALL,
        "steps=1",
        "logger=files",
        "metric=truth",
        "hydra.sweeper.params.noising=random",
        "hydra.sweeper.params.seed='0,1'",
    )
    overrides = ("experiment=nightly_ablation", *small)
    schedule = Schedule(overrides, Clock(begin="now+1"), "slurm", sbatch=["--mem=1000", "--time=5"])
    schedule.write()
    assert schedule.install().startswith("Submitted batch job")
    schedule = Schedule(overrides, Clock(begin="now+1hour"), "slurm")
    schedule.write()  # for the next tick
    until(lambda: schedule.log.exists() and "4 runs: 4 done" in schedule.log.read_text(), "a tick")
    booked = cluster.command("squeue", "-h", "-n", schedule.name, "-t", "pending", "-o", "%r").split()
    assert booked in (["BeginTime"], ["Dependency"])
    code, _, err = shell(tmp_path, "sweep", "schedule", *overrides, "--begin", "02:00", "--install")
    assert code == 1
    assert f"{schedule.name} is booked as job" in err
    cluster.command("scancel", "--me")


@pytest.mark.parametrize("runs", [1, MAX_ARRAY, MAX_ARRAY + 1, 3 * MAX_ARRAY])
def test_arrays_are_as_long_as_the_cluster_takes_them(tmp_path, cluster, runs):
    parameters = {"submitit_folder": str(tmp_path / "%j"), "max_num_timeout": 0, "timeout_min": 5, "name": "test"}
    waiting = {"additional_parameters": {"begin": "now+1hour"}, "array_parallelism": 6}
    launcher = SlurmLauncher(**parameters, **waiting)
    jobs = launcher._submit([([], "", k, "", {}) for k in range(runs)])
    assert len(jobs) == runs
    arrays = sorted({job.job_id.split("_")[0] for job in jobs}, key=int)
    assert len(arrays) == -(-runs // MAX_ARRAY)
    told = [cluster.command("scontrol", "show", "job", array) for array in arrays]
    throttles = [int(n) for text in told for n in re.findall(r"ArrayTaskThrottle=(\d+)", text)]
    # Six at a time in all; Slurm calls one job no array
    assert set(throttles) <= {min(6 // len(arrays), MAX_ARRAY)}
    cluster.command("scancel", *arrays)
