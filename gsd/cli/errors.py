"""Errors as one sentence: what the user can mend ends in exit code 1, without a traceback."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path
from typing import Any

from gsd.cli.folders import files, groups, own_folders
from gsd.cli.overrides import refusal
from gsd.cli.streams import endure
from gsd.errors import GsdError, did_you_mean


def _unknown(preset: str, key: str) -> str:
    from gsd.settings import Config, Turntable

    known = [each.name for kind in (Config, Turntable) for each in fields(kind)]
    return f"The preset {preset} sets '{key}', which does not exist{did_you_mean(key, known) or '; see gsd --help'}"


def _no_group(preset: str | None, group: str) -> str:
    if preset and (found := re.fullmatch(r"(?:experiment|scale)/([\w/]+).*", group)):
        return f"In the defaults of the preset {preset}, write '- override /{found[1]}: OPTION', with a slash in front."
    where = (
        f"The preset {preset} sets the group '{group}', which does not exist"
        if preset
        else f"There is no group {group}"
    )
    return f"{where}{did_you_mean(group, groups()) or '; see gsd --help'}"


def _wrong_type(preset: str, said: str, key: str) -> str:
    wanted = _wanted(said)
    what = f"{key or 'a section'} should be {wanted}" if wanted else f"{key or 'something'} is wrong: {said}"
    chosen = f"; in its defaults a group is chosen as '- override /{key}: OPTION'" if key in groups() else ""
    return f"In the preset {preset}, {what}{chosen}."


NO_PLACE = {  # what is wrong with a path that was given, or with its disk
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EEXIST, errno.EINVAL),
}
LEADS_BACK = "The defaults list of an option or preset leads back to itself; leave that out of it."
# What OmegaConf says of a value of the wrong type -> what it should be
SHOULD_BE = {
    "to Integer": "a whole number",
    "to Float": "a number",
    "not a valid bool": "true or false",
    "to string": "a text",
    "not Optional": "set to something, or left out",
    "not a subclass": "set by its own settings, as KEY.SETTING=VALUE",
    "with ListConfig": "set by its own settings, not by a list",
}


def _wanted(said: str) -> str:
    """What a value should be, by what OmegaConf says of it; '' for anything else it says."""
    return next((words for told, words in SHOULD_BE.items() if told in said), "")


def _mistyped(error: Exception) -> str:
    """Of KEY=VALUE where the setting is of another type; else ''."""
    found = re.fullmatch(r"Error merging override (.*)", str(error), re.DOTALL)
    override, cause = found[1].lstrip("+") if found else "", str(error.__cause__)
    key, _, value = override.partition("=")
    wanted = _wanted(cause)
    if not (override and wanted):
        return ""
    hint = ""
    if wanted == "a whole number":
        try:
            number = float(value)
            hint = f"; write {key}={int(number)}" if number.is_integer() else ""
        except (ValueError, OverflowError):
            pass
    return f"{override} should be {wanted}{hint}."


def _unresolved(name: str, key: str) -> str:
    return f"{key} refers to ${{{name}}}, which does not exist; ${{steps}} is a setting, \\${{steps}} the text itself."


TWICE = "{0} is chosen twice; in a preset write '- override /{0}: OPTION'."
OF_OMEGACONF = re.compile(r" *(full_key:|object_type=)")  # lines that say where its own objects are
# What their messages begin with, and what is said instead
SAID: dict[str, Callable[..., str]] = {
    r"In '(.*?)': ConfigKeyError raised while composing config:\nKey '(.*?)' not in '\w+'": _unknown,
    r"In '(.*?)': \w+ raised while composing config:\n(.*?)(?:\n *full_key: (\S*).*)?$": _wrong_type,
    r"(?:In '(.*?)': )?Could not override '(.*?)'\. No match": _no_group,
    r"Multiple values for (\S+)\.": TWICE.format,
    r"(\S+) appears more than once in the final defaults list": TWICE.format,
    r"Ambiguous value for argument '(.*?)'\n": refusal,
    r"Interpolation key '(.*?)' not found\n *full_key: (\S+)": _unresolved,
    r"Recursive interpolation detected\n *full_key: (\S+)": "{} refers to itself; give it a value.".format,
    r".*Missing mandatory value: (\S+)": "{} has no value; leave it as it is by default, or give it one.".format,
    r"GsdError raised while resolving interpolation: (.*?)(?:\n    full_key|$)": str,
    r"\w+ raised while resolving interpolation: \"?(.*?)\"?\n *full_key: (\S+)": "{1} cannot be read: {0}.".format,
    r"(Unsupported interpolation type .*?)\n *full_key: (\S+)": "{1} cannot be read: {0}.".format,
}


def guarded(main: Callable[[], None]) -> None:
    """Run a command. A user's mistake ends in one sentence on stderr and exit code 1, anything else as usual."""
    import hydra.errors
    import omegaconf.errors

    endure()  # a program of gsd.tools may be started by itself
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing and exiting
    try:
        main()
    except GsdError as error:
        sys.exit(f"error: {error}")
    except (hydra.errors.HydraException, omegaconf.errors.OmegaConfBaseException) as error:
        sys.exit(f"error: {explained(error)}")
    except RecursionError as error:
        if not leads_back(error):
            raise
        sys.exit(f"error: {LEADS_BACK}")
    except OSError as error:
        if error.errno not in NO_PLACE or not isinstance(error.filename, str | Path):
            raise
        why = "it is there, and no folder" if error.errno == errno.EEXIST else error.strerror
        sys.exit(f"error: {error.filename} cannot be read or written: {why}.")


def leads_back(error: RecursionError) -> bool:
    """Whether Hydra has gone round in a circle of defaults lists."""
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_filename.endswith("defaults_list.py") for frame, _ in frames)


def namesake() -> str:
    """One sentence where another distribution of the module gsd is installed, else ''."""
    if not any(True for folder in sys.path for _ in Path(folder).glob("gsd-*-info")):
        return ""
    return (
        "The distribution gsd is installed too (on the package index: a file format), and its module gsd replaces this "
        "one; run pip uninstall gsd, then install gsd-lab again, in a checkout by pip install -e ."
    )


def missing_plugin(launcher: str, package: str) -> str:
    """Hydra's own error names a class and no package."""
    extra = "ray" if package == "hydra_ray_launcher" else "cluster"
    plugin = package.replace("_", "-")
    return f"hydra/launcher={launcher} needs {plugin}: pip install -e '.[{extra}]' in a checkout."


def explained(error: Exception) -> str:
    """Hydra's and OmegaConf's errors, with the valid choices and the nearest match."""
    return _refusal(error) or _mistyped(error) or _explained(error)


def _explained(error: Exception) -> str:
    import hydra.errors
    import omegaconf.errors

    cause = error.__cause__ or error
    if isinstance(error, hydra.errors.OverrideParseException):
        return refusal(error.override)
    for pattern, sentence in SAID.items():
        if found := re.match(pattern, str(error), re.DOTALL):
            return sentence(*found.groups())
    missing = str(getattr(error, "missing_cfg_file", ""))
    if missing == "hydra/launcher/submitit_slurm":  # which conf/hydra/launcher/slurm.yaml extends
        return missing_plugin("slurm", "hydra_submitit_launcher")
    group, _, wrong = missing.rpartition("/")
    if isinstance(error, hydra.errors.MissingConfigException) and group:
        return _no_option(group, wrong, error.options or ())
    if isinstance(cause, omegaconf.errors.ConfigKeyError | omegaconf.errors.ConfigAttributeError):
        return _no_such_key(cause)
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not OF_OMEGACONF.match(line)]
    return " ".join(lines) + (f" ({str(cause).splitlines()[0]})" if cause is not error else "")


def _no_option(group: str, wrong: str, known: Iterable[str]) -> str:
    """Of GROUP=WRONG. Of a preset's defaults list, Hydra looks below the preset's own folder."""
    if (inner := group.rpartition("/")[2]) in groups() and inner != group:
        return f"{group}={wrong} does not exist; in a preset's defaults write '- override /{inner}: {wrong}'."
    near = next((file for folder in own_folders() for file in folder.glob(f"{group}/*") if file.stem == wrong), None)
    if near is not None and near.suffix != ".yaml":
        return f"{group}={wrong} does not exist; rename {near} to {wrong}.yaml, since options are .yaml files."
    choices = [each for each in known or (file.stem for file in files(group)) if each]
    return f"{group}={wrong} does not exist; choose {', '.join(choices)}{did_you_mean(wrong, choices)}"


def _no_such_key(error: Any) -> str:
    """Of OmegaConf's error for a key that a section does not have."""
    key, parent = str(error.full_key or error.key), error.parent_node
    choices = [str(k) for k in parent] if parent is not None else []
    group, _, name = key.rpartition(".")
    if not choices and (options := [f"{group}={file.stem}" for file in files(group)]):
        return f"'{key}' does not exist, since no {group} is chosen; choose {', '.join(options)}."
    return f"'{key}' does not exist; {group or 'the config'} has {', '.join(choices)}{did_you_mean(name, choices)}"


def _refusal(error: BaseException | None) -> str:
    """The sentence of one of our own resolvers, which OmegaConf wraps in errors of its own; else ''."""
    while error is not None and not isinstance(error, GsdError):
        error = error.__cause__ or error.__context__
    return str(error or "")
