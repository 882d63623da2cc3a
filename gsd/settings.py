"""The settings of a run that belong to no group: their schema, types and ranges. Cheap to import, like `gsd.config`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Annotated, Any, get_type_hints

from annotated_types import Interval
from omegaconf import MISSING, DictConfig, OmegaConf

from gsd.errors import GsdError, did_you_mean
from gsd.ranges import Count, Degrees, Distance, Few, Fov, Pixels, Seed, StepNumber
from gsd.validation import checked

STAGE = "stage:"  # begins an init.path that is the folder of a stage of the run's own
STAGE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")
NOT_OF_STAGES = ("stages", "hydra", "name", "device", "threads", "objective")
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
    stages: Any = None  # name -> overrides, of the runs that come before; see `stages_of`
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
    for key in ("prompt", "name"):
        _check_references(cfg, key)
    stages_of(cfg)


def check_turntable(values: Mapping[str, Any]) -> None:
    """Refuse settings of a turntable that are unknown or out of range."""
    checked(_settings(Turntable), values, "turntable", Turntable.__name__)


def stages_of(cfg: Mapping[Any, Any]) -> dict[str, list[str]]:
    """The stages that a run goes through before it begins itself, in their order: name -> overrides, as typed.

    A stage is a run of its own. One that starts from an earlier one says so, as the run itself does:
    init=run init.path=stage:NAME.

    Raises:
        GsdError: one sentence for what is no list of stages, for names that are no folders, for overrides that cannot
            be meant, and where a stage starts from itself, from a later one or from none.
    """
    given = cfg.get("stages")
    if given is None:
        return {}
    given = OmegaConf.to_container(given, resolve=False) if OmegaConf.is_config(given) else given
    if not isinstance(given, dict) or not given:
        raise GsdError(f"stages={given!r} should be NAME: [OVERRIDE, ...] for each stage, or null for none.")
    for name, overrides in given.items():
        _check_stage(name, overrides)
        check_order(_start_in(overrides), f"stages.{name}", list(given), before=name)
    check_order(start_of(cfg), "The run", list(given))
    return given


def start_of(cfg: Mapping[Any, Any]) -> str | None:
    """The stage that a config starts from; None: from no stage."""
    init = OmegaConf.to_container(cfg["init"]) if "init" in cfg and OmegaConf.is_config(cfg["init"]) else None
    return _named(init.get("path")) if isinstance(init, dict) else None


def check_order(start: str | None, who: str, names: list[str], before: str | None = None) -> None:
    """Refuse a stage to start from that does not exist, or does not come before the stage `before`."""
    if start is not None and start not in names:
        raise GsdError(f"{who} starts from stage {start}, which does not exist; there are {', '.join(names)}.")
    if start is not None and before is not None and names.index(start) >= names.index(before):
        order = "itself" if start == before else f"stage {start}, which comes later"
        raise GsdError(f"{who} starts from {order}; a stage can start from an earlier one alone.")


def _named(path: Any) -> str | None:
    """The stage that an init.path names."""
    return path.removeprefix(STAGE) if isinstance(path, str) and path.startswith(STAGE) else None


def _check_stage(name: Any, overrides: Any) -> None:
    """Refuse a name that is no folder's, and what is no list of overrides that a stage can have."""
    if not isinstance(name, str) or not STAGE_NAME.fullmatch(name):
        raise GsdError(f"stages: {name!r} is no name of a stage; take letters, digits, '_' and '-'.")
    if not isinstance(overrides, list) or not overrides:
        raise GsdError(f"stages.{name}={overrides!r} should be a list of at least one override: [steps=100, ...].")
    for each in overrides:
        if not isinstance(each, str) or not (each.startswith("~") or "=" in each):
            raise GsdError(f"stages.{name}: {each!r} is no override; write KEY=VALUE, as one text.")
        if "${" in each:
            raise GsdError(
                f"stages.{name}: {each!r} would be looked up in the wrong config; put it into a preset of its own and "
                "name that: experiment=NAME."
            )
        if re.split("[./=]", each.lstrip("+~"))[0] in NOT_OF_STAGES:
            raise GsdError(f"stages.{name}: {each!r} belongs to the whole run; leave it out of its stages.")


def _start_in(overrides: list[str]) -> str | None:
    """The stage in the last init.path that they set."""
    paths = [each.partition("=")[2].strip("'\"") for each in overrides if each.lstrip("+").startswith("init.path=")]
    return _named(paths[-1]) if paths else None


@cache
def _settings(kind: type) -> Any:
    import pydantic

    hints = get_type_hints(kind, include_extras=True)
    plain: dict[str, Any] = {k: (v, ...) for k, v in hints.items() if v is not Any and v is not Turntable}
    config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)
    return pydantic.create_model(kind.__name__, __config__=config, **plain)


def _check_references(cfg: Mapping[Any, Any], key: str) -> None:
    """Refuse a text that names another setting which is null: it would read "None" there."""
    if isinstance(cfg, DictConfig) and OmegaConf.is_interpolation(cfg, key):
        written: Any = OmegaConf.to_container(OmegaConf.masked_copy(cfg, key), resolve=False)
        for name in re.findall(r"(?<!\\)(?:\\\\)*\$\{([^{}:]+)\}", written[key]):  # \${...} is the text itself
            if OmegaConf.select(cfg, name) is None:
                raise GsdError(f"{key}={written[key]!r}: {name} is null; give it a value or write the text out.")


def _check_text(key: str, text: str) -> None:
    odd = [c for c in text if unicodedata.category(c) in ("Cc", "Cs") and not (key == "prompt" and c.isspace())]
    if odd:
        raise GsdError(f"{key} has the character {odd[0]!r}, which is not text; leave it out.")
    longest = MOST_IN_PROMPT if key == "prompt" else MOST_IN_NAME
    if len(text.encode()) > longest:
        raise GsdError(f"{key} has {len(text.encode())} bytes and may have {longest}; shorten it.")
