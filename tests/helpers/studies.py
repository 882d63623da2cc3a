"""Studies and votes written down by hand, for what needs no runs."""

from gsd.tools.study.study import OTHER, QUESTIONS, Scene, Study
from gsd.tools.study.votes import Vote

NAMES = ("secretbaseline", "secretours")  # of the folders of the real runs (conftest.py)


def study(pairs: int = 4, broken: int = 2, **changes) -> Study:
    def scene(k: int, kind: str) -> Scene:
        runs, films = ({side: f"{name}/{kind}{k}{side}" for side in "ab"} for name in ("runs", "films"))
        return Scene(prompt=f"animal {k}", seed=k, runs=runs, films=films)

    real, spoilt = ([scene(k, kind) for k in range(count)] for kind, count in (("pair", pairs), ("broken", broken)))
    return Study(**({"names": ("plain", "better"), "seed": 7, "pairs": real, "broken": spoilt} | changes))


def vote(rater, scene, prefers, kind="pair", position=0, left="a", seconds=9.0) -> Vote:
    """The same side, "a" or "b", preferred in all questions, or one for each, as "aab"."""
    choices = ["left" if side == left else "right" for side in prefers * (len(QUESTIONS) // len(prefers))]
    return Vote(rater, position, kind, scene, left, *choices, seconds)


def trials_of(rater, real="bbbb", broken="aa", mirrored=None, seconds=9.0) -> list[Vote]:
    """A rater's whole study: preferences on four pairs, on two spoilt scenes, and on the first pair mirrored."""
    shown = [(k, side, "pair") for k, side in enumerate(real)] + [(k, side, "broken") for k, side in enumerate(broken)]
    shown.append((0, mirrored or real[0], "mirrored"))
    sides = ["a"] * (len(shown) - 1) + [OTHER["a"]]
    return [
        vote(rater, *each, position=position, left=left, seconds=seconds)
        for position, (each, left) in enumerate(zip(shown, sides, strict=True))
    ]
