"""A config against the types and ranges of everything it names, before any part is made."""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from gsd import protocols, watching
from gsd.config import options
from gsd.errors import GsdError
from gsd.memory import check_memory

ONE = {  # group -> what its option must be
    "camera": protocols.Camera,
    "guidance": protocols.Guidance,
    "noising": protocols.Noising,
    "sigma": protocols.Sigma,
    "prompting": protocols.Prompting,
    "init": protocols.Init,
    "prior": protocols.Prior,
    "representation": protocols.Representation,
}
OR_NONE = {"densify": protocols.Densifier, "viewer": watching.Viewer}
SEVERAL = {"loss": protocols.Loss, "metric": protocols.Metric, "logger": watching.Logger}


def check(cfg: DictConfig, device: torch.device) -> None:
    """Refuse options that are unknown or out of range, and more than the machine's memory holds.

    Raises:
        GsdError: one sentence for the first mistake.
    """
    parts: dict[str, dict[str, Any]] = {}
    for group, kind in (ONE | OR_NONE).items():
        if group in ONE or _given(cfg, group):
            parts[group] = options(cfg[group], group, kind)[1]
    for group, kind in SEVERAL.items():
        for name, section in chosen(cfg, group).items():
            parts[f"{group}.{name}"] = options(section, f"{group}.{name}", kind)[1]
    check_memory(cfg, parts, device)


def chosen(cfg: DictConfig, group: str) -> dict[str, Any]:
    """The options of a group that takes several. A preset may leave numbers for a term that was not chosen."""
    if not _given(cfg, group):
        return {}
    if "_target_" in cfg[group]:
        raise GsdError(f"{group}._target_ has no name; begin the option's file with '# @package {group}.NAME'.")
    return {str(k): v for k, v in cfg[group].items() if not (isinstance(v, DictConfig) and "_target_" not in v)}


def _given(cfg: DictConfig, group: str) -> bool:
    """Whether a group that may be empty has something. Raises GsdError for a value in place of a section."""
    section = cfg[group]
    if section is None or (isinstance(section, DictConfig) and not section):
        return False
    if not isinstance(section, DictConfig):
        value = OmegaConf.to_container(section) if OmegaConf.is_config(section) else section
        raise GsdError(f"{group} is {value!r} and should be a section, or empty: {group}=none.")
    return True
