"""The run folder: the one interface between a run and everything that reads it.

    config.yaml  overrides.yaml  choices.yaml  metrics.jsonl  histograms.jsonl  evaluations.jsonl  checkpoint.pt
    summary.json  evaluation.json  DONE | FAILED  and the pictures

Every file but the .jsonl is replaced atomically; those are cut back to the checkpoint when a run resumes.
.lock says who works in the folder, for as long as the kernel holds that process's lock on it.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

from gsd.errors import GsdError


@dataclass(frozen=True)
class Holder:
    """The process that works in a folder."""

    host: str
    pid: int
    job: str | None  # of Slurm

    def __str__(self) -> str:
        return f"pid {self.pid} on {self.host}" + (f", Slurm job {self.job}" if self.job else "")


class RunFolder:
    """A run folder, to be written. `gsd.Run` reads one.

    Args:
        path: made if it does not exist.

    Raises:
        GsdError: where it cannot be made.

    Example:
        >>> folder = gsd.RunFolder("outputs/mine")
        >>> with folder.lock():
        ...     folder.append([{"step": 0, "loss": 1.0}])  # a line of metrics.jsonl
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise GsdError(f"The run folder {self.path} cannot be made: {error.strerror}.") from error

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def done(self) -> bool:
        return (self / "DONE").exists()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Refuse a second process in the same folder. The kernel drops the lock when a process dies."""
        try:
            handle = (self / ".lock").open("a+")
        except OSError as error:
            raise GsdError(f"{self.path} cannot be written to: {error.strerror}.") from error
        with handle:
            attempts = 0
            while not _locked(handle, fcntl.LOCK_EX):
                if attempts == 10:
                    raise GsdError(
                        f"Another process ({_holder(handle)}) is running in {self.path}; wait for it or change name=."
                    )
                attempts += 1
                time.sleep(0.02)  # whoever only looks for the holder has the lock for an instant
            handle.truncate(0)
            with suppress(OSError):  # a full disk is told by the first file that matters
                handle.write(json.dumps(asdict(Holder(socket.gethostname(), os.getpid(), _slurm_job()))))
                handle.flush()
            yield

    @property
    def holder(self) -> Holder | None:
        """Who works in this folder now."""
        with suppress(FileNotFoundError), (self / ".lock").open() as handle:
            return None if _locked(handle, fcntl.LOCK_SH) else _holder(handle)
        return None

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file so that it is either the old one or the whole new one."""
        data = content.encode() if isinstance(content, str) else content
        with self.replacing(name) as temporary:
            temporary.write_bytes(data)

    @contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """A temporary path beside `name` that takes its place when the block ends well."""
        final = self / name
        final.parent.mkdir(parents=True, exist_ok=True)
        temporary = final.with_name(f".{os.getpid()}.{final.name}")
        try:
            yield temporary
            os.replace(temporary, final)
        finally:
            temporary.unlink(missing_ok=True)

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        import torch

        with self.replacing("checkpoint.pt") as temporary, temporary.open("wb") as file:
            torch.save(state, file)
            file.flush()
            os.fsync(file.fileno())

    def read_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, or None."""
        import torch

        path = self / "checkpoint.pt"
        if not path.exists():
            return None
        try:
            return torch.load(path, weights_only=True, map_location="cpu")
        except Exception as error:  # torch raises many kinds for a damaged file
            raise GsdError(f"{path} is damaged ({type(error).__name__}); delete it to start this run anew.") from error

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, or None, to go on from: every .jsonl is cut back to the steps it contains.

        A record of metrics.jsonl is of the step with that number, one of evaluations.jsonl comes after so many steps.
        """
        state = self.read_checkpoint()
        for name, beyond in (("metrics.jsonl", 0), ("histograms.jsonl", 0), ("evaluations.jsonl", 1)):
            if state is None:
                (self / name).unlink(missing_ok=True)
            elif (self / name).exists():
                kept = [r for r in self.records(name) if r["step"] < state["step"] + beyond]
                self.write(name, "".join(json.dumps(r) + "\n" for r in kept))
        return state

    def records(self, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
        """The lines of a .jsonl, steps or evaluations; a last line cut off by a crash is left out."""
        path = self / name
        if not path.exists():
            return []
        lines = path.read_text().split("\n")
        return [json.loads(line) for line in lines[:-1] if line]

    def append(self, records: list[dict[str, Any]], name: str = "metrics.jsonl") -> None:
        with (self / name).open("a") as file:
            file.write("".join(json.dumps(r) + "\n" for r in records))

    def finish(self, summary: dict[str, Any]) -> None:
        for name in ("FAILED", "evaluation.json"):  # what was measured of an earlier checkpoint is out of date
            (self / name).unlink(missing_ok=True)
        self.write("summary.json", json.dumps(summary, indent=2) + "\n")
        self.write("DONE", "")

    def fail(self, traceback: str) -> None:
        with suppress(OSError):  # the disk that is full is often the reason
            self.write("FAILED", traceback)


def _locked(handle: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise GsdError(f"{handle.name} cannot be locked: {error.strerror}; take a file system with flock.") from error
    return True


def _holder(handle: IO[str]) -> Holder:
    handle.seek(0)
    try:
        return Holder(**json.loads(handle.read()))
    except (ValueError, TypeError):  # between its lock and its first word
        return Holder("unknown host", 0, None)


def _slurm_job() -> str | None:
    """As squeue shows it: 12, or 12_3 in an array."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
