"""Signals that ask a run to end, held back until a checkpoint is safe."""

from __future__ import annotations

import signal
from types import FrameType
from typing import Any


class Signals:
    """While entered, SIGINT and SIGTERM are noted instead of interrupting a step; a second one interrupts.

    So are signals that whoever runs us has a handler for. submitit, for one, takes SIGUSR2 for "preempted" or "out of
    time", books the job anew and exits; SIGTERM, by which Slurm announces either, it passes over.
    """

    def __init__(self) -> None:
        self.seen: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2):
            if number in (signal.SIGINT, signal.SIGTERM) or callable(signal.getsignal(number)):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, error: object, *rest: object) -> None:
        self._restore()
        if error is None:
            for number in self.seen:  # noted after the last step
                signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number in self.seen:
            self._restore()
            signal.raise_signal(number)
        self.seen.append(number)

    def answer(self, where: str) -> None:
        """Do what was asked for, now that a checkpoint is safe.

        Raises SystemExit(128 + signal) where nobody else has a handler. One that returns lets the run go on.
        """
        while self.seen:
            number = self.seen[0]
            handler = self._before[number]
            print(f"{signal.Signals(number).name}: checkpoint at {where}; the same command continues.", flush=True)
            if not callable(handler) or handler is signal.default_int_handler:
                raise SystemExit(128 + number)
            handler(number, None)
            self.seen.remove(number)
