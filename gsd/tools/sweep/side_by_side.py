"""hydra/launcher=joblib: runs side by side on this machine, each in a process of its own.

A pool of workers, as joblib has, gives up on all runs where one worker is killed, and leaves idle ones behind where the
sweep is. Here each run is a fork of a server that has imported what a run needs; a run that dies concerns no other, and
one whose sweep has died stops at a checkpoint. Of several GPUs each run sees one.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from heapq import heappop, heappush
from multiprocessing.connection import wait
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_joblib_launcher.config import JobLibLauncherConf
from hydra_plugins.hydra_joblib_launcher.joblib_launcher import JoblibLauncher

from gsd.backend.stop import ASKED
from gsd.cli.folders import child_environment
from gsd.errors import GsdError
from gsd.identity import device_kind
from gsd.tools.sweep.death import died

NEEDED = ["gsd.experiment", "gsd.runner.run", "gsd.runner.recorder", "gsd.runner.finish"]  # by every run
AFTER_S = 0.5  # until a signal to both has been noted by a run
PATIENCE_S = 20.0  # for a step and a checkpoint, of a run whose sweep has died


class SideBySide(JoblibLauncher):
    """n_jobs: processes at a time; -1 is one per GPU where the runs use GPUs, else one per core. The other options of
    joblib's launcher mean nothing here."""

    def __init__(self, n_jobs: int = -1, **others: Any) -> None:
        from joblib import cpu_count

        super().__init__(n_jobs=n_jobs, **others)
        idle = [name for name, value in others.items() if value != getattr(JobLibLauncherConf, name, None)]
        if idle:
            raise GsdError(f"hydra.launcher.{idle[0]} has no effect here; hydra/launcher=joblib has n_jobs alone.")
        if n_jobs == 0:
            raise GsdError("hydra.launcher.n_jobs=0: give the number of runs at a time, or -1 for one per core.")
        self.one_per_gpu = n_jobs == -1
        self.at_once = n_jobs if n_jobs > 0 else max(1, cpu_count() + 1 + n_jobs)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        import cloudpickle

        os.environ.update(child_environment())
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(NEEDED)
        state = Singleton.get_state()
        waiting = deque(enumerate(map(list, job_overrides)))
        gpus = self._gpus()
        at_once = len(gpus) if gpus and self.one_per_gpu else self.at_once
        places = list(range(at_once))  # the free ones; a run in place k sees GPU k modulo their number
        running: dict[Any, tuple[int, int, Any]] = {}  # its end of a pipe -> which run, its place, its process
        results: dict[int, JobReturn] = {}
        try:
            while waiting or running:
                while waiting and places:
                    k, overrides = waiting.popleft()
                    place = heappop(places)
                    gpu = gpus[place % len(gpus)] if gpus and not self._chose(overrides) else None
                    call = initial_job_idx + k, overrides, self.hydra_context, self.config, self.task_function, state
                    ours, theirs = context.Pipe(duplex=False)
                    process = context.Process(target=_run, args=(cloudpickle.dumps(call), theirs, gpu))
                    process.start()
                    theirs.close()  # what is left is the run's own end, which closes when it dies
                    running[ours] = k, place, process
                for ended in wait(list(running)):
                    k, place, process = running.pop(ended)
                    heappush(places, place)
                    results[k] = self._result(ended, process, list(job_overrides[k]))
        finally:
            for _, _, process in running.values():
                process.terminate()  # at a checkpoint
            for _, _, process in running.values():
                process.join(PATIENCE_S)
        return [results[k] for k in range(len(job_overrides))]

    def _gpus(self) -> list[str]:
        """What the runs are spread over; none if they compute on the CPU."""
        assert self.config is not None
        if device_kind(self.config.device) != "cuda":
            return []
        from gsd.backend.device import visible_gpus

        return visible_gpus()

    def _chose(self, overrides: list[str]) -> bool:
        """Whether a run names its GPU, as device=cuda:1, and so must see them all."""
        assert self.config is not None
        said = [override.partition("=")[2] for override in overrides if override.startswith("device=")]
        return ":" in (said or [self.config.device])[-1]

    def _result(self, ours: Any, process: Any, overrides: list[str]) -> JobReturn:
        import cloudpickle

        with ours:
            try:
                return cloudpickle.loads(ours.recv_bytes())
            except EOFError:
                process.join()
        code = process.exitcode
        if code in (0, 128 + signal.SIGINT, 128 + signal.SIGTERM, 128 + signal.SIGHUP, -signal.SIGTERM):
            stopped = GsdError("The run was stopped.")  # at a checkpoint, or before it had one: no fault of its own
            return JobReturn(overrides=overrides, _return_value=stopped, status=JobStatus.FAILED)
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        advice = " (by the system for want of memory, or by hand)" if code == -signal.SIGKILL else ""
        return died(self, overrides, GsdError(f"The process of the run, pid {process.pid}, {how}{advice}."))


def _run(call: bytes, theirs: Any, gpu: str | None) -> None:
    """One run, in its own process, which sees one GPU or all."""
    import cloudpickle
    from hydra_plugins.hydra_joblib_launcher._core import execute_job

    threading.Thread(target=_watch, args=(multiprocessing.parent_process(),), daemon=True).start()
    if gpu is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # CUDA, which nobody has asked yet in this process, reads it once
    result = execute_job(*cloudpickle.loads(call))
    theirs.send_bytes(cloudpickle.dumps(result))


def _watch(sweep: Any) -> None:
    """Stop at a checkpoint when the sweep has died; a run that does not is killed."""
    wait([sweep.sentinel])
    time.sleep(AFTER_S)
    if not ASKED.is_set():
        os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE_S)
    os.kill(os.getpid(), signal.SIGKILL)
