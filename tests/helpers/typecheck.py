"""The checker that the import hook of conftest.py applies to every function of the package."""

from beartype import BeartypeConf, beartype

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
