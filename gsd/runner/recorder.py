"""What a run writes while it optimises: metrics.jsonl, checkpoints, strips of pictures and histograms.jsonl."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.experiment import Experiment
from gsd.results.folder import RunFolder
from gsd.runner.pictures import step_strip
from gsd.types import StepState

SIGMAS, BINS = 5.0, 50  # of the noise's histogram, from -SIGMAS to SIGMAS
FLUSH_EVERY = 25  # steps between writes: numbers stay on the device until then, so that no step waits for them


class Recorder:
    """Consumes the states of a run and can take it up again from its folder.

    on_checkpoint: called after each one, which holds all that the folder has then; its time is not the run's.
    """

    def __init__(
        self, experiment: Experiment, folder: RunFolder, on_checkpoint: Callable[[], None] | None = None
    ) -> None:
        self.experiment, self.folder, self.on_checkpoint = experiment, folder, on_checkpoint
        self.pending: list[dict[str, Any]] = []
        self.step, self.prior_calls, seconds = 0, 0, 0.0
        state = folder.load_checkpoint()
        if state:
            self.step, self.prior_calls, seconds = state["step"], state["prior_calls"], state["seconds"]
            for name, part in self._parts().items():
                part.restore(state[name])
        self.began = time.perf_counter() - seconds

    @property
    def totals(self) -> dict[str, Any]:
        return {"seconds": time.perf_counter() - self.began, "prior_calls": self.prior_calls}

    def leave_out(self, seconds: float) -> None:
        """Time that is not the run's own."""
        self.began += seconds

    def add(self, state: StepState) -> None:
        self.step = state.step + 1
        self.prior_calls += state.score.prior_calls
        self.pending.append(self._measure(state))
        last = self.step == self.experiment.steps
        due = self.step % self.experiment.checkpoint_every == 0
        if last or due or len(self.pending) == FLUSH_EVERY:
            self.flush()
        every = self.experiment.images_every
        if every and (last or state.step % every == 0):
            self.folder.write(f"strips/{state.step:06d}.png", step_strip(state, self.experiment.prior))
            self.folder.append([{"step": state.step, "noise": _histogram(state.noise)}], "histograms.jsonl")
        if last or due:
            self.checkpoint()

    def flush(self) -> None:
        """Write the pending records; a number that is not finite stops the run before the next checkpoint."""
        records = [_plain(r) for r in self.pending]
        self.pending = []
        for record in records:
            bad = [name for name, value in record.items() if not math.isfinite(value)]
            if bad:
                raise GsdError(
                    f"Step {record['step']}: {bad[0]} is not finite (also {', '.join(bad[1:]) or 'nothing else'}). "
                    f"The last good checkpoint is kept in {self.folder.path}; "
                    "lower the learning rates or the loss weights, or try another seed."
                )
        self.folder.append(records)

    def checkpoint(self) -> None:
        self.flush()
        parts = {name: part.state() for name, part in self._parts().items()}
        self.folder.save_checkpoint({"step": self.step, **self.totals, **parts})
        if self.on_checkpoint is not None:
            began = time.perf_counter()
            self.on_checkpoint()
            self.leave_out(time.perf_counter() - began)

    def _parts(self) -> dict[str, Any]:
        """What learns: the representation, and a guidance with parameters of its own."""
        parts = {"representation": self.experiment.representation, "guidance": self.experiment.guidance}
        return {name: part for name, part in parts.items() if hasattr(part, "state")}

    def _measure(self, state: StepState) -> dict[str, Any]:
        """In the order in which a step computes them, so that the first one not finite names the culprit."""
        return {
            "step": state.step,
            "prior_calls": self.prior_calls,
            "seconds": time.perf_counter() - self.began,
            "sigma": state.sigma[0],
            "render/alpha": state.render.alpha.detach().mean(),
            "render/rgb": state.render.rgb.detach().mean(),
            "noise/std": state.noise.std(),
            "score/gradient_rms": _rms(state.score.gradient),
            **{f"loss/{name}": term.detach() for name, term in state.terms.items()},
            **{name: value for part in self._parts().values() for name, value in part.vitals().items()},
        }


def _rms(x: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    return x.square().mean().sqrt()


def _histogram(noise: Float[Tensor, "V C h w"]) -> list[int]:
    """Counts of all values in equal bins; the outermost also hold what lies beyond."""
    return noise.float().cpu().clamp(-SIGMAS, SIGMAS).histc(BINS, -SIGMAS, SIGMAS).int().tolist()


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Tensors to numbers, in one transfer from the device."""
    names = [k for k, v in record.items() if isinstance(v, Tensor)]
    values = torch.stack([record[k].double() for k in names]).tolist()
    return record | dict(zip(names, values, strict=True))
