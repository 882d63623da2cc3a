"""The checks that conftest.py has put into every function of the package: of shapes by jaxtyping, of types by beartype.

jaxtyping looks at every argument three times, which takes longer than most of what is called in a step. So beartype
alone looks at a function, once, and where there are shapes in the signature jaxtyping keeps the sizes of the call.
"""

import inspect
from dataclasses import is_dataclass
from functools import wraps
from types import FunctionType
from typing import get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype
from jaxtyping import AbstractArray, TypeCheckError
from jaxtyping._storage import pop_shape_memo, push_shape_memo

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int may stand for a float
_with_shapes = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=TypeCheckError))
_kept = {}


def spare_jaxtyping() -> None:
    """From now on its decorator, which the import hook writes into modules, leaves what it can to beartype."""
    real = jaxtyping.jaxtyped

    @wraps(real)
    def jaxtyped(*functions, **options):
        if not functions:
            return lambda function: jaxtyped(function, **options)
        (function,) = functions
        if is_dataclass(function) and not hasattr(function.__init__, "__wrapped__"):  # which would be a base's
            function.__init__ = jaxtyped(function.__init__, **options)
        if isinstance(function, type) or not getattr(function, "__annotations__", True):
            return function
        return _sparingly(function) or real(function, **options)

    jaxtyping.jaxtyped = jaxtyped


def _sparingly(function):
    """The function with its checks; None for what is jaxtyping's.

    What is defined inside a function comes anew with each of its calls, several in a step of a run, and to write its
    checks takes longer than to run it. It gets those of the last one with the same parameters and annotations.
    """
    if not isinstance(function, FunctionType):
        return None
    if "<locals>" not in function.__qualname__:
        checks, sized = _checks(function)
    else:
        defaults = len(function.__defaults__ or ()), *(function.__kwdefaults__ or ())
        annotations = tuple(function.__annotations__.items())
        look = (function.__module__, function.__qualname__, function.__code__, defaults, annotations)
        if look not in _kept:
            _kept[look] = _checks(function)
        checks, sized = _kept[look]
        checks = checks and _around(checks, function)
    return sized(checks) if sized else checks


def _checks(function):
    """What beartype makes of it, None if it should not; and what puts sizes around that, if there are any."""
    try:
        hints = get_type_hints(function, include_extras=True)
        if not any(map(_shaped, hints.values())):
            return checked(function), None
        if inspect.isgeneratorfunction(function):
            return None, None
        named = any("{" in str(hint) for hint in hints.values())  # sizes that are arguments
        return _with_shapes(function), _bound if named else _sized
    except Exception:  # a name that is not there yet, or for mypy alone: jaxtyping takes it as Any
        return None, None


def _around(checks, function):
    """The checks that beartype has written for a function, around another one with the same signature."""
    if "__beartype_func" not in (checks.__kwdefaults__ or ()):  # there is nothing to check
        return function
    made = FunctionType(checks.__code__, checks.__globals__)
    made.__kwdefaults__ = checks.__kwdefaults__ | {"__beartype_func": function}
    return wraps(function)(made)


def _sized(function):
    """`function`, in each call of which a name in a shape has one size."""

    @wraps(function)
    def call(*args, **options):
        push_shape_memo({})
        try:
            return function(*args, **options)
        finally:
            pop_shape_memo()

    return call


def _bound(function):
    """The same with arguments as sizes."""
    signature = inspect.signature(function)

    @wraps(function)
    def call(*args, **options):
        bound = signature.bind(*args, **options)
        bound.apply_defaults()
        push_shape_memo(bound.arguments)
        try:
            return function(*args, **options)
        finally:
            pop_shape_memo()

    return call


def _shaped(hint) -> bool:
    return (isinstance(hint, type) and issubclass(hint, AbstractArray)) or any(map(_shaped, get_args(hint)))
