"""launch.config without Hydra, which takes a third of a second each time: one config, changed in place.

For plain overrides: GROUP=OPTION, GROUP=[A,B] and KEY=VALUE. test_config.py holds it to Hydra for every option.
"""

from copy import deepcopy
from functools import cache
from pathlib import Path

from launch import SMALL, config
from omegaconf import DictConfig, OmegaConf, open_dict

from gsd.cli.folders import files, groups
from gsd.cli.hydra import plain

GROUPS = frozenset(groups()) - {"experiment", "scale"}
SMALLEST = (*SMALL, "steps=2", "turntable.views=2", "turntable.resolution=8")
TINY = ("tiny", "tiny_flow")  # which have losses of their own
LISTED = ("loss", "metric", "logger")  # groups of which a run takes several options, each under its name


def quick(*overrides: str, base: DictConfig | None = None, hydra: bool = False) -> DictConfig:
    """`base`, by default the plain program's config, with overrides."""
    cfg = config(hydra=True) if base is None else deepcopy(base)
    given = dict(override.split("=", 1) for override in overrides)
    if "loss" not in given and given.get("prior") in TINY:
        given["loss"] = "crisp"
    with open_dict(cfg):
        cfg.hydra.overrides.task = [*cfg.hydra.overrides.task, *overrides]
        for group in GROUPS & given.keys():
            cfg[group] = _section(group, given[group])
            cfg.hydra.runtime.choices[group] = given[group]
    values = [override for override in overrides if override.split("=")[0] not in GROUPS]
    cfg.merge_with(OmegaConf.from_dotlist(values))
    return cfg if hydra else plain(cfg)


def is_plain(override: str) -> bool:
    """Whether `quick` understands it."""
    root = override.partition("=")[0].partition(".")[0]
    return root[0] not in "+~" and root not in ("experiment", "scale", "hydra")


def _section(group: str, choice: str) -> DictConfig:
    if group not in LISTED:
        return deepcopy(read(group, choice))
    terms = OmegaConf.merge({}, *(_terms(group, name) for name in choice.strip("[]").split(",") if name))
    return OmegaConf.create({name: term for name, term in terms.items() if term})  # none and files are empty


def _terms(group: str, name: str) -> DictConfig:
    """The option by its name, or those that it consists of."""
    if "defaults" not in OmegaConf.load(_file(group, name)):
        return OmegaConf.create({name: deepcopy(read(group, name))})
    own = OmegaConf.load(_file(group, name))
    return OmegaConf.merge(*(_terms(group, each) for each in own.pop("defaults")), own)


def _file(group: str, name: str) -> Path:
    (file,) = (file for file in files(group) if file.stem == name)
    return file


@cache
def read(group: str, name: str) -> DictConfig:
    own = OmegaConf.load(_file(group, name))
    below = [read(group, each) for each in own.pop("defaults", []) if each != "_self_"]
    return OmegaConf.merge(*below, own)
