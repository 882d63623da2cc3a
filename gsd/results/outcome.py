"""What a scene has become, by metric=truth: one of four outcomes, of which every scene has exactly one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from gsd.results.reading import finite

Outcome = Literal["coherent", "janus", "turned", "empty"]  # as in gsd.results.quantities
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
COHERENT_DEG = 20.0  # a larger mean view error is of views that are not where they belong
NEEDED = frozenset({"janus", "face_count", "front_count", "view_error_deg"})


def outcome(metrics: Mapping[str, Any]) -> Outcome | None:
    """Of one scene; None where metric=truth has not measured it.

    empty      nothing that could have a face. Runs from before this was measured are never empty
    janus      two fronts or more
    coherent   one front, and views within COHERENT_DEG of where they belong, as the mean over the turntable. The front
               may have lost its face: that is a matter of quality, and face_count is 0
    turned     the rest: one front or none, and views that show other sides than they should, such as a back all around
    """
    if not all(finite(metrics.get(name)) for name in NEEDED):
        return None
    if metrics.get("empty"):
        return "empty"
    if metrics["janus"]:
        return "janus"
    return "coherent" if fronts(metrics) == 1 and metrics["view_error_deg"] < COHERENT_DEG else "turned"


def fronts(metrics: Mapping[str, Any]) -> int:
    """With a face or without."""
    return int(max(metrics["face_count"], metrics["front_count"]))


def outcomes(summary: Mapping[str, Any]) -> list[Outcome]:
    """Of the scenes of a run, one per particle; empty where metric=truth has not measured them."""
    found = [outcome(scene) for scene in summary.get("particles") or [summary]]
    return [each for each in found if each is not None]


def shares(summary: Mapping[str, Any]) -> dict[str, float]:
    """The share of a run's scenes with each outcome; empty where metric=truth has not measured them."""
    found = outcomes(summary)
    return {name: found.count(name) / len(found) for name in OUTCOMES} if found else {}


def verdict(metrics: Mapping[str, Any]) -> str:
    """The outcome of one scene in a few words."""
    match outcome(metrics):
        case "empty":
            return "empty: nothing that could have a face"
        case "janus":
            return f"Janus: {fronts(metrics)} fronts"
        case "coherent":
            return "coherent: 1 face" if metrics["face_count"] else "coherent, but no face is seen"
        case "turned":
            return f"turned: views are {metrics['view_error_deg']:.0f} degrees off"
        case _:
            return "not measured"
