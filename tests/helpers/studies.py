"""Studies and votes written down by hand, for what needs no runs."""

from gsd.tools.study.analysis import Vote
from gsd.tools.study.study import CONSENT, QUESTIONS, Comparison, Shown, Study

NAMES = ("secretbaseline", "secretours")  # of the folders of the real runs (conftest.py)


def study(pairs: int = 4, broken: int = 2, **changes) -> Study:
    def scene(k: int, kind: str) -> Comparison:
        a, b = (Shown(run=f"runs/{side}/{k}", media=f"{kind}{k}{side}.png") for side in "ab")
        return Comparison(prompt=f"animal {k}", seed=k, a=a, b=b)

    values = {
        "names": ("plain", "better"), "seed": 7, "show": "views", "tie": False, "consent": CONSENT, "mirrored": 1,
        "pairs": tuple(scene(k, "pair") for k in range(pairs)), "trials": pairs,
        "broken": tuple(scene(k, "broken") for k in range(broken)),
    }  # fmt: skip
    return Study(**(values | changes))


def vote(
    rater: int, scene: int, prefers: str, kind: str = "pair", position: int = 0, left: str = "a", seconds=9.0
) -> Vote:
    """The same side ("a", "b" or "tie") preferred in all questions, or one for each, as "aab"."""
    sides = prefers if len(prefers) == len(QUESTIONS) and prefers != "tie" else [prefers] * len(QUESTIONS)
    choices = {
        q: "tie" if s == "tie" else "left" if s == left else "right" for q, s in zip(QUESTIONS, sides, strict=True)
    }
    return Vote(rater, position, kind, scene, left, choices, seconds)
