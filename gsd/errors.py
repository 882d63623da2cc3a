"""The one exception a user sees without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class GsdError(Exception):
    """A problem the user can mend. Its message is one or two sentences that name the fix."""


def reason(error: Exception) -> str:
    """What another library's error says, in one line without a full stop: to stand in a sentence of ours."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """'; did you mean X?' for the choice nearest to `word`, or '' when none is near.

    One that begins with the same letter comes first: few mistakes are made in the first.
    """
    near = get_close_matches(word, list(choices), cutoff=0.5)
    return f"; did you mean {max(near, key=lambda choice: choice[:1] == word[:1])}?" if near else ""
