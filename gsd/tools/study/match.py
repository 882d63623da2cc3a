"""Which run of one set is compared with which of the other, and in what they differ."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gsd.config import NOT_IN_SIGNATURE
from gsd.errors import GsdError
from gsd.results.runs import Run, done_runs


@dataclass(frozen=True)
class Pair:
    """Runs of the same prompt and seed."""

    a: Run
    b: Run
    block: int  # which of several pairs of sets they are from


def match(sets: Sequence[str]) -> tuple[list[Pair], list[str]]:
    """The pairs of sets A1, B1, A2, B2, ... in the order of prompts and seeds, and a sentence for each run without one.

    A set is a folder, or "FOLDER KEY=VALUE ..." for the runs in it that were started with these. Raises GsdError for
    an odd number of sets, one that holds no such run, and one with two runs of the same prompt and seed.
    """
    if len(sets) % 2 or not sets:
        raise GsdError(f"{len(sets)} sets of runs do not make pairs; give A B, or A1 B1 A2 B2 and so on.")
    pairs: list[Pair] = []
    left_out: list[str] = []
    for block, (a, b) in enumerate(zip(sets[0::2], sets[1::2], strict=True)):
        ours, theirs = _collect(a, left_out.append), _collect(b, left_out.append)
        for runs, others, name in ((ours, theirs, b), (theirs, ours, a)):
            left_out += [
                f"{runs[key].path} has no partner: no run of {key[0]!r} with seed {key[1]} in {name}. Left out."
                for key in sorted(runs.keys() - others.keys())
            ]
        for key in sorted(ours.keys() & theirs.keys()):
            pair = Pair(ours[key], theirs[key], block)
            trouble = _incomparable(pair)
            if trouble:
                left_out.append(trouble)
            else:
                pairs.append(pair)
    return pairs, left_out


def _collect(text: str, complain: Callable[[str], None]) -> dict[tuple[str, int], Run]:
    """The runs of a set by prompt and seed."""
    folder, *wanted = [text] if Path(text).is_dir() else shlex.split(text) or [text]
    found = done_runs([folder], complain)
    chosen = [run for run in found if set(wanted) <= set(run.overrides)]
    if found and not chosen:
        typed = sorted({word for run in found for word in run.overrides})
        raise GsdError(f"No run in {folder} was started with {' '.join(wanted)}; there is {', '.join(typed)}.")
    runs: dict[tuple[str, int], Run] = {}
    for run in chosen:
        key = run.summary["prompt"], run.summary["seed"]
        if key in runs:
            apart = " or ".join(sorted(set(run.overrides) ^ set(runs[key].overrides))) or "nothing that was typed"
            raise GsdError(
                f"{text} has two runs of {key[0]!r} with seed {key[1]}, {runs[key].path} and {run.path}, which differ "
                f"in {apart}; say which is meant, in quotes: '{folder} KEY=VALUE'."
            )
        runs[key] = run
    return runs


def _incomparable(pair: Pair) -> str | None:
    """Why raters cannot compare the two, or None."""
    absent = [run.path for run in (pair.a, pair.b) if not (run.path / "turntable.mp4").is_file()]
    if absent:
        return f"{absent[0]} has no turntable.mp4. That pair is left out."
    apart = "; ".join(_apart(pair.a.config.get("turntable"), pair.b.config.get("turntable"), "turntable"))
    return f"{pair.a.path} and {pair.b.path} are seen differently ({apart}). That pair is left out." if apart else None


def differences(pairs: Sequence[Pair]) -> tuple[str, ...]:
    """The settings in which the sides of any pair differ, as "key: of a | of b": what is compared, wanted or not.

    Where different options of a group were chosen, their own settings are not compared.
    """
    apart: dict[str, None] = {}
    for pair in pairs:
        options = [run.summary["options"] for run in (pair.a, pair.b)]
        other = {group for group in options[0] if options[0][group] != options[1].get(group)}
        configs = [
            {key: value for key, value in run.config.items() if key not in (*NOT_IN_SIGNATURE, *other)}
            for run in (pair.a, pair.b)
        ]
        calls = [{"prior_calls": run.summary["prior_calls"]} for run in (pair.a, pair.b)]
        apart |= dict.fromkeys(line for both in (options, configs, calls) for line in _apart(*both))
    return tuple(apart)


def _apart(a: Any, b: Any, name: str = "") -> Iterator[str]:
    """A line for every leaf that differs."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys([*a, *b]):
            yield from _apart(a.get(key), b.get(key), f"{name}.{key}" if name else str(key))
    elif a != b:
        yield f"{name}: {_show(a)} | {_show(b)}"


def _show(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(map(_show, value)) or "none"
    return "none" if value is None else str(value)
