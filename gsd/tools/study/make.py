"""A study from two sets of runs: films under names that tell nothing, and study.json, which tells all."""

from __future__ import annotations

import secrets
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
from jaxtyping import UInt8

from gsd.backend import film
from gsd.backend.regular import regular
from gsd.errors import GsdError, reason
from gsd.results.folder import RunFolder
from gsd.results.runs import Run, done_runs
from gsd.tools.study.study import FILE, MEDIA, QUESTIONS, Question, Scene, Study

FILM = "turntable.mp4"  # of a run
SHUFFLED = (3, 0, 4, 1, 2)  # strips of a spoilt picture, none of them in its place

Frames = UInt8[np.ndarray, "N H W 3"]


def make(
    sets: Sequence[str],
    out: Path,
    names: tuple[str, str] | None = None,
    seed: int | None = None,
    simulated: str = "",
    questions: Mapping[Question, str] = QUESTIONS,
) -> Study:
    """Write the study of sets A1, B1, A2, B2, ... (see match) to a new folder, for its owner alone.

    names: of both sides, for the tables; the sets as they were given by default.
    seed: of sides and order; drawn by default.
    questions: their words, where they are not those of the paper.

    Raises GsdError for sets without a pair, and for a folder that exists.
    """
    pairs = match(sets)
    try:
        out.mkdir(0o700, parents=True)
    except OSError as error:
        raise GsdError(f"{out} cannot be made ({error.strerror}); give another folder with --out.") from error
    try:
        (out / MEDIA).mkdir()
        study = Study(
            names=names or (" + ".join(sets[0::2]), " + ".join(sets[1::2])),
            seed=secrets.randbits(128) if seed is None else seed,
            pairs=tuple(_scene(out / MEDIA, a, b) for a, b in pairs),
            broken=tuple(_scene(out / MEDIA, run) for run in (pairs[0][0], pairs[-1][1])),  # one of each side
            simulated=simulated,
            questions=dict(questions),
        )
        RunFolder(out).write(FILE, study.model_dump_json(indent=1) + "\n")
    except BaseException:
        shutil.rmtree(out)
        raise
    return study


def match(sets: Sequence[str]) -> list[tuple[Run, Run]]:
    """The pairs of sets A1, B1, A2, B2, ... by prompt and seed; what is left out is told on stderr.

    A set is a folder, or "FOLDER KEY=VALUE ..." for the runs in it that were started with these. Raises GsdError for
    sets without a pair, and for one that holds no such run or two of the same prompt and seed.
    """
    if len(sets) % 2 or not sets:
        raise GsdError(f"{len(sets)} sets of runs do not make pairs; give A B, or A1 B1 A2 B2 and so on.")
    pairs: list[tuple[Run, Run]] = []
    for a, b in zip(sets[0::2], sets[1::2], strict=True):
        ours, theirs = _collect(a), _collect(b)
        if both := {run.path.resolve() for run in ours.values()} & {run.path.resolve() for run in theirs.values()}:
            raise GsdError(f"{min(both)} is in both sets, {a} and {b}; a pair needs two runs.")
        for key in sorted(ours.keys() | theirs.keys()):
            seen = [_turntable(runs[key]) if key in runs else None for runs in (ours, theirs)]
            if seen[0] and seen[0] == seen[1]:
                pairs.append((ours[key], theirs[key]))
            else:
                needed = f"a run in {a} and one in {b}, with turntable.mp4 of the same settings"
                print(f"{key[0]!r} with seed {key[1]} is left out: it needs {needed}.", file=sys.stderr)
    if not pairs:
        raise GsdError(f"No run in {sets[0]} has a partner of the same prompt and seed in {sets[1]}.")
    return pairs


def _collect(text: str) -> dict[tuple[str, int], Run]:
    """The runs of a set by prompt and seed."""
    folder, *wanted = [text] if Path(text).is_dir() else _words(text)
    found = done_runs([folder])
    chosen = [run for run in found if set(wanted) <= set(run.overrides)]
    if found and not chosen:
        typed = sorted({word for run in found for word in run.overrides})
        raise GsdError(f"No run in {folder} was started with {' '.join(wanted)}; there is {', '.join(typed)}.")
    runs: dict[tuple[str, int], Run] = {}
    for run in chosen:
        if not run.summary.keys() >= {"prompt", "seed"}:
            raise GsdError(f"{run.path / 'summary.json'} names no prompt and seed; repeat the run.")
        key = run.summary["prompt"], run.summary["seed"]
        if key in runs:
            apart = " or ".join(sorted(set(run.overrides) ^ set(runs[key].overrides))) or "nothing that was typed"
            double = f"{key[0]!r} with seed {key[1]}, which differ in {apart}"
            raise GsdError(f"{text} has two runs of {double}; choose one of them by '{folder} KEY=VALUE'.")
        runs[key] = run
    return runs


def _words(text: str) -> list[str]:
    try:
        return shlex.split(text) or [text]
    except ValueError as error:
        raise GsdError(f"{text}: {reason(error)}; give 'FOLDER KEY=VALUE ...' with all quotes closed.") from error


def _turntable(run: Run) -> dict[str, Any] | None:
    """Its settings, or None where there is no film."""
    return run.config.get("turntable") if (run.path / FILM).is_file() else None


def _scene(folder: Path, a: Run, b: Run | None = None) -> Scene:
    """Two runs, or a run and what is left of it when it is spoilt."""
    one, fps = _read(a.path / FILM)
    two = _read(b.path / FILM)[0] if b else spoilt(one)
    if one.shape != two.shape:
        raise GsdError(f"The turntables of {a.path} and {b and b.path} have other sizes or lengths; repeat their runs.")
    return Scene(
        prompt=a.summary["prompt"],
        seed=a.summary["seed"],
        runs={"a": str(a.path), "b": str((b or a).path)},
        films={"a": _film(folder, one, two, fps), "b": _film(folder, two, one, fps)},
    )


def _read(turntable: Path) -> tuple[Frames, float]:
    """All frames, and how many there are per second. Raises GsdError for a file that is no video."""
    try:
        return imageio.imread(regular(turntable), plugin="FFMPEG"), imageio.immeta(turntable, plugin="FFMPEG")["fps"]
    except Exception as error:  # imageio raises many kinds for a damaged file
        raise GsdError(f"{turntable} cannot be read: {reason(error)}.") from error


def _film(folder: Path, left: Frames, right: Frames, fps: float) -> str:
    """Both turntables in one film, which keeps them in step. Returns its name, which tells nothing."""
    name = f"{secrets.token_hex(8)}.mp4"
    film.write(folder / name, list(np.concatenate([left, right], axis=2)), fps, "of two turntables")
    return name


def spoilt(frames: Frames) -> Frames:
    """The frames in strips that are shuffled, across and down: worse than any scene they can be of."""
    for axis in (1, 2):
        strips = np.array_split(frames, len(SHUFFLED), axis)
        frames = np.concatenate([strips[k] for k in SHUFFLED], axis)
    return frames
