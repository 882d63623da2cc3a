"""The settings of a run that belong to no group: their schema, types and ranges. Cheap to import, like `gsd.config`."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Annotated, Any, get_type_hints

from annotated_types import Interval
from omegaconf import MISSING

from gsd.errors import GsdError, did_you_mean
from gsd.ranges import Count, Degrees, Distance, Few, Fov, Pixels, Seed, StepNumber
from gsd.validation import checked

MOST_IN_PROMPT = 10_000  # bytes
MOST_IN_NAME = 120  # so that file names and units of systemd made from it are short enough


@dataclass
class Turntable:
    """The evaluation cameras: one full turn."""

    views: Annotated[int, Interval(ge=1, le=3600)] = 120
    resolution: Pixels = 256
    elevation: Degrees = 15.0
    fov: Fov = 40.0
    distance: Distance = 2.2


@dataclass
class Config:
    """The root schema. Hydra refuses unknown keys and wrong types at this level, check_settings() what is out of range;
    the groups are checked by build()."""

    prompt: str = MISSING
    seed: Seed = 0
    steps: Count = 600
    particles: Few = 1
    name: str | None = None  # folder under outputs/ or multirun/
    device: str = "auto"
    threads: Few | None = None
    checkpoint_every: Count = 100
    images_every: StepNumber = 100
    evaluate_every: StepNumber = 0
    profile: bool = False
    objective: str | None = None  # a number of the summary, returned to the sweeper
    turntable: Turntable = field(default_factory=Turntable)
    representation: Any = MISSING
    densify: Any = None
    init: Any = MISSING
    prior: Any = MISSING
    prompting: Any = MISSING
    camera: Any = MISSING
    sigma: Any = MISSING
    guidance: Any = MISSING
    noising: Any = MISSING
    loss: Any = field(default_factory=dict)
    metric: Any = field(default_factory=dict)
    logger: Any = field(default_factory=dict)
    viewer: Any = None
    experiment: Any = None
    scale: Any = None


def check_settings(cfg: Mapping[Any, Any]) -> None:
    """Refuse top-level settings that are unknown or out of range, before a folder is named after them."""
    known = [each.name for each in fields(Config)]
    for key in cfg:
        if key not in (*known, "hydra"):
            raise GsdError(f"There is no setting '{key}'{did_you_mean(str(key), known) or '; see gsd --help'}")
    settings = {each.name: cfg[each.name] for each in fields(Config) if "Any" not in str(each.type)}
    turntable = dict(settings.pop("turntable"))
    for where, kind, values in (("", Config, settings), ("turntable", Turntable, turntable)):
        checked(_settings(kind), values, where, kind.__name__)
    _check_text("prompt", settings["prompt"])
    _check_text("name", settings["name"] or "x")
    if not settings["prompt"].strip():
        raise GsdError('The prompt is empty; say for example prompt="a cute meercat".')


@cache
def _settings(kind: type) -> Any:
    import pydantic

    hints = get_type_hints(kind, include_extras=True)
    plain: dict[str, Any] = {k: (v, ...) for k, v in hints.items() if v is not Any and v is not Turntable}
    config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
    return pydantic.create_model(kind.__name__, __config__=config, **plain)


def _check_text(key: str, text: str) -> None:
    odd = [c for c in text if unicodedata.category(c) in ("Cc", "Cs") and not (key == "prompt" and c.isspace())]
    if odd:
        raise GsdError(f"{key} has the character {odd[0]!r}, which is not text; leave it out.")
    longest = MOST_IN_PROMPT if key == "prompt" else MOST_IN_NAME
    if len(text.encode()) > longest:
        raise GsdError(f"{key} has {len(text.encode())} bytes and may have {longest}; shorten it.")
