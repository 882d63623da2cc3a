"""What surrounds Hydra on the command line: --help without imports, and errors as one sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from gsd.errors import GsdError, did_you_mean

CONF = Path(__file__).resolve().parents[1] / "conf"


def guarded(main: Callable[[], None]) -> None:
    """Run a Hydra main. A user's mistake ends in one sentence on stderr and exit code 1, anything else as usual."""
    if {"--help", "-h"} & set(sys.argv[1:]):
        print(help_text())
        return
    import hydra.errors
    import omegaconf.errors

    from gsd.config import register

    register()
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # Hydra then raises instead of printing and exiting
    try:
        main()
    except GsdError as error:
        sys.exit(f"error: {error}")
    except (hydra.errors.HydraException, omegaconf.errors.OmegaConfBaseException) as error:
        sys.exit(f"error: {_explain(error)}")


def help_text() -> str:
    """Usage, every group with its options, one line each, and the top-level settings, read off conf/."""
    lines = [
        "python run.py [KEY=VALUE ...]                one run: outputs/PROMPT/SIGNATURE/",
        "python run.py -m noising=random,consistent   a sweep: multirun/NAME/SIGNATURE/ for each run",
        "python run.py experiment=NAME                a preset;  --cfg job shows the config it makes",
        "",
        "The same command again continues an unfinished run and skips a finished one.",
        "",
        "Groups (GROUP=OPTION; * marks the default, [a,b] chooses several):",
    ]
    defaults = _defaults()
    for group in sorted(p for p in CONF.iterdir() if p.is_dir() and p.name != "hydra"):
        lines.append(f"\n  {group.name}")
        for option in sorted(group.glob("*.yaml")):
            mark = "*" if option.stem in defaults.get(group.name, "") else " "
            lines.append(f"   {mark} {option.stem:<18} {_summary(option)}")
    lines += ["\nSettings (KEY=VALUE, GROUP.KEY=VALUE):\n"]
    lines += [f"  {line}" for line in _settings()]
    lines += ["", 'Completion in bash: eval "$(python run.py -sc install=bash)"; --hydra-help for Hydra\'s own flags.']
    return "\n".join(lines)


def _main_config() -> list[str]:
    return (CONF / "config.yaml").read_text().splitlines()


def _defaults() -> dict[str, list[str]]:
    """group -> chosen options, from the defaults list of config.yaml."""
    entries = [line.strip()[2:].split(":", 1) for line in _main_config() if line.startswith("  - ") and ":" in line]
    return {e[0].strip(): e[1].split("#")[0].strip(" []").replace(" ", "").split(",") for e in entries}


def _settings() -> list[str]:
    """The lines of config.yaml between the defaults list and Hydra's own settings."""
    lines = _main_config()
    start = next(i for i, line in enumerate(lines) if line.startswith("prompt:"))
    stop = next(i for i, line in enumerate(lines) if line.startswith("hydra:"))
    return [line for line in lines[start:stop] if line.strip()]


def _summary(option: Path) -> str:
    """The first comment of a yaml that is not a package directive."""
    comments = (line for line in option.read_text().splitlines() if line.startswith("#"))
    return next((c.lstrip("# ") for c in comments if not c.startswith("# @package")), "")


def missing_plugin(launcher: str, package: str) -> str:
    """Hydra's own error names a class and no package."""
    extra = "ray" if package == "hydra_ray_launcher" else "cluster"
    return f"hydra/launcher={launcher} needs {package.replace('_', '-')}: pip install 'gsd[{extra}]'."


def _explain(error: Exception) -> str:
    """Hydra's and OmegaConf's errors, with the valid choices and the nearest match."""
    import hydra.errors
    import omegaconf.errors

    cause = error.__cause__ or error
    first_line = next(iter(str(error).splitlines()), "")
    if isinstance(error, hydra.errors.OverrideParseException) or "Ambiguous value" in first_line:
        return (
            f"{first_line}. A list needs brackets, a sweep needs -m, and text with commas, brackets or quotes needs "
            "quotes inside quotes: prompt='\"a cat, with a hat\"'."
        )
    missing = str(getattr(error, "missing_cfg_file", ""))
    if missing == "hydra/launcher/submitit_slurm":  # which conf/hydra/launcher/slurm.yaml extends
        return missing_plugin("slurm", "hydra_submitit_launcher")
    if isinstance(error, hydra.errors.MissingConfigException) and error.options is not None:
        group, _, wrong = missing.rpartition("/")
        choices = [o for o in error.options if o]
        return f"{group}={wrong} does not exist; choose {', '.join(choices)}{did_you_mean(wrong, choices)}"
    if isinstance(cause, omegaconf.errors.ConfigKeyError | omegaconf.errors.ConfigAttributeError):
        key = str(cause.full_key or cause.key)
        parent = cause.parent_node
        choices = [str(k) for k in parent] if parent is not None else []
        where = key.rpartition(".")[0] or "the config"
        return (
            f"'{key}' does not exist; {where} has {', '.join(choices)}{did_you_mean(key.rpartition('.')[2], choices)}"
        )
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines) + (f" ({str(cause).splitlines()[0]})" if cause is not error else "")
