"""Files of run and sweep folders, read with their checks: the one place where JSON and YAML of a folder are read.

A disk may have cut a file, somebody may have edited it, or it may be no file of ours: bytes that are no text, other
types, numbers without end, nesting without end, a folder in its place. All of that is a GsdError in one sentence.
"""

from __future__ import annotations

import json
import os
import re
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, TypeGuard

import yaml
from typing_extensions import TypedDict

from gsd.backend.regular import regular
from gsd.errors import GsdError

LONGEST = 10**12  # steps of a run
DEEPEST, MOST = 32, 100_000  # levels and values of one file, or of one line of a .jsonl
HUGE = 1e100  # numbers beyond it are none: not even their squares can be summed


class Summary(TypedDict, total=False):
    """What gsd itself reads of summary.json; the numbers of metrics lie beside it."""

    prompt: str
    options: dict[str, str | list[str] | None]
    overrides: list[str]
    seed: int
    particles: list[dict[str, Any]]
    seconds: float
    machine: dict[str, str]
    versions: dict[str, str]
    commit: str | None


class _Measured(TypedDict, total=False):
    particles: list[dict[str, Any]]


class Measured(_Measured):
    """A metric of evaluation.json."""

    views: int
    resolution: int
    numbers: dict[str, Any]


class Evaluation(TypedDict, total=False):
    step: int
    metrics: dict[str, Measured]


class RunConfig(TypedDict, total=False):
    """What programs that make parts of a run again use of its config.yaml; each class checks its own options."""

    prompt: str
    seed: int
    steps: int
    particles: int
    device: str
    turntable: dict[str, float]
    metric: dict[str, Any]
    loss: dict[str, Any]
    representation: dict[str, Any]


def finite(value: object) -> TypeGuard[float]:
    """Whether it is a number that means something."""
    return isinstance(value, int | float) and -HUGE < value < HUGE


def there(file: Path) -> bool:
    """Whether a file, or anything in its place, exists: what cannot be read is damaged, not absent."""
    try:
        os.lstat(file)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise GsdError(f"{file} cannot be read: {error.strerror}.") from error
    return True


def read_text(file: Path) -> str:
    """As UTF-8, with a byte-order mark or without."""
    try:
        return regular(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise GsdError(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise GsdError(f"{file} is damaged: it is no text ({' '.join(str(error).split())}).") from error


def read_json(file: Path, kind: Any) -> Any:
    """kind: what pydantic knows as a type, such as Summary. What it does not name may hold anything."""
    return checked(file, _of_json(file), kind)


def _of_json(file: Path) -> Any:
    try:
        return parse_json(read_text(file))
    except ValueError as error:
        raise GsdError(f"{file} cannot be read: {error}.") from error


def read_yaml(file: Path, kind: Any) -> Any:
    try:
        content = _yaml(read_text(file))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:  # also: a date that is none, odd keys
        raise GsdError(f"{file} cannot be read: {' '.join(str(error).split())}.") from error
    return checked(file, content, kind)


def read_rows(file: Path, stride: int = 1) -> list[dict[str, Any]]:
    """The records of a .jsonl, each with its step; a last line that a crash has cut off is left out.

    stride: 2 takes every second one, and so on.
    """
    rows = []
    for number, line in enumerate(read_text(file).split("\n")[:-1]):
        if line and number % stride == 0:
            try:
                rows.append(row(line))
            except ValueError as error:
                raise GsdError(f"{file} is damaged: line {number + 1}: {error}.") from error
    return rows


def row(line: str | bytes) -> dict[str, Any]:
    """A line of a .jsonl. Raises ValueError for anything else."""
    record = parse_json(line)
    step = record.get("step") if isinstance(record, dict) else None
    if not isinstance(step, int) or not 0 <= step < LONGEST:
        raise ValueError("no record with a step")
    return record


def parse_json(text: str | bytes) -> Any:
    """Raises ValueError, with a reason in one line, for what cannot be read or lived with."""
    try:
        content = json.loads(text)
        _limit(content)
    except (ValueError, RecursionError) as error:
        raise ValueError(" ".join(str(error).split()).rstrip(".")) from error
    return content


def _yaml(text: str) -> Any:
    """Parsed section by section, each different one once: the configs of a sweep are made of the same sections.

    1,000 configs take 0.06 s of CPU time so, and 1.3 s parsed whole; a report of 5,000 runs has 10 s for all.
    """
    try:
        sections = [_section(part) for part in re.split(r"^(?=[^\s#])", text, flags=re.MULTILINE) if part]
        return {key: value for section in sections for key, value in section.items()}
    except (yaml.YAMLError, AttributeError):  # no mapping, or one whose sections need each other
        return _section(text)


@lru_cache(maxsize=4096)
def _section(text: str) -> Any:
    """Without merges of aliases: a few lines of them can stand for more values than a memory holds."""
    if "<<" in text and any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, yaml.CSafeLoader)):
        raise ValueError("it merges aliases (<<: *NAME), which are not read")
    content = yaml.load(text, yaml.CSafeLoader)  # ten times as fast as PyYAML's own parser
    _limit(content)
    return content


def _limit(content: Any) -> None:
    """Refuse what later steps, which go down into the values, would not survive."""
    level, count = [content], 0
    for _ in range(DEEPEST):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                below += value.values()
            elif isinstance(value, list | tuple | set):
                below += value
            elif isinstance(value, int) and not -HUGE < value < HUGE:
                raise ValueError("it has a whole number of more than 100 digits")
            if count + len(below) > MOST:
                raise ValueError(f"it holds more than {MOST} values")
        count += len(below)
        if not below:
            return
        level = below
    raise ValueError(f"it is nested more than {DEEPEST} levels deep")


def checked(file: Path, content: Any, kind: Any, strict: bool = True) -> Any:
    """strict: the content as it is, of exactly these types; else what pydantic makes of it."""
    from pydantic import ValidationError

    try:
        made = _adapter(kind).validate_python(content, strict=strict)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "all of it"
        raise GsdError(f"{file} is damaged: {place}: {first['msg'][0].lower()}{first['msg'][1:]}.") from error
    return content if strict else made


@cache
def _adapter(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
