"""A study from two sets of runs: media under names that tell nothing, and study.json, which tells all."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from gsd.errors import GsdError
from gsd.results.runs import Run
from gsd.tools.study import media
from gsd.tools.study.match import Pair, differences, match
from gsd.tools.study.study import CONSENT, MEDIA, Comparison, Shown, Study, save

Show = Literal["turntable", "views"]


@dataclass(frozen=True)
class Options:
    """How a study is to be. What each means is said at gsd.tools.study.study.Study."""

    names: tuple[str, str] | None = None  # None: the sets as they were given
    seed: int | None = None  # None: drawn
    show: Show = "turntable"
    tie: bool = False
    trials: int | None = None  # None: all pairs
    broken: int = 2
    mirrored: int | None = None  # None: 1 where there are trials enough
    consent: tuple[str, ...] = CONSENT
    simulated: str | None = None


def make(sets: Sequence[str], out: Path, options: Options) -> Study:
    """Write the study of sets A1, B1, A2, B2, ... (see match) to a new folder.

    Raises GsdError for sets without a pair, for more trials than they can give, and for a folder that exists.
    """
    if out.exists():
        raise GsdError(f"{out} exists; give another folder with --out, so that no votes are lost.")
    pairs, left_out = match(sets)
    if not pairs:
        raise GsdError(f"There is nothing to compare, for {len(left_out)} reasons; the first: {left_out[0]}")
    trials = len(pairs) if options.trials is None else options.trials
    if not 1 <= trials <= len(pairs):
        raise GsdError(f"--trials {trials}: choose from 1 to {len(pairs)}, the number of pairs.")
    most = (trials + 1) // 2 - 1  # what is seen in the first half can be seen again in the second
    mirrored = min(1, most) if options.mirrored is None else options.mirrored
    if not 0 <= mirrored <= most:
        raise GsdError(f"--mirrored {mirrored}: {trials} trials leave room for {most}; give 0 to {most}.")
    seed = secrets.randbits(32) if options.seed is None else options.seed
    if options.broken < 0 or seed < 0:
        raise GsdError(f"--broken {options.broken}, --seed {seed}: neither can be negative.")
    with _new_folder(out) as folder:
        real, broken = _Media(folder / MEDIA, seed, options.show).put(pairs, options.broken)
        study = Study(
            names=options.names or (" + ".join(sets[0::2]), " + ".join(sets[1::2])),
            seed=seed,
            show=options.show,
            tie=options.tie,
            consent=options.consent,
            pairs=real,
            broken=broken,
            mirrored=mirrored,
            trials=trials,
            differences=differences(pairs),
            left_out=tuple(left_out),
            simulated=options.simulated,
        )
        save(folder, study)
    return study


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder for its owner alone, which takes its place when the block ends well and otherwise is gone."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise GsdError(f"{out} cannot be made: {error.strerror}.") from error
    try:
        yield temporary
        temporary.rename(out)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@dataclass(frozen=True)
class _Media:
    """Writes what is shown of runs."""

    folder: Path
    seed: int
    show: Show

    def put(self, pairs: Sequence[Pair], broken: int) -> tuple[tuple[Comparison, ...], tuple[Comparison, ...]]:
        """The comparisons of the pairs, and as many as are asked for of a run with itself spoilt."""
        self.folder.mkdir()
        real = [
            Comparison(
                prompt=pair.a.summary["prompt"],
                seed=pair.a.summary["seed"],
                block=pair.block,
                a=self._shown(pair.a, index),
                b=self._shown(pair.b, index),
            )
            for index, pair in enumerate(pairs)
        ]
        chosen = np.random.default_rng([self.seed, 0]).permutation(len(pairs))
        catches = []
        for k in range(broken):
            index = int(chosen[k % len(pairs)])
            whole, run = [(real[index].a, pairs[index].a), (real[index].b, pairs[index].b)][k % 2]
            catches.append(real[index].model_copy(update={"a": whole, "b": self._shown(run, index, spoil=k)}))
        return tuple(real), tuple(catches)

    def _shown(self, run: Run, index: int, spoil: int | None = None) -> Shown:
        """A file of a run of pair `index`. All files of a pair show the same six angles, if it is sheets."""
        name = secrets.token_hex(8)  # not of the run or the seed, from which one could find out which it is
        source, file = run.path / "turntable.mp4", self.folder / f"{name}{'.mp4' if self._moves else '.png'}"
        if self._moves and spoil is None:
            shutil.copyfile(source, file)
        else:
            frames, fps = media.read(source)
            if spoil is not None:
                frames = media.spoilt(frames, np.random.default_rng([self.seed, 1, spoil]))
            if self._moves:
                media.film(file, frames, fps)
            else:
                angles = media.angles(len(frames), np.random.default_rng([self.seed, 2, index]))
                file.write_bytes(media.sheet(frames, angles))
        return Shown(run=str(run.path), media=file.name)

    @property
    def _moves(self) -> bool:
        return self.show == "turntable"
