"""A run folder's config, which may be somebody else's: it names classes, which building imports and calls.

It may name those of gsd, each in its own group, and the user's own: classes in the folders of --config-dir and
GSD_CONF, and those that the yamls there name. That is checked before anything is imported. Nothing in it is resolved;
a run's config is written resolved.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gsd.backend.regular import regular
from gsd.cli.folders import PACKAGE, groups, own_folders
from gsd.errors import GsdError
from gsd.results.runs import Run

TARGET = "_target_"
HYDRAS = re.compile(r"_[a-z]+_")  # keys that mean something to whoever instantiates a config: _partial_, _args_ ...
NAMED = re.compile(r"^\s*(?:- *)?_target_: *['\"]?([\w.]+)", re.MULTILINE)


def configuration(folder: Path) -> DictConfig:
    """What was asked for in a run folder.

    Raises GsdError where it is no run's, is damaged, or names what is neither gsd's nor the user's.
    """
    file = folder / "config.yaml"
    if not file.is_file():
        raise GsdError(f"{folder} is no run folder: it has no config.yaml; give outputs/PROMPT/SIGNATURE.")
    config = Run(folder).recipe
    for path, value in _leaves(config):
        key = ".".join(path)
        if path[-1] == TARGET:
            _check_target(value, path, file)
        elif any(map(HYDRAS.fullmatch, path)):
            raise GsdError(f"{file}: {key} is nothing that a run writes; do not use this folder unless you made it.")
        elif isinstance(value, str) and "${" in value and path != ("prompt",):
            raise GsdError(
                f"{file}: {key} is to be looked up elsewhere ({value}), which is not done for a run's folder; write "
                "the value there."
            )
    if isinstance(config.get("prompt"), str):
        config = config | {"prompt": config["prompt"].replace("${", r"\${")}  # a text with such letters, as it is
    return OmegaConf.create(config)


def _leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All that is in a config, with its keys; a `_target_` is one thing, whatever it holds."""
    if path and path[-1] == TARGET:
        yield path, value
    elif isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(each, (*path, str(key)))
    elif path:
        yield path, value


def _check_target(target: Any, path: tuple[str, ...], file: Path) -> None:
    if not isinstance(target, str) or not (_is_gsds(target, path[0]) or _is_users(target)):
        raise GsdError(
            f"{file}: {'.'.join(path)} is {target!r}, which is no class of gsd for {path[0]}, nor in a folder of "
            "yours, and was not imported; if it is yours, name its folder by --config-dir or GSD_CONF."
        )


def _is_gsds(target: str, group: str) -> bool:
    """Whether it is in the package of the group: what else gsd has was not made to be called by a config."""
    return group in groups() and target.startswith(f"gsd.{group}.") and _defines(PACKAGE.parent, target)


def _is_users(target: str) -> bool:
    return any(
        target in _named_in(folder) or (_defines(folder, target) and _is_imported_from(folder, target))
        for folder in own_folders()
    )


def _named_in(folder: Path) -> set[str]:
    """The classes that the options in a folder name."""
    return {name for file in folder.rglob("*.yaml") for name in NAMED.findall(_text(file))}


def _defines(root: Path, target: str) -> bool:
    """Whether a class is written in its module, below a folder; one that the module has imported is not its own."""
    module, _, name = target.rpartition(".")
    if not all(part.isidentifier() for part in target.split(".")):
        return False
    path = root.joinpath(*module.split("."))
    text = _text(path / "__init__.py" if path.is_dir() else path.with_suffix(".py"))
    return re.search(rf"^class {name}\b", text, re.MULTILINE) is not None


def _is_imported_from(folder: Path, target: str) -> bool:
    """Whether Python finds the outermost package there, and not one of the same name elsewhere. Imports nothing."""
    try:
        spec = find_spec(target.partition(".")[0])
    except (ImportError, ValueError):
        return False
    places = [spec.origin, *(spec.submodule_search_locations or ())] if spec else []
    return any(places) and all(Path(place).resolve().is_relative_to(folder.resolve()) for place in places if place)


def _text(file: Path) -> str:
    try:
        return regular(file).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
