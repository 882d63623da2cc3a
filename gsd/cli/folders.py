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
SAFE = "PYTHONSAFEPATH"  # modules are not looked for in the current folder
PACKAGE = Path(__file__).resolve().parents[1]
CONF = PACKAGE / "conf" if (PACKAGE / "conf").is_dir() else PACKAGE.parent / "conf"  # in a wheel; in a checkout
FLAGS, SEARCHPATH = ("--config-dir", "-cd"), "hydra.searchpath=["


def own_folders() -> list[Path]:
    """The folders that GSD_CONF names."""
    return [_absolute(name) for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]


def adopt(arguments: Iterable[str]) -> list[str]:
    """Use the folders that a command line and GSD_CONF name; returns the command line without them.

    Raises GsdError as `use`.
    """
    kept, found = [], []
    rest = iter(arguments)
    for argument in rest:
        flag, equals, value = argument.partition("=")
        if flag in FLAGS:
            found.append(value if equals else next(rest, ""))
        elif argument.startswith(SEARCHPATH):
            listed = [name.strip(" '\"") for name in argument.removeprefix(SEARCHPATH).rstrip("]").split(",")]
            packages = [name for name in listed if name.startswith("pkg://")]
            found += [name.removeprefix("file://") for name in listed if name not in packages]
            kept += [f"{SEARCHPATH}{','.join(packages)}]"] if packages else []
        else:
            kept.append(argument)
    if "" in found:
        raise GsdError(f"{FLAGS[0]} needs a folder: {FLAGS[0]} FOLDER.")
    use([*map(_absolute, found), *own_folders()])
    return kept


def use(folders: Iterable[Path]) -> None:
    """Look for options and their modules in these folders, in this process and in those that it starts.

    Modules are looked for after everything that is installed. Raises GsdError for a folder that does not exist, and for
    an option that two folders have.
    """
    names = list(dict.fromkeys(map(str, folders)))
    if names:
        _check([Path(name) for name in names])  # first: a notebook goes on with the folders that it had
        os.environ[VARIABLE] = os.pathsep.join(names)
        sys.path.extend(name for name in names if name not in sys.path)


def child_environment(folders: Iterable[str] = ()) -> dict[str, str]:
    """The environment in which `python -m gsd` is this code from anywhere, with these folders and the present ones.

    Python 3.10 does not know PYTHONSAFEPATH: there a copy of gsd in the current folder comes first.
    """
    inherited = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    paths = {"PYTHONPATH": [str(PACKAGE.parent), *inherited], VARIABLE: [*folders, *map(str, own_folders())]}
    joined = {name: os.pathsep.join(dict.fromkeys(listed)) for name, listed in paths.items()}
    return os.environ | joined | {SAFE: "1"}


def groups() -> list[str]:
    """The names of all groups of options."""
    return sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "hydra")


def files(group: str) -> list[Path]:
    """The yaml of every option of a group, in all folders, by name."""
    found = [path for folder in (CONF, *own_folders()) for path in (folder / group).glob("*.yaml")]
    return sorted(found, key=lambda path: path.stem)


def options(group: str) -> list[str]:
    """The names of all options of a group."""
    return [path.stem for path in files(group)]


def _absolute(name: str) -> Path:
    return Path(os.path.abspath(name))


def _check(folders: list[Path]) -> None:
    where: dict[str, Path] = {}
    for folder in (CONF, *folders):
        if not folder.is_dir():
            raise GsdError(f"The config folder {folder} does not exist; {FLAGS[0]} and {VARIABLE} take folders.")
        options = [path for group in (*groups(), "hydra") for path in (folder / group).rglob("*.yaml")]
        names = [f"The option {path.relative_to(folder).with_suffix('')}" for path in options]
        names += [module.name for module in folder.glob("*.py")]  # of two, Python would import the first for both
        for name in names:
            if name in where:
                raise GsdError(f"{name} is both in {where[name]} and in {folder}; rename one.")
            where[name] = folder
