"""Where options are looked for: the project's conf/, and folders of the user's own beside it.

A folder of one's own holds GROUP/OPTION.yaml as conf/ does, and the Python modules that these name in `_target_`. It is
given by `--config-dir FOLDER`, by the environment variable GSD_CONF (several are separated by ":") or by
`hydra.searchpath=[file://FOLDER]`; every command that composes a config looks there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from gsd.errors import GsdError

VARIABLE = "GSD_CONF"
PACKAGE = Path(__file__).resolve().parents[1]
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"  # in a wheel; in a checkout
FLAG, SEARCHPATH = "--config-dir", "hydra.searchpath=["


def own_folders() -> list[Path]:
    """The folders that GSD_CONF names."""
    return [Path(name).absolute() for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]


def adopt(arguments: list[str]) -> list[str]:
    """Put the folders of `--config-dir` into GSD_CONF, which child processes inherit; returns the other arguments.

    Folders of `hydra.searchpath` are added to it too, and stay in the arguments. Raises GsdError for a folder that does
    not exist, and for an option that two folders have.
    """
    kept, found = [], []
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag in (FLAG, "-cd"):
            found.append(value if equals else next(rest, ""))
        else:
            kept.append(argument)
            if argument.startswith(SEARCHPATH):
                listed = argument.removeprefix(SEARCHPATH).rstrip("]").split(",")
                found += [name.strip(" '\"").removeprefix("file://") for name in listed if "pkg://" not in name]
    folders = list(dict.fromkeys([*(Path(name).absolute() for name in found), *own_folders()]))
    if folders:
        check(folders)
        os.environ[VARIABLE] = os.pathsep.join(map(str, folders))
    return kept


def use(folders: Iterable[Path]) -> None:
    """Make the modules in the folders importable, after everything that is installed."""
    for folder in folders:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def check(folders: Iterable[Path]) -> None:
    """Raises GsdError for a folder that does not exist and for an option that two of them, or conf/, have."""
    where: dict[Path, Path] = {path.relative_to(CONF): CONF for path in CONF.rglob("*.yaml")}
    for folder in folders:
        if not folder.is_dir():
            raise GsdError(f"The config folder {folder} does not exist; {FLAG} and {VARIABLE} take folders.")
        for path in folder.rglob("*.yaml"):
            option = path.relative_to(folder)
            if option in where:
                name = f"{option.parent}={option.stem}" if option.parent.name else option.name
                raise GsdError(f"{name} is in {where[option]} and in {folder}; rename one of them.")
            where[option] = folder


def options(group: str) -> list[str]:
    """The names of all options of a group, in all folders."""
    return sorted(path.stem for folder in (CONF, *own_folders()) for path in (folder / group).glob("*.yaml"))
