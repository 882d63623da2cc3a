"""Hydra's part of the work: composing a config, and what a job of Hydra knows of itself.

The one file that asks Hydra's global state; everything else reads the node `hydra` that a config brings along.
"""

from __future__ import annotations

from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from gsd.cli.folders import CONF, adopt, own_folders, use
from gsd.config import register

KEPT = ("mode", "overrides.task", "runtime.choices")  # of the node `hydra`


def compose(*overrides: str) -> DictConfig:
    """The config that `python run.py OVERRIDES` makes.

    Args:
        overrides: as on the command line, for example "noising=random", "steps=50".

    Returns:
        The config, which may be changed before it is built. Its node `hydra` remembers overrides and choices.

    Raises:
        hydra.errors.HydraException or omegaconf.errors.OmegaConfBaseException for an option or a key that does not
        exist; `gsd.cli.errors.explained` has them as one sentence.

    Example:
        >>> cfg = gsd.compose("noising=random", "steps=50")
        >>> cfg.noising._target_
        'gsd.noising.random.Random'
    """
    import hydra

    register()
    kept = adopt(overrides)
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = hydra.compose("config", kept, return_hydra_config=True)
    return _with(cfg, cfg.hydra, "sweep.dir")


def of_job(cfg: DictConfig) -> DictConfig:
    """The config of a job of Hydra, with what Hydra knows of the job in its node `hydra`."""
    from hydra.core.hydra_config import HydraConfig

    use(own_folders())
    return _with(cfg, HydraConfig.get(), "runtime.output_dir")


def plain(cfg: DictConfig) -> DictConfig:
    """The config without the node `hydra`."""
    return OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])


def _with(cfg: DictConfig, hydra: Any, *more: str) -> DictConfig:
    made = plain(cfg)
    with read_write(made), open_dict(made):
        made.hydra = {}
        for key in (*KEPT, *more):
            OmegaConf.update(made.hydra, key, OmegaConf.select(hydra, key), force_add=True)
    return made
