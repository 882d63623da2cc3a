"""The one exception a user sees without a traceback."""

from collections.abc import Iterable
from difflib import get_close_matches


class GsdError(Exception):
    """A problem the user can mend. Its message is one or two sentences that name the fix."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """'; did you mean X?' for the choice nearest to `word`, or '' when none is near."""
    near = get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f"; did you mean {near[0]}?" if near else ""
