"""The run folder: the one interface between a run and everything that reads it.

    identity.json  config.yaml  overrides.yaml  choices.yaml  metrics.jsonl  histograms.jsonl  evaluations.jsonl
    checkpoint.pt  checkpoint.digest  summary.json  evaluation.json  DONE | FAILED  and the pictures

Every file but the .jsonl is replaced atomically; those are cut back to the checkpoint when a run resumes.
.lock says who works in the folder, for as long as the kernel holds that process's lock on it.
Nothing is written through a link that leads out of the folder.
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

from gsd.backend.regular import regular
from gsd.backend.temporaries import sweep, temporary
from gsd.errors import GsdError, reason
from gsd.results.checkpoint import ANEW, LINES, WRITTEN, Checkpoint
from gsd.results.reading import parse_json, read_rows, there

STAGES = "stages"  # the folder of the runs that a run has come through, each a run folder
PARTS = ("strips", "frames", "views", "particle_*", "particle_*/views")  # folders in a run's
# Endings of what is written there, and into the folder of a sweep
ENDINGS = (
    ".yaml",
    ".json",
    ".jsonl",
    ".pt",
    ".digest",
    ".ply",
    ".mp4",
    ".png",
    ".csv",
    ".md",
    ".html",
    "DONE",
    "FAILED",
)


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
            raise GsdError(f"The folder {self.path} cannot be made: {error.strerror}.") from error

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    @property
    def done(self) -> bool:
        return os.path.exists(self / "DONE")

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Refuse a second process in the same folder. The kernel drops the lock when a process dies."""
        try:
            handle = os.fdopen(
                _not_linked(self / ".lock", os.O_RDWR | os.O_CREAT | os.O_APPEND), "a+", encoding="utf-8"
            )
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
            for folder in (self.path, *(below for name in PARTS for below in self.path.glob(name))):
                if self._holds(folder):
                    sweep(folder, ENDINGS)
            yield

    @property
    def holder(self) -> Holder | None:
        """Who works in this folder now."""
        with suppress(OSError), regular(self / ".lock").open(encoding="utf-8") as handle:
            return None if _locked(handle, fcntl.LOCK_SH) else _holder(handle)
        return None

    def write(self, name: str, content: str | bytes) -> None:
        """Write a file so that it is either the old one or the whole new one."""
        # Half a letter, as names of files and foreign JSON may hold, is no reason to lose the rest
        data = content.encode(errors="backslashreplace") if isinstance(content, str) else content
        with self.replacing(name) as partial:
            partial.write_bytes(data)

    @contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """A temporary path beside `name` that takes its place when the block ends well."""
        final = self / name
        if not self._holds(final.parent):
            raise GsdError(f"{final.parent} leads out of the folder {self.path}; remove that link.")
        if final.exists() and not (final.is_file() or final.is_dir()):
            raise GsdError(f"{final} is a device, which a file cannot take the place of; give another one.")
        partial = temporary(final)
        try:
            final.parent.mkdir(parents=True, exist_ok=True)
            partial.unlink(missing_ok=True)  # which may be a link
            yield partial
            os.replace(partial, final)
        except (IsADirectoryError, NotADirectoryError, FileExistsError, FileNotFoundError, PermissionError) as error:
            raise GsdError(f"{final} cannot be written: {error.strerror}.") from error
        finally:
            with suppress(OSError):
                partial.unlink()

    def refuse_links(self) -> None:
        """Raise GsdError where something in a folder, perhaps somebody else's, leads out of it."""
        for entry in os.scandir(self.path):
            if entry.is_symlink() and not self._holds(Path(entry.path)):
                raise GsdError(f"{entry.path} is a link that leads out of the run folder; remove it.")

    def _holds(self, folder: Path) -> bool:
        """Whether a folder is this one or in it, whatever links say."""
        return folder.resolve().is_relative_to(self.path.resolve())

    def save_checkpoint(self, state: dict[str, Any]) -> None:
        """Once this returns, the checkpoint is on the disk, and so are the lines of every .jsonl until now."""
        Checkpoint(self.path, self.replacing).save(state)

    def read_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, or None. Raises GsdError where it is damaged."""
        return Checkpoint(self.path, self.replacing).read()

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Parts that take up a checkpoint of other parts, or of other sizes, raise as many kinds of errors."""
        try:
            yield
        except (LookupError, TypeError, ValueError, RuntimeError, AttributeError) as error:
            found = f"{type(error).__name__}: {reason(error)}"
            raise GsdError(
                f"{self / 'checkpoint.pt'} does not fit its config.yaml ({found}); delete it to start this run anew."
            ) from error

    def load_checkpoint(self) -> dict[str, Any] | None:
        """The last checkpoint, or None, to go on from: every .jsonl is cut back to the lines that it knows of.

        Raises GsdError where the checkpoint is damaged or some of those lines are gone.
        """
        state = self.read_checkpoint()
        if state is None:
            for name in LINES:
                (self / name).unlink(missing_ok=True)
        elif WRITTEN in state:
            Checkpoint(self.path, self.replacing).cut_lines(state)
        else:
            self._cut_to_step(state["step"])
        return state

    def _cut_to_step(self, step: int) -> None:
        """Of a checkpoint of an earlier version. One line per step; evaluations come after so many steps."""
        for name in LINES:
            kept = [r for r in self.records(name) if r["step"] < step + (name == "evaluations.jsonl")]
            if name == "metrics.jsonl" and len(kept) != step:
                raise GsdError(f"{self / name} has {len(kept)} of the {step} steps that checkpoint.pt holds; {ANEW}.")
            if (self / name).exists():
                self.write(name, "".join(json.dumps(r) + "\n" for r in kept))

    def records(self, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
        """The lines of a .jsonl, steps or evaluations; a last line cut off by a crash is left out."""
        return read_rows(self / name) if there(self / name) else []

    def append(self, records: list[dict[str, Any]], name: str = "metrics.jsonl") -> None:
        with open(self / name, "a", encoding="utf-8", opener=_not_linked) as file:
            file.write("".join(json.dumps(r) + "\n" for r in records))

    def finish(self, summary: dict[str, Any]) -> None:
        for name in ("FAILED", "evaluation.json"):  # what was measured of an earlier checkpoint is out of date
            (self / name).unlink(missing_ok=True)
        self.write("summary.json", json.dumps(summary, indent=2) + "\n")
        self.write("DONE", "")

    def fail(self, traceback: str) -> None:
        with suppress(OSError):  # the disk that is full is often the reason
            self.write("FAILED", traceback)


def _not_linked(path: str | Path, flags: int) -> int:
    """The file itself, for `open`: a link in a foreign folder may lead anywhere."""
    if os.path.islink(path):  # to say so; the flag is what is sure
        raise GsdError(f"{path} is a link, which a run does not write through; remove it.")
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)


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
        told = parse_json(handle.read())
        return Holder(str(told["host"]), int(told["pid"]), told["job"] and str(told["job"]))
    except (ValueError, TypeError, LookupError):  # between its lock and its first word
        return Holder("unknown host", 0, None)


def _slurm_job() -> str | None:
    """As squeue shows it: 12, or 12_3 in an array."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")
