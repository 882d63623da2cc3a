"""Sweeps over files of prompts: `-m prompts=FILE` makes a run of each line, `prompts=FILE,FILE` of those of several.

`gsd.cli.overrides` hands the files on as hydra.sweeper.params.prompts, where a preset may name them too. Each file is a
set: sweep.json keeps which prompts it had, and `gsd report` has columns for it.

T3Bench (He et al. 2023) has 3 sets of 100 prompts: a single object, one with surroundings, several objects. Its
repository has no licence, so gsd does not come with them; without the files the names t3bench_single, t3bench_surr and
t3bench_multi say where to get them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from gsd.backend.text_lines import lines
from gsd.cli.overrides import quoted
from gsd.errors import GsdError

KEY = "prompts"
MOST = 10_000  # which Hydra reads for several seconds
T3BENCH = {f"t3bench_{name}": f"prompt_{name}.txt" for name in ("single", "surr", "multi")}
WHERE = "https://raw.githubusercontent.com/THU-LYJ-Lab/T3Bench/HEAD/data/"


def prompt_sets(named: str) -> dict[str, list[str]]:
    """Name of the file without its suffix -> its prompts.

    named: a file, or several with commas between them; NAME is NAME.txt too. Raises GsdError.
    """
    names = [named] if _file(named) else [name.strip() for name in named.split(",")]
    found: dict[str, list[str]] = {}
    for name in names:
        file = _file(name)
        if file is None and name in T3BENCH:
            raise GsdError(
                f"{KEY}={name}: T3Bench has no licence, so gsd comes without its prompts; get them by "
                f"curl -o {name}.txt {WHERE}{T3BENCH[name]} and repeat the command."
            )
        prompts = lines(file or Path(name).expanduser(), f"{KEY}={name}")
        label = (file or Path(name)).stem
        if label in found:
            raise GsdError(
                f"{KEY}={named} has two files called {label}, which reports could not tell apart; rename one."
            )
        found[label] = prompts
    return found


def swept(params: Mapping[str, str], arguments: Iterable[str]) -> list[str]:
    """All overrides of a sweep: the sweeper's own parameters, files of prompts as their prompts, and what is typed.

    Raises GsdError where prompts are given twice, or as `prompt_sets`.
    """
    typed = [word for word in arguments if not word.startswith(f"{KEY}=")]  # a schedule's, which params have too
    own = [f"{key}={value}" for key, value in params.items() if key != KEY]
    if KEY in params:
        if any(word.lstrip("+").startswith("prompt=") for word in (*own, *typed)):
            raise GsdError(f"prompt= and {KEY}= both say what to make; leave one of them out.")
        prompts = dict.fromkeys(text for each in prompt_sets(params[KEY]).values() for text in each)
        if len(prompts) > MOST:
            raise GsdError(f"{KEY}={params[KEY]} has {len(prompts)} prompts, and a sweep may have {MOST}; make parts.")
        own.append(f"prompt={','.join(map(quoted, prompts))}")
    return [*own, *typed]


def _file(name: str) -> Path | None:
    """The file of this name, or of this name with .txt behind it."""
    for each in (name, f"{name}.txt"):
        try:
            path = Path(each).expanduser()
            if path.is_file():
                return path
        except (OSError, RuntimeError, ValueError):  # no text that a file system takes
            continue
    return None
