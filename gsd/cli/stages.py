"""The runs that come before a run: each is composed from what was typed for the run and the stage's own overrides.

A stage's overrides follow those that were typed, so that they win. What was typed of a group counts in a stage whose
option of that group is the run's own: a learning rate of Gaussians says nothing to a field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from omegaconf import DictConfig, open_dict

from gsd.cli.folders import groups
from gsd.cli.hydra import TERMS, compose
from gsd.config import options
from gsd.errors import GsdError
from gsd.experiment import check_particle, continues, refuse
from gsd.protocols import Representation
from gsd.settings import STAGE, check_order, stages_of, start_of

OF_THE_WHOLE = ("prompt", "seed", "device", "threads")  # also where a config was changed after it was composed
NOT_HERE = ("stages=null", "objective=null")


def planned(cfg: DictConfig) -> dict[str, DictConfig]:
    """The configs of a run's stages by name, in their order; empty for a run without.

    Everything that can be refused of them and of the run itself before anything large is loaded is refused here.

    Raises:
        GsdError: one sentence, with the stage's name.
    """
    stages = {name: _composed(cfg, name, overrides) for name, overrides in stages_of(cfg).items()}
    if stages:
        for name, config in stages.items():
            check_order(start_of(config), f"stages.{name}", list(stages), before=name)
            _of_stage(name, refuse, config)
            _of_stage(name, _check_start, config, stages)
        refuse(cfg)
        _check_start(cfg, stages)
        _refuse_unused(cfg, stages)
    return stages


def _refuse_unused(cfg: DictConfig, stages: dict[str, DictConfig]) -> None:
    used = {start_of(config) for config in (cfg, *stages.values())}
    if unused := [name for name in stages if name not in used]:
        raise GsdError(
            f"Nothing starts from stage {unused[0]}; say so by init=run init.path={STAGE}{unused[0]}, or leave it out."
        )


def _of_stage(name: str, call: Any, *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except GsdError as error:
        raise GsdError(f"stages.{name}: {error}") from error


def _check_start(cfg: DictConfig, stages: dict[str, DictConfig]) -> None:
    """Refuse a stage's scene that does not exist, or that the config's representation cannot start from."""
    if start := start_of(cfg):
        theirs, ours = (options(c.representation, "representation", Representation) for c in (stages[start], cfg))
        continues(theirs, ours, f"init.path={cfg.init.path}")
        check_particle(cfg.init.get("particle", 0), stages[start].particles, f"stage {start}")


def _composed(cfg: DictConfig, name: str, overrides: list[str]) -> DictConfig:
    typed = [word for word in cfg.hydra.overrides.task if _root(word) != "stages"]
    settings = [word for word in typed if "." in _key(word) and _root(word) in groups()]
    try:
        stage, refused = compose(*typed, *overrides, *NOT_HERE), False
    except GsdError:  # perhaps since some of it is of another option
        bare = [word for word in typed if word not in settings]
        stage, refused = _of_stage(name, compose, *bare, *overrides, *NOT_HERE), True
    left = [word for word in typed if word not in settings or _same_option(_key(word), cfg, stage)]
    if refused or left != typed:
        stage = _of_stage(name, compose, *left, *overrides, *NOT_HERE)
    own = set(map(_key, overrides))
    with open_dict(stage):
        for key in OF_THE_WHOLE:
            if key not in own:
                stage[key] = cfg[key]
        if start_of(stage) and not own & {"init.path", "experiment"}:  # where the run itself starts
            del stage.init.path
        stage.hydra.mode = cfg.hydra.mode
    return stage


def _same_option(key: str, one: DictConfig, other: DictConfig) -> bool:
    """Whether a setting of a group is of the same class in both configs."""
    group, name, *_ = key.split(".")
    path = (group, name) if group in TERMS else (group,)
    return _class(one, path) == _class(other, path)


def _class(cfg: Any, path: Iterable[str]) -> str | None:
    for key in path:
        cfg = cfg.get(key) if isinstance(cfg, DictConfig) else None
    return cfg.get("_target_") if isinstance(cfg, DictConfig) else None


def _key(override: str) -> str:
    return override.lstrip("+~").partition("=")[0]


def _root(override: str) -> str:
    return re.split("[./@]", _key(override))[0]
