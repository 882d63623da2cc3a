"""Values against their types: what pydantic refuses, as one sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, get_args, get_origin

from gsd.errors import GsdError, did_you_mean

MOST_SHOWN = 80  # letters of a value in a message


def checked(model: Any, values: Mapping[Any, Any], where: str, name: str) -> Any:
    """The values as the model has them; a GsdError for the first that it refuses."""
    import pydantic

    for key, value in values.items():
        field = model.model_fields.get(str(key))
        if field is not None and _has_flag(value) and not _takes_flags(field.annotation):
            raise GsdError(
                f"{'.'.join(filter(None, [where, str(key)]))}={_shown(value)}: true and false are not among its values."
            )
    try:
        return model(**{str(key): value for key, value in values.items()})
    except pydantic.ValidationError as error:
        raise GsdError(_sentence(where, name, values, error)) from error


def _has_flag(value: Any) -> bool:
    """Whether true or false is in it, which pydantic and Python would take for 1 and 0."""
    if isinstance(value, Mapping):
        return any(map(_has_flag, value.values()))
    return isinstance(value, bool) or (isinstance(value, list | tuple) and any(map(_has_flag, value)))


@cache
def _takes_flags(kind: Any) -> bool:
    """Whether a type has a place for true or false."""
    if kind is bool or kind is Any:
        return True
    inner = [field.annotation for field in getattr(kind, "model_fields", {}).values()]
    return any(each is True or each is False for each in get_args(kind)) or any(
        map(_takes_flags, [*inner, *(each for each in get_args(kind) if get_origin(kind) is not Literal)])
    )


def _shown(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "..."


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
    if first["type"] == "missing" and isinstance(value, list | tuple):
        return f"{'.'.join(filter(None, [where, *path]))}={_shown(value)} has too few values."
    if first["type"] == "missing":
        key = ".".join([where, *path, str(first["loc"][-1])])
        return (
            f"{key} has no value and {name} none by default; give {key}=..., or add it to the yaml (prompt, device, "
            "steps and seed come with a constructor parameter `context: gsd.types.Context`)."
        )
    text = f"{'.'.join(filter(None, [where, *path]))}={_shown(first['input'])}"
    text += f": {first['msg'][0].lower()}{first['msg'][1:]}"
    if first["type"] == "literal_error":
        text += did_you_mean(str(first["input"]), re.findall(r"'([^']*)'", first["ctx"]["expected"]))
    return text
