"""What the GPU path aims at, and how near a check came."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Goal:
    what: str
    figure: str  # "stage/row/figure"; of several rows that begin alike, the largest
    most: float


GOALS = (
    Goal("a GSD step of Stable Diffusion over an SDS step", "cost/gsd/x sds", 1.02),
    Goal("an SDS step over the usual one", "cost/sds/x usual sds", 0.7),
    Goal(
        "consistent noise, 9 sub-points per point, ms",
        "noisings/consistent noising.upsample=9 noising.cells=0/ms on the GPU",
        0.3,
    ),
    Goal("memory of every preset at its authors' size, GB", "presets/*/GB", 24.0),
)


def goals(figures: Mapping[str, object]) -> list[dict[str, str]]:
    """One row per goal. A goal that is missed fails no check: it is a measurement of the card."""
    return [_judged(goal, figures) for goal in GOALS]


def _judged(goal: Goal, figures: Mapping[str, object]) -> dict[str, str]:
    before, star, after = goal.figure.partition("*")
    found = [
        value
        for name, value in figures.items()
        if (name.startswith(before) and name.endswith(after) if star else name == goal.figure)
        and isinstance(value, float | int)
    ]
    row = {"goal": goal.what, "at most": f"{goal.most:g}", "found": "not measured", "reached": ""}
    return row | (
        {"found": f"{max(found):.3g}", "reached": "yes" if max(found) <= goal.most else "no"} if found else {}
    )
