"""What pytest learns of every test by looking at it and at its fixtures.

A test that starts a program, itself or through its helpers, is marked `program`. Tests that share a fixture are one
group of pytest-xdist, so that it is made once; all others go to whichever worker is free.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

TESTS = f"{Path(__file__).resolve().parents[1]}/"
FIXTURES = {"browser", "cluster"}


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    found: dict[Any, bool] = {}
    for item in items:
        definitions = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
        functions = [definition.func for each in definitions.values() for definition in each]
        if definitions.keys() & FIXTURES or any(_starts(each, found) for each in (item.function, *functions)):  # type: ignore[attr-defined]
            item.add_marker(pytest.mark.program)
        if group := _shared(item, [each[-1] for each in definitions.values() if "/" in each[-1].baseid]):
            item.add_marker(pytest.mark.xdist_group(group))
            if config.getoption("loadgroup", False) and hasattr(item, "_id"):
                # pytest-xdist 3.8 hands groups on in the names of tests, which pytest 9.2 no longer lets it change
                item._id = type(item._id).parse(f"{item.nodeid}@{group}")


def _shared(item: pytest.Item, definitions: list[Any]) -> str | None:
    """The folder or file whose tests share a fixture with this one."""
    scopes = {definition.scope: definition.baseid for definition in definitions}
    own = item.nodeid.partition("::")[0] if {"module", "class"} & scopes.keys() else None
    return scopes.get("session") or own


def _starts(thing: Any, found: dict[Any, bool]) -> bool:
    """Whether a function or class of the tests uses `subprocess`, or others that do."""
    if thing is subprocess:
        return True
    if isinstance(thing, type) and issubclass(thing, subprocess.Popen):
        return True
    functions = list(vars(thing).values()) if isinstance(thing, type) else [thing]
    functions = [f for f in functions if isinstance(f, FunctionType) and f.__code__.co_filename.startswith(TESTS)]
    for function in functions:
        if function not in found:
            found[function] = False  # while its names are looked at
            uses = (function.__globals__.get(name) for name in set(_names(function.__code__)))
            found[function] = any(_starts(each, found) for each in uses)
    return any(found[function] for function in functions)


def _names(code: CodeType) -> Iterator[str]:
    """Global names in a function and the functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
