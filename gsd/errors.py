"""The one exception a user sees without a traceback."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Any


class GsdError(Exception):
    """A problem that the user can fix. Its message is one or two sentences that name the fix."""


def gathered(*attempts: Callable[[], Any]) -> list[Any]:
    """What each attempt returns. Where some raise GsdError, one GsdError says all that they say: nobody wants to get
    what is missing one thing at a time."""
    done, said = [], []
    for attempt in attempts:
        try:
            done.append(attempt())
        except GsdError as error:
            said.append(str(error))
    if said:
        raise GsdError(" ".join(dict.fromkeys(said)))
    return done


def reason(error: BaseException) -> str:
    """The first line of another library's error, without a full stop, for use inside a sentence."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """'; did you mean X?' for the choice nearest to `word`, or '' when none is near.

    Choices with the same first letter are preferred, since typing errors are rare in the first letter.
    """
    near = get_close_matches(word, list(choices), cutoff=0.5)
    return f"; did you mean {max(near, key=lambda choice: choice[:1] == word[:1])}?" if near else ""
