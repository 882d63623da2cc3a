"""Values against their types: what pydantic refuses, as one sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gsd.errors import GsdError, did_you_mean

MOST_SHOWN = 80  # letters of a value in a message


def checked(model: Any, values: Mapping[Any, Any], where: str, name: str) -> Any:
    """The values as the model has them; a GsdError for the first that it refuses."""
    import pydantic

    try:
        return model(**{str(key): value for key, value in values.items()})
    except pydantic.ValidationError as error:
        raise GsdError(_sentence(where, name, values, error)) from error


def _sentence(where: str, name: str, values: Mapping[Any, Any], error: Any) -> str:
    """The first problem of a pydantic error, as one sentence. Of a value that may be of several types, the deepest."""
    first = max(error.errors(), key=lambda each: len(each["loc"]))
    path, value = [], values
    for part in first["loc"]:  # names of types are in it too
        try:
            value = value[part]
        except (KeyError, IndexError, TypeError):
            continue
        path.append(str(part))
    if first["type"] == "missing":
        key = ".".join([where, *path, str(first["loc"][-1])])
        return (
            f"{key} has no value and {name} none by default; add it to the yaml (prompt, device, steps and "
            "seed come with a constructor parameter `context: gsd.types.Context`)."
        )
    shown = repr(first["input"])
    text = (
        ".".join(filter(None, [where, *path])) + f"={shown if len(shown) <= MOST_SHOWN else shown[:MOST_SHOWN] + '...'}"
    )
    text += f": {first['msg'][0].lower()}{first['msg'][1:]}"
    if first["type"] == "literal_error":
        text += did_you_mean(str(first["input"]), re.findall(r"'([^']*)'", first["ctx"]["expected"]))
    return text
