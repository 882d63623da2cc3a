"""The checks that conftest.py has put into every function of the package: of shapes by jaxtyping, of types by beartype.

jaxtyping looks at every argument three times and at sizes in all of them, which takes longer than most of what is
called in a step. So only functions that have a shape in their signature are left to it.
"""

from functools import wraps
from types import FunctionType
from typing import get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray

_beartype = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int may stand for a float
_kept = {}


def checked(function):
    """`function`, which jaxtyping makes for a signature to be looked at, with the checks of that signature.

    What is defined inside a function comes anew with each of its calls, several in a step of a run, and to write its
    checks takes longer than to run it. It gets those of the last one with the same parameters and annotations.
    """
    if "<locals>" not in function.__qualname__:
        return _beartype(function)
    defaults = len(function.__defaults__ or ()), *(function.__kwdefaults__ or ())
    annotations = tuple(function.__annotations__.items())
    look = (function.__module__, function.__qualname__, function.__code__, defaults, annotations)
    if look not in _kept:
        _kept[look] = _beartype(function)
    return _kept[look]


def spare_jaxtyping() -> None:
    """From now on its decorator, which the import hook writes into modules, leaves out what has no shapes."""
    real = jaxtyping.jaxtyped

    @wraps(real)
    def jaxtyped(*functions, **options):
        if not functions:
            return lambda function: jaxtyped(function, **options)
        (function,) = functions
        return _without_shapes(function) or real(function, **options)

    jaxtyping.jaxtyped = jaxtyped


def _without_shapes(function):
    """A function that has no shape in its signature, with its checks; None for what is jaxtyping's."""
    if not isinstance(function, FunctionType):
        return None
    if not function.__annotations__:
        return function
    if "<locals>" in function.__qualname__:
        return None
    try:
        hints = get_type_hints(function, include_extras=True)
        return None if any(map(_shaped, hints.values())) else _beartype(function)
    except Exception:  # a name that is not there yet, or for mypy alone: jaxtyping takes it as Any
        return None


def _shaped(hint) -> bool:
    return (isinstance(hint, type) and issubclass(hint, AbstractArray)) or any(map(_shaped, get_args(hint)))
