"""What the trainings of the small models share: options, a loop that can be stopped, its learning curve, the result."""

from __future__ import annotations

import argparse
import copy
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor, nn

from gsd.backend.torchvision_mend import mend_torchvision

CHECKPOINT_SECONDS, LOG_STEPS = 180.0, 25
WARM_UP, DECAY = 300, 0.3  # steps of rising, last part of falling learning rate
AVERAGING = 0.9995


def options(doc: str | None, name: str, to: Path) -> argparse.ArgumentParser:
    """The options that every training has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    out = Path("outputs") / f"tiny_{name}"
    parser.add_argument("--out", type=Path, default=out, help=f"checkpoints, cached data and learning curve ({out})")
    parser.add_argument("--to", type=Path, default=to, help="folder of the finished model")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--export", action="store_true", help="only write the model as it is now to --to")
    parser.add_argument("--evaluate", action="store_true", help="only judge the model in --to")
    return parser


def begin(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the options and prepare the process for them."""
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)  # the weights with which a training begins
    mend_torchvision()
    args.out.mkdir(parents=True, exist_ok=True)
    return args


class Training:
    """A model, its moving average and its optimiser; `advance` continues from the last checkpoint."""

    def __init__(
        self, name: str, model: nn.Module, steps: int, rate: float, folder: Path, averaging: float = AVERAGING
    ) -> None:
        self.name, self.model, self.steps, self.rate, self.folder = name, model, steps, rate, folder
        self.averaging = averaging
        self.average = copy.deepcopy(model).requires_grad_(False)
        self.optimiser = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=0.01)
        self.step = 0
        self.file = folder / f"{name}.pt"
        if self.file.exists():
            state = torch.load(self.file, weights_only=True)
            self.step = state["step"]
            for part in ("model", "average", "optimiser"):
                getattr(self, part).load_state_dict(state[part])

    def advance(self, loss: Callable[[int], Float[Tensor, ""]]) -> None:
        """Train up to self.steps, or up to a signal, which ends the process at a checkpoint."""
        saved = began = time.monotonic()
        first, recent = self.step, []
        with _polite_end() as asked_to_stop:
            while self.step < self.steps:
                recent.append(self._update(loss(self.step)))
                if self.step % LOG_STEPS == 0:
                    speed = (self.step - first) / (time.monotonic() - began)
                    self._log(float(torch.stack(recent).mean()), speed)
                    recent = []
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self.save()
                    saved = time.monotonic()
                if asked_to_stop():
                    self.save()
                    raise SystemExit(f"stopped at step {self.step} of {self.name}; the same command continues")
        self.save()

    def _update(self, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * _rate(self.step, self.steps)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        keep = min(self.averaging, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.parameters(), self.model.parameters(), strict=True):
                mean.lerp_(value, 1 - keep)
            for kept, current in zip(self.average.buffers(), self.model.buffers(), strict=True):
                kept.copy_(current)  # statistics of a batch norm are averages already
        return loss.detach()

    def _log(self, loss: float, speed: float) -> None:
        line = {"stage": self.name, "step": self.step, "loss": loss, "steps_per_s": round(speed, 3)}
        with (self.folder / "curve.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")
        progress = f"{self.name} {self.step}/{self.steps} loss {loss:.5f} {speed:.2f} steps/s"
        print(time.strftime("%H:%M:%S"), progress, flush=True)

    def save(self) -> None:
        state = {part: getattr(self, part).state_dict() for part in ("model", "average", "optimiser")}
        write(self.file, {"step": self.step, **state})


def _rate(step: int, steps: int) -> float:
    """The learning rate's factor: a short rise, then constant, then falling to 0 over the last part."""
    return min(1.0, (step + 1) / WARM_UP, max(0.0, (steps - step) / (DECAY * steps)))


def write(file: Path, content: Any) -> None:
    """Atomically: a process that is killed leaves the previous file."""
    torch.save(content, file.with_suffix(".partial"))
    os.replace(file.with_suffix(".partial"), file)


@contextmanager
def _polite_end() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM has come."""
    signals: list[int] = []
    before = {s: signal.signal(s, lambda number, _: signals.append(number)) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: bool(signals)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ship(model: Any, to: Path) -> None:
    """Save a model or pipeline of diffusers where others can read it too."""
    model.save_pretrained(to)
    publish(to)


def publish(to: Path) -> None:
    """Let others read what a folder holds, and say how large it is."""
    files = [file for file in to.rglob("*") if file.is_file()]
    for file in files:
        file.chmod(0o644)  # safetensors writes for the owner alone
    print(f"{to}: {sum(file.stat().st_size for file in files) / 1e6:.1f} MB")


def plot(folder: Path, stages: tuple[str, ...]) -> None:
    """The learning curve: the loss of every stage over the steps, smoothed."""
    lines = [json.loads(line) for line in (folder / "curve.jsonl").read_text().splitlines()]
    figure = Figure(figsize=(5 * len(stages), 4), layout="constrained")
    for axis, stage in zip(figure.subplots(1, len(stages), squeeze=False)[0], stages, strict=True):
        points = {line["step"]: line["loss"] for line in lines if line["stage"] == stage}
        steps, losses = list(points), torch.tensor(list(points.values()))
        width = max(1, len(losses) // 50)
        axis.plot(steps, losses, alpha=0.3)
        if len(losses) > width:
            axis.plot(steps[width - 1 :], losses.unfold(0, width, 1).mean(1))
        axis.set(title=stage, xlabel="step", ylabel="loss", yscale="log")
    figure.savefig(folder / "curve.png", dpi=120)


def report(result: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write what an evaluation has found to result.json, and print it."""
    text = json.dumps(result, indent=1)
    (out / "result.json").write_text(text + "\n")
    print(text)
    return result
