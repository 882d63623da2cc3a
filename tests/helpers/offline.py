"""What W&B has written offline, read back with its own protocol buffers."""

import json
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

WAIT_S = 20
BLOCK = 32768  # bytes; a .wandb file is a log of LevelDB, after 7 bytes of its own
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


@dataclass
class Offline:
    """One offline directory of wandb."""

    folder: Path
    run: object = None  # the last of its RunRecords
    config: dict = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)  # the history, media as what describes them
    summary: dict = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)  # name or pattern -> step metric
    artifacts: list = field(default_factory=list)
    exit_code: int | None = None  # None: the run was not ended

    def media(self, described: dict) -> Path:
        return self.folder / "files" / described["path"]


def offline(run_folder: Path, ended: bool = True) -> list[Offline]:
    """Every offline directory of a run, in the order in which they were made.

    ended: wait for the end of each, which wandb's own process writes some milliseconds after a run has left it.
    """
    last = time.monotonic() + WAIT_S
    while True:
        found = [_read(path) for path in sorted(run_folder.glob("wandb/offline-run-*"))]
        if not ended or all(each.exit_code is not None for each in found) or time.monotonic() > last:
            return found
        time.sleep(0.05)


def _read(folder: Path) -> Offline:
    from wandb.proto.wandb_internal_pb2 import Record

    found = Offline(folder)
    (file,) = folder.glob("run-*.wandb")
    for data in _records(file.read_bytes()):
        record = Record.FromString(data)
        kind = record.WhichOneof("record_type")
        if kind == "run":
            found.run = record.run
            found.config |= _items(record.run.config.update)
        elif kind == "config":
            found.config |= _items(record.config.update)
        elif kind == "history":
            found.rows.append(_items(record.history.item))
            assert found.rows[-1]["_step"] == record.history.step.num
        elif kind == "summary":
            found.summary |= _items(record.summary.update)
        elif kind == "metric":
            found.metrics[record.metric.name or record.metric.glob_name] = record.metric.step_metric
        elif kind == "artifact":
            found.artifacts.append(record.artifact)
        elif kind == "exit":
            found.exit_code = record.exit.exit_code
    return found


def _items(items) -> dict:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _records(data: bytes) -> Iterator[bytes]:
    """What a process that was killed left unfinished ends the log."""
    assert data[:4] == b":W&B"
    place, whole = 7, b""
    while True:
        left = BLOCK - place % BLOCK
        if left < 7:
            place += left
            continue
        if place + 7 > len(data):
            return
        _, length, kind = struct.unpack_from("<IHB", data, place)
        part = data[place + 7 : place + 7 + length]
        if kind not in (FULL, FIRST, MIDDLE, LAST) or len(part) < length:
            return
        whole = part if kind in (FULL, FIRST) else whole + part
        if kind in (FULL, LAST):
            yield whole
        place += 7 + length
