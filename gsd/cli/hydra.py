"""Hydra's part of the work: composing a config, and what a job of Hydra knows of itself.

The one file that asks Hydra's global state; everything else reads the node `hydra` that a config brings along.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from gsd.cli.errors import LEADS_BACK, explained, leads_back
from gsd.cli.folders import CONF, adopt, files, own_folders, use
from gsd.cli.overrides import FILES, understood
from gsd.config import register
from gsd.errors import GsdError, did_you_mean

_COMPOSING = threading.Lock()  # Hydra composes one config at a time
TERMS = ("loss", "metric", "logger")
KEPT = ("mode", "overrides.task", "runtime.choices")  # of the node `hydra`


def compose(*overrides: str) -> DictConfig:
    """The config that `python run.py OVERRIDES` makes.

    It neither needs nor changes Hydra's global state, so that notebooks, threads and jobs of Hydra may call it.

    Args:
        overrides: as on the command line, for example "noising=random", "steps=50".

    Returns:
        The config, which may be changed before it is built or run: `cfg.seed = 3`.

    Raises:
        GsdError: for an option or a key that does not exist, with those that do.

    Example:
        >>> cfg = gsd.compose("noising=random", "steps=50")
        >>> cfg.noising._target_
        'gsd.noising.random.Random'
    """
    import hydra
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    register()
    kept = understood(adopt(overrides))
    try:
        with _hydra():
            cfg = hydra.compose("config", kept, return_hydra_config=True)
        _refuse_lone_prompts(cfg.hydra)
        made = _with(cfg, cfg.hydra, "sweep.dir", "sweeper.params")
    except (HydraException, OmegaConfBaseException) as error:
        raise GsdError(explained(error)) from error
    except RecursionError as error:
        if not leads_back(error):
            raise
        raise GsdError(LEADS_BACK) from error
    _refuse_unknown_terms(made)
    with open_dict(made):  # not resolved: the folder's name follows the config, whatever is changed in it
        made.hydra.run = OmegaConf.to_container(cfg.hydra.run, resolve=False)
    return made


@contextmanager
def _hydra() -> Iterator[None]:
    """Hydra set up for conf/. What the process had set up before is put back."""
    import hydra
    from hydra.core.global_hydra import GlobalHydra
    from hydra.version import VersionBase

    with _COMPOSING:
        present, base = GlobalHydra.instance(), VersionBase.instance()
        before = present.hydra, base.version_base
        present.clear()
        try:
            with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
                yield
        finally:
            GlobalHydra.set_instance(present)
            present.hydra, base.version_base = before


def of_job(cfg: DictConfig) -> DictConfig:
    """The config of a job of Hydra, with what Hydra knows of the job in its node `hydra`."""
    from hydra.core.hydra_config import HydraConfig

    use(own_folders())
    _refuse_lone_prompts(HydraConfig.get())
    _tell_of_a_sweep(HydraConfig.get())
    _refuse_unknown_terms(cfg)
    return _with(cfg, HydraConfig.get(), "runtime.output_dir")


def run_folder(cfg: DictConfig) -> str:
    """The folder that the command gives a run: a job of Hydra knows its own, any other config the yaml's rule."""
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.select(cfg, "hydra.runtime.output_dir") or cfg.hydra.run.dir
    except OmegaConfBaseException as error:
        raise GsdError(explained(error)) from error


def choices(cfg: DictConfig) -> dict[str, Any]:
    """group -> the option chosen, by its name on the command line; a list of options for losses and metrics."""
    lists = {group: [name for name, part in cfg[group].items() if "_target_" in part] for group in TERMS[:2]}
    chosen = {k: v for k, v in cfg.hydra.runtime.choices.items() if not (k.startswith("hydra/") or "@" in k)}
    return {k: v for k, v in chosen.items() if k not in ("logger", "viewer")} | lists


def _refuse_lone_prompts(hydra: Any) -> None:
    """Files of prompts are a sweep's; a single run would pass over them."""
    from hydra.types import RunMode

    files = (hydra.sweeper.get("params") or {}).get(FILES)
    if files is not None and hydra.mode != RunMode.MULTIRUN:
        raise GsdError(f'{FILES}={files} makes a run of each line; add -m, or give one prompt as prompt="an owl".')


def _tell_of_a_sweep(hydra: Any) -> None:
    """A preset may say what is swept over; without -m it is one run, of the values by default."""
    from hydra.types import RunMode

    keys = ", ".join(map(str, hydra.sweeper.get("params") or {}))
    if keys and hydra.mode != RunMode.MULTIRUN:
        print(f"warning: the preset sweeps over {keys}, which is one run without -m.", file=sys.stderr, flush=True)


def _refuse_unknown_terms(cfg: DictConfig) -> None:
    """Of the groups that take several options: numbers for one that was not chosen are left, if it and they exist."""
    for group in TERMS:
        known = {file.stem: file for file in files(group)}
        for name, part in cfg[group].items() if isinstance(cfg[group], DictConfig) else ():
            if not isinstance(part, DictConfig) or "_target_" in part:
                continue
            if name not in known:
                raise GsdError(f"There is no {group}={name} to set{did_you_mean(str(name), known) or '.'}")
            keys = list(map(str, OmegaConf.load(known[name])))
            for key in map(str, part):
                if key not in keys:
                    raise GsdError(f"{group}.{name} has no option '{key}'{did_you_mean(key, keys) or '.'}")


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
