"""What a run writes while it optimises: metrics.jsonl, checkpoints, strips of pictures and histograms.jsonl."""

from __future__ import annotations

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.experiment import Experiment
from gsd.protocols import Learns
from gsd.results.folder import RunFolder
from gsd.results.reading import there
from gsd.runner.pictures import step_strip
from gsd.runner.sharing import Sharing
from gsd.runner.watch import Clock, Watcher
from gsd.types import Score, StepState

SIGMAS, BINS = 5.0, 50  # of the noise's histogram, from -SIGMAS to SIGMAS
LEAST_RMS = 1e-12  # of a difference of predictions
FLUSH_EVERY = 25  # steps between writes: numbers stay on the device until then, so that no step waits for them


class Recorder(Watcher):
    """Writes the states of a run into its folder, and takes the run up from there."""

    def __init__(self, experiment: Experiment, folder: RunFolder) -> None:
        self.experiment, self.folder, self.clock = experiment, folder, Clock()
        parts = {name: getattr(experiment, name) for name in ("representation", "guidance", "shares")}
        self.learning: dict[str, Learns] = {name: part for name, part in parts.items() if isinstance(part, Learns)}
        self.sharing = Sharing(experiment)
        self.pending: list[dict[str, Any]] = []
        self.steps_taken, self.prior_calls = 0, 0

    def __enter__(self) -> Recorder:
        """Restore the last checkpoint, if there is one."""
        state = self.folder.load_checkpoint()
        if state:
            with self.folder.restoring():
                self.steps_taken, self.prior_calls, seconds = state["step"], state["prior_calls"], state["seconds"]
                for name, part in self.learning.items():
                    part.restore(state[name])
        self.clock.set(seconds if state else 0.0)
        return self

    @property
    def totals(self) -> dict[str, Any]:
        return {"seconds": self.clock.seconds, "prior_calls": self.prior_calls}

    def step(self, state: StepState) -> None:
        self.steps_taken = state.step + 1
        self.prior_calls += state.score.prior_calls
        self.pending.append(self._measure(state))
        if self.wants_checkpoint or len(self.pending) == FLUSH_EVERY:
            self.flush()
        every = self.experiment.images_every
        if every and (self._at_end or state.step % every == 0):
            self.folder.write(f"strips/{state.step:06d}.png", step_strip(state))
            self.folder.append([{"step": state.step, "noise": _histogram(state.noise)}], "histograms.jsonl")

    @property
    def wants_checkpoint(self) -> bool:
        return self._at_end or self.steps_taken % self.experiment.checkpoint_every == 0

    def checkpoint(self) -> None:
        self.flush()
        parts = {name: part.state() for name, part in self.learning.items()}
        self.folder.save_checkpoint({"step": self.steps_taken, **self.totals, **parts})

    @property
    def _at_end(self) -> bool:
        return self.steps_taken == self.experiment.steps

    def flush(self) -> None:
        """Write the pending records. Raises GsdError where a number is not finite, and so before a checkpoint of it."""
        records = [_plain(r) for r in self.pending]
        self.pending = []
        for record in records:
            bad = [name for name, value in record.items() if not math.isfinite(value)]
            if bad:
                kept = f"The last good checkpoint is kept in {self.folder.path}; "
                raise GsdError(
                    f"Step {record['step']}: {bad[0]} is not finite (also {', '.join(bad[1:]) or 'nothing else'}). "
                    f"{kept if there(self.folder / 'checkpoint.pt') else 'There is no checkpoint yet; '}"
                    "lower the learning rates or the loss weights, or try another seed."
                )
        self.folder.append(records)

    def _measure(self, state: StepState) -> dict[str, Any]:
        """In the order in which a step computes them, so that the first one not finite names the culprit."""
        return {
            "step": state.step,
            "prior_calls": self.prior_calls,
            "seconds": self.clock.seconds,
            "sigma": state.sigma[0],
            "render/alpha": state.render.alpha.detach().mean(),
            "render/rgb": state.render.rgb.detach().mean(),
            "noise/std": state.noise.std(),
            **self.sharing(state),
            "score/gradient_rms": _rms(state.score.gradient),
            **_view_direction(state.score),
            **{f"loss/{name}": term.detach() for name, term in state.terms.items()},
            **{f"loss/{name}/share": share for name, share in state.shares.items()},
            **{name: value for part in self.learning.values() for name, value in part.vitals().items()},
        }


def _rms(x: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    return x.square().mean().sqrt()


def _view_direction(score: Score) -> dict[str, Tensor]:
    """What view words carry: |eps_text - eps_opposite|, and its ratio to |eps_text - eps_uncond| where it is known."""
    if score.view_delta is None:
        return {}
    found = {"score/view_rms": _rms(score.view_delta)}
    if score.cfg_delta is not None:
        found["score/view_ratio"] = found["score/view_rms"] / _rms(score.cfg_delta).clamp(min=LEAST_RMS)
    return found


def _histogram(noise: Float[Tensor, "V C h w"]) -> list[int]:
    """Counts of all values in equal bins; the outermost also hold what lies beyond."""
    return noise.float().cpu().clamp(-SIGMAS, SIGMAS).histc(BINS, -SIGMAS, SIGMAS).int().tolist()


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    """Tensors to numbers, in one transfer from the device."""
    names = [k for k, v in record.items() if isinstance(v, Tensor)]
    values = torch.stack([record[k].double() for k in names]).tolist()
    return record | dict(zip(names, values, strict=True))
