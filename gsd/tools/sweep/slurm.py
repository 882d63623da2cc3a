"""hydra/launcher=slurm: submitit's launcher, for arrays of any length and clusters that keep no accounts."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus
from hydra_plugins.hydra_submitit_launcher.config import BaseQueueConf
from hydra_plugins.hydra_submitit_launcher.submitit_launcher import BaseSubmititLauncher

from gsd.cli.folders import child_environment
from gsd.errors import GsdError, reason
from gsd.tools.sweep.death import died
from gsd.tools.sweep.queue import ENDED, max_array_size, require_slurm, wait

STOPPED = frozenset({"CANCELLED", "PREEMPTED", "COMPLETED"})  # no fault of the run
ADVICE = {
    "OUT_OF_MEMORY": "raise hydra.launcher.mem_gb",
    "TIMEOUT": "raise hydra.launcher.timeout_min or max_num_timeout",
}
GRACE_S = 10  # until the results of jobs that have left the queue are seen on a shared file system


class SlurmLauncher(BaseSubmititLauncher):
    """Arrays as long as the cluster takes them. Waits for all jobs, then says of each that died without a word why.

    submitit's own waiting ends at the first job that dies, and learns of deaths from accounting only, which not every
    cluster has; here the queue itself is asked.
    """

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        require_slurm()
        # Jobs import the code that launches them, also where another copy is installed
        os.environ.update(child_environment())
        # Of a sweep that itself runs in a job, they must not take the sizes for their own
        for name in [n for n in os.environ if n.startswith("SLURM_") and n != "SLURM_CONF"]:
            del os.environ[name]
        state = Singleton.get_state()
        calls = [
            (list(overrides), "hydra.sweep.dir", initial_job_idx + k, f"job_id_for_{initial_job_idx + k}", state)
            for k, overrides in enumerate(job_overrides)
        ]
        jobs = self._submit(calls)
        states = wait({job.job_id for job in jobs})
        end = time.monotonic() + GRACE_S
        owing = [job for job in jobs if states.get(job.job_id) in ("COMPLETED", "FAILED")]
        while not all(job.paths.result_pickle.exists() for job in owing) and time.monotonic() < end:
            time.sleep(0.5)
        return [self._result(job, call[0], states) for job, call in zip(jobs, calls, strict=False)]

    def _submit(self, calls: list[tuple[Any, ...]]) -> list[Any]:
        """One array after the other. Where the cluster takes no more, the jobs that it has taken."""
        import submitit

        params = dict(self.params)
        folder, retries = params.pop("submitit_folder"), params.pop("max_num_timeout")
        executor = submitit.AutoExecutor(folder=folder, cluster="slurm", slurm_max_num_timeout=retries)
        length = max_array_size()
        chunks = [calls[k : k + length] for k in range(0, len(calls), length)]
        params["array_parallelism"] = max(1, params["array_parallelism"] // len(chunks))
        shared = BaseQueueConf.__dataclass_fields__
        executor.update_parameters(**{k if k in shared else f"slurm_{k}": v for k, v in params.items()})
        jobs: list[Any] = []
        for chunk in chunks:
            try:
                jobs += executor.map_array(self, *zip(*chunk, strict=True))
            except submitit.core.utils.FailedJobError as error:
                sentence = f"sbatch refused {len(calls) - len(jobs)} of {len(calls)} runs: {reason(error)}."
                if not jobs:
                    raise GsdError(sentence) from error
                print(sentence, file=sys.stderr)
                break
        ids = dict.fromkeys(job.job_id.split("_")[0] for job in jobs)
        print(f"Slurm took {len(jobs)} runs (jobs {', '.join(ids)}); they go on if this process ends.", flush=True)
        return jobs

    def _result(self, job: Any, overrides: list[str], states: dict[str, str]) -> JobReturn:
        if job.paths.result_pickle.exists():
            try:
                return job.result()
            except Exception as error:
                return JobReturn(overrides=overrides, _return_value=error, status=JobStatus.FAILED)
        state = states.get(job.job_id, "")
        how = f"ended as {state}" if state in ENDED else "is gone"
        advice = f"; {ADVICE[state]}" if state in ADVICE else ""
        death = GsdError(f"Slurm job {job.job_id} {how} without a result{advice}. Log: {job.paths.stderr}")
        if state not in STOPPED:
            return died(self, overrides, death)
        return JobReturn(overrides=overrides, _return_value=death, status=JobStatus.FAILED)
