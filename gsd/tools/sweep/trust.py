"""What sweep.json may ask for, which may be another person's file: settings of runs and sizes of launchers.

Whatever could run code, read the environment or write outside the sweep's folder has to be typed by the user.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from gsd.cli.folders import groups
from gsd.errors import GsdError
from gsd.results.sweep_folder import Sweep, SweepFolder

LAUNCHERS, SWEEPERS = ("basic", "joblib", "slurm", "ray"), ("gsd", "basic", "optuna")
SIZES = (  # numbers and names of hydra.launcher and hydra.sweeper
    *("n_jobs", "verbose", "partition", "account", "qos", "constraint", "exclude", "gres", "nodes", "tasks_per_node"),
    *("gpus_per_node", "cpus_per_task", "mem_gb", "timeout_min", "max_num_timeout", "signal_delay_s"),
    *("array_parallelism", "ray.remote.num_cpus", "ray.remote.num_gpus", "ray.remote.max_retries"),
    *("max_batch_size", "direction", "n_trials", "max_failure_rate", "sampler.seed"),
)
WORD = re.compile(r"[\w.:|&*-]*")
CHOICE = re.compile(r"[\w\-./,\[\]()*'\" ]*")


def repeatable(folder: SweepFolder, sweep: Sweep, typed: Sequence[str], own_folders: Sequence[str]) -> list[str]:
    """The overrides of a sweep that are to be repeated, without those that the user has typed again.

    Raises GsdError for one that is not harmless, and for config folders (which hold code) that the user has not named.
    """
    file = folder.path / "sweep.json"
    left = [override for override in sweep.overrides if override not in typed]
    if unsafe := [override for override in left if not harmless(override)]:
        asked = ", ".join(text if text.isprintable() else repr(text) for text in unsafe)
        raise GsdError(
            f"{file} asks for {asked}, which could run code or write outside its folder; if you trust it, type it "
            f"again: gsd sweep retry {shlex.quote(str(folder.path))} {shlex.join(unsafe)!r}"
        )
    if missing := [name for name in sweep.folders if name not in own_folders]:
        raise GsdError(
            f"{file} asks for the config folder {missing[0]!r}, whose modules would be run; if you trust it, name it: "
            f"--config-dir {shlex.quote(missing[0])}"
        )
    return left


def harmless(override: str) -> bool:
    """Whether it only sets what a run is, or how much of a machine it takes."""
    if "${" in override or "_target_" in override or not override.isprintable():
        return False
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:  # a flag, for one
        return False
    key, value = parsed.key_or_group, override.partition("=")[2]
    if "hydra" in (parsed.package or ""):
        return False
    if key.partition(".")[0].partition("/")[0] == "hydra":
        return _of_hydra(key, value)
    if "/" in key or key in groups():
        return ".." not in value and CHOICE.fullmatch(value) is not None  # a path may lead to any yaml
    return key.partition(".")[0] != "stages"  # which holds overrides of every kind


def _of_hydra(key: str, value: str) -> bool:
    if key in ("hydra/launcher", "hydra/sweeper"):
        return value in (LAUNCHERS if key == "hydra/launcher" else SWEEPERS)
    if key == "hydra.mode":
        return value in ("RUN", "MULTIRUN")
    _, node, name = [*key.split(".", 2), "", ""][:3]
    if node == "sweeper" and name.startswith("params."):
        return harmless(f"{name.removeprefix('params.')}={value.strip(chr(34) + chr(39))}")
    return node in ("launcher", "sweeper") and name in SIZES and WORD.fullmatch(value) is not None
