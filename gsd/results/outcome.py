"""How many fronts a scene has grown, by metric=truth, as one of four outcomes that exclude each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

Outcome = Literal["one_front", "janus", "no_front", "empty"]  # as in gsd.results.quantities
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
NOT_MEASURED = frozenset({"one_front", "no_front"})  # a summary has the other two


def outcome(metrics: Mapping[str, Any]) -> Outcome | None:
    """Of one scene; None where metric=truth has not measured it.

    A scene that shows nothing is empty, and neither Janus nor right. Runs from before `empty` was measured have none.
    """
    if "janus" not in metrics or "front_count" not in metrics:
        return None
    if metrics.get("empty"):
        return "empty"
    if metrics["janus"]:
        return "janus"
    return "one_front" if metrics["front_count"] == 1 else "no_front"


def outcomes(summary: Mapping[str, Any]) -> list[Outcome]:
    """Of the scenes of a run, one per particle; empty where metric=truth has not measured them."""
    found = [outcome(scene) for scene in summary.get("particles") or [summary]]
    return [each for each in found if each is not None]


def shares(summary: Mapping[str, Any]) -> dict[str, float]:
    """The shares of a run's scenes that have the outcomes of which a summary says nothing."""
    found = outcomes(summary)
    return {name: found.count(name) / len(found) for name in OUTCOMES if name in NOT_MEASURED} if found else {}


def verdict(metrics: Mapping[str, Any]) -> str:
    """The outcome of one scene in a few words."""
    match outcome(metrics):
        case "empty":
            return "empty: nothing that could have a face"
        case "janus":
            return f"Janus: {max(metrics['face_count'], metrics['front_count']):.0f} fronts"
        case "one_front":
            return "one front"
        case "no_front":
            return "no front is seen"
        case _:
            return "not measured"
