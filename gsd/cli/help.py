"""The text of --help, read off the config folders without importing anything heavy."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import indent

from gsd.cli.folders import CONF, files, groups
from gsd.errors import GsdError, did_you_mean

USAGE = """\
gsd [KEY=VALUE ...]                     one run: outputs/PROMPT/SIGNATURE/ (python run.py in a checkout)
gsd -m noising=random,consistent        a sweep: multirun/NAME/SIGNATURE/ for each run
gsd -m prompts=FILE                     a run of each line of a file, as of a benchmark's
gsd -m ... hydra/launcher=slurm         on a cluster; also joblib, ray; then gsd sweep --help
gsd experiment=NAME                     a preset;  --cfg job shows the config it makes
gsd --config-dir FOLDER ...             with options of your own: FOLDER/GROUP/OPTION.yaml (also $GSD_CONF)
gsd --help GROUP                        the options of a group
gsd --help GROUP=OPTION                 the settings of an option, with comments
gsd COMMAND --help                      programs on run folders: {commands}

The same command again continues an unfinished run and skips a finished one.

Groups (GROUP=OPTION; * marks the default, [a,b] chooses several):"""


def help_text(commands: dict[str, str], arguments: list[str]) -> str:
    """The options of each group that is named, the settings of each option that is named as GROUP=OPTION or
    GROUP=[A,B]; else all groups and settings."""
    parts: list[str] = []
    for group, sign, names in (argument.partition("=") for argument in arguments):
        if group in groups():
            parts += [_option_text(group, name) for name in names.strip("[]").split(",")] if sign else [_options(group)]
    return "\n\n".join(parts) or _overview(commands)


def _overview(commands: dict[str, str]) -> str:
    """Usage, every group with its options, one line each, and the top-level settings."""
    lines = [USAGE.format(commands=", ".join(commands))]
    lines += [f"\n{indent(_options(group), '  ')}" for group in groups()]
    lines += ["\nSettings (KEY=VALUE, GROUP.KEY=VALUE):\n"]
    lines += [f"  {line}" for line in _settings()]
    lines += ["", 'Completion in bash: eval "$(gsd -sc install=bash)"; --hydra-help for Hydra\'s own flags.']
    return "\n".join(lines)


def _options(group: str) -> str:
    """A group and its options, one line each; * marks the default."""
    default = _defaults().get(group, [])
    marked = [("*" if option.stem in default else " ", option) for option in files(group)]
    return "\n".join([group, *(f" {mark} {option.stem:<18} {_summary(option)}".rstrip() for mark, option in marked)])


def _option_text(group: str, name: str) -> str:
    """The yaml of an option: its settings with their defaults and comments."""
    found = {file.stem: file for file in files(group)}
    if name not in found:
        raise GsdError(f"{group}={name} does not exist; choose {', '.join(found)}{did_you_mean(name, found)}")
    hidden = ("# @package", "_target_")
    settings = [line for line in found[name].read_text(encoding="utf-8").splitlines() if not line.startswith(hidden)]
    return "\n".join([f"{group}={name}", *(f"  {line}" for line in settings)])


def _main_config() -> list[str]:
    return (CONF / "config.yaml").read_text(encoding="utf-8").splitlines()


def _defaults() -> dict[str, list[str]]:
    """group -> chosen options, from the defaults list of config.yaml."""
    lines = [line.strip()[2:] for line in _main_config() if line.startswith("  - ") and ":" in line]
    entries = [re.sub(r"\$\{.*,(\w+)\}", r"\1", line).split(":", 1) for line in lines]  # of ${...}: what else is taken
    return {e[0].strip(): e[1].split("#")[0].strip(" []").replace(" ", "").split(",") for e in entries}


def _settings() -> list[str]:
    """The lines of config.yaml between the defaults list and Hydra's own settings."""
    lines = _main_config()
    start = next(i for i, line in enumerate(lines) if line.startswith("prompt:"))
    stop = next(i for i, line in enumerate(lines) if line.startswith("hydra:"))
    return [line for line in lines[start:stop] if line.strip()]


def _summary(option: Path) -> str:
    """The first comment of a yaml that is not a package directive."""
    comments = (line for line in option.read_text(encoding="utf-8").splitlines() if line.startswith("#"))
    return next((c.lstrip("# ") for c in comments if not c.startswith("# @package")), "")
