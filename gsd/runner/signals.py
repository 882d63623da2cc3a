"""Signals that ask a run to end, held back until a checkpoint is safe."""

from __future__ import annotations

import signal
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from gsd.backend.stop import ASKED
from gsd.runner.watch import Watcher
from gsd.types import StepState

ALWAYS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Signals(Watcher):
    """Until the last step, SIGINT, SIGTERM and SIGHUP are noted instead of interrupting a step; a second interrupts.

    SIGHUP, of a terminal that was closed, stays ignored where nohup has it so.

    So are signals that whoever runs us has a handler for. submitit, for one, takes SIGUSR2 for "preempted" or "out of
    time", books the job anew and exits; SIGTERM, by which Slurm announces either, it passes over. Only a program's main
    thread can handle signals: in another one a run leaves them alone.
    """

    def __init__(self, steps: int, path: Path) -> None:
        self.steps, self.path, self.taken = steps, path, 0
        self.seen: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (*ALWAYS, signal.SIGUSR1, signal.SIGUSR2):
                present = signal.getsignal(number)
                ignored = number == signal.SIGHUP and present is signal.SIG_IGN
                if (number in ALWAYS and not ignored) or callable(present):
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        self._restore()

    def step(self, state: StepState) -> None:
        self.taken = state.step + 1

    @property
    def wants_checkpoint(self) -> bool:
        return bool(self.seen)

    def checkpoint(self) -> None:
        """Do what was asked for, now that a checkpoint is safe.

        Raises SystemExit(128 + signal) where nobody else has a handler. One that returns lets the run go on.
        """
        while self.seen:
            number = self.seen[0]
            handler = self._before[number]
            where = f"step {self.taken} of {self.steps}, {self.path}"
            with suppress(OSError):  # the terminal may be closed
                print(f"{signal.Signals(number).name}: checkpoint at {where}; the same command continues.", flush=True)
            if not callable(handler) or handler is signal.default_int_handler:
                raise SystemExit(128 + number)
            handler(number, None)
            self.seen.remove(number)

    def end(self) -> None:
        """The last checkpoint is safe: what has come since it, and what comes from now on, interrupts at once."""
        self._restore()
        for number in self.seen:
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number in self.seen:
            self._restore()
            signal.raise_signal(number)
        self.seen.append(number)
        ASKED.set()
