"""What is typed, made plain for Hydra: prompts may be any text, and what cannot be meant is refused in a sentence.

Hydra reads KEY=VALUE with a grammar of its own, in which 1e3 is a number, `a, b` a sweep, and ! or an accent no letter.
A prompt is text: it is quoted here as Hydra would have it, unless it may mean something else.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import fields
from functools import cache
from typing import Any

from gsd.cli.folders import groups, options
from gsd.errors import GsdError

TEXTS = ("prompt", "prompting.negative")  # any text, as typed
FILES = "prompts"  # files of prompts: a run of each line
NAMES = ("name", "objective")  # text that Hydra can read, but not a number; null is none
LISTED = ("experiment", "loss", "metric", "logger")  # groups of which several options may be chosen
WITH_VALUE = ("--cfg", "-c", "--package", "-p")  # flags of Hydra's
HELPS = ("--help", "-h", "--hydra-help")
KEY = re.compile(r"(\+{0,2}|~)[^\W\d][\w./@$:-]*")
EMPTY = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweep.subdir")
NUMBER = re.compile(r"-?\d+,\d+", re.ASCII)  # with a comma for the point
FUNCTIONS = ("choice(", "range(", "interval(", "glob(", "shuffle(", "sort(", "tag(", "str(")  # of Hydra's grammar


def understood(arguments: Iterable[str]) -> list[str]:
    """The command line as Hydra understands it.

    Raises GsdError for what Hydra cannot read, with what to type instead, and for values that no group can have.
    """
    arguments = list(arguments)
    several = bool({"-m", "--multirun"} & set(arguments))
    if several and (shows := {"--cfg", "-c", "--info", "-i"} & set(arguments)):
        raise GsdError(f"{min(shows)} shows what one run makes; leave -m and the values of the sweep out.")
    _check_sweeper(arguments)
    _check_flags({each.partition("=")[0] for each in arguments})
    for each in arguments:
        _check_key(each)
    made = [_understood(each, several) if "=" in each and each[0] != "-" else each for each in arguments]
    return _flags_last(made)


def _flags_last(arguments: list[str]) -> list[str]:
    """argparse, which Hydra uses, takes KEY=VALUE words before or after its flags, but not on both sides."""
    words, flags = [], []
    rest = iter(arguments)
    for each in rest:
        if each[:1] == "-":
            flags += [each, *([next(rest, "job")] if each in WITH_VALUE else [])]
        else:
            words.append(each)
    return [*words, *flags]


def right(key: str, text: str) -> str:
    """KEY=TEXT as it must be typed into a shell, for Hydra to read the text as it is."""
    return f"{key}={shlex.quote(quoted(text))}"


def refusal(argument: str) -> str:
    """The sentence for an argument that Hydra cannot read."""
    key, equals, value = argument.partition("=")
    if not equals:
        return f'{argument!r} is no KEY=VALUE; a text of several words needs quotes, as in prompt="a cat with a hat".'
    group = key.lstrip("+").partition("@")[0]
    if group in groups():
        choices = ", ".join(options(group))
        several = f"; several as {group}=[A,B]" if group in LISTED else ""
        sweep = "; with -m there is a run with each" if "," in value else ""
        return f"Hydra cannot read {_shown(argument)}; choose {choices}{several}{sweep}."
    if key.lstrip("+") not in TEXTS and "" in map(str.strip, value.split(",")):
        return f"{_shown(argument)} has an empty value beside a comma; leave the comma out."
    if NUMBER.fullmatch(value):
        point = value.replace(",", ".")
        return f"{_shown(argument)} is not one number; add -m for a run with each, or type {key}={point}."
    if value[:1] in ("[", "{") and key not in TEXTS:
        return f"Hydra cannot read {_shown(argument)}; put the texts in it into quotes, as in 'KEY=[\"a=b\"]'."
    odd = next((c for c in value if not _readable(c)), None)
    what = f"the character {odd!r} in" if odd else "the value of"
    sweep = ", or add -m to run with each of the values" if odd == "," else ""
    return f"Hydra cannot read {what} {_shown(argument)}; for this text type {right(key, _bare(value))}{sweep}."


def _understood(argument: str, several: bool) -> str:
    key, _, value = argument.partition("=")
    name = key.lstrip("+")
    if name in TEXTS:
        return f"{key}={_text(argument, value, several)}"
    if key == FILES:
        return f"++hydra.sweeper.params.{FILES}={quoted(value)}"
    parsed = _parsed(argument)
    if parsed is None:
        raise GsdError(refusal(argument))
    if name in NAMES and not parsed.is_sweep_override() and type(parsed.value()) in (int, float, bool):
        return f"{key}={quoted(value)}"
    group = name.partition("@")[0]
    if group in groups() or group.split("/")[0] == "hydra":
        _check_group(group, parsed)
    if key[0] not in "+~" and any(isinstance(value, dict) and "kind" in value for value in _values(parsed)):
        return f"++{argument}"  # a schedule of another kind has keys that the one it replaces has not
    return argument


def _text(argument: str, value: str, several: bool) -> str:
    """The value of a text for Hydra."""
    parsed = _parsed(argument)
    if parsed is not None and ("${" in value or value.startswith(FUNCTIONS)):
        return value
    if parsed is not None and parsed.is_sweep_override():
        plain = not set("'\"[](){}\\") & set(value)
        return ",".join(_plain(piece) for piece in value.split(",")) if several and plain else value
    if parsed is not None and isinstance(parsed.value(), str) and _is_as_typed(value, parsed.value()):
        return value
    if parsed is None and "," in value:
        if several and not set("'\"[](){}\\") & set(value):
            return ",".join(_plain(piece) for piece in value.split(","))
        if value[0] not in "[{":
            raise GsdError(refusal(argument))
    if value[0] in "'\"" and value.count(value[0]) % 2:
        raise GsdError(refusal(argument))  # a quote that was opened in the shell, perhaps, and not closed
    return quoted(value)


def _is_as_typed(value: str, read: str) -> bool:
    """Whether Hydra reads what is typed, or what is typed is quoted or escaped for Hydra."""
    return read == value.strip() or value[0] in "'\"" or "\\," in value


def _plain(piece: str) -> str:
    """One of the texts of a sweep."""
    parsed = _parsed(f"x={piece}")
    return piece if parsed is not None and isinstance(parsed.value(), str) else quoted(piece.strip())


def _parsed(argument: str) -> Any:
    """Hydra's reading of KEY=VALUE; None where it has none."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None
    except ValueError as error:  # Python reads whole numbers of up to 4,300 digits
        raise GsdError(f"{_shown(argument)} has too many digits; give a smaller number.") from error


@cache
def _settings() -> list[str]:
    from gsd.settings import Config  # imports OmegaConf, for which --help does not wait

    return [each.name for each in fields(Config)]


@cache
def _readable(character: str) -> bool:
    parsed = _parsed(f"x=a{character}a")
    return parsed is not None and not parsed.is_sweep_override() and parsed.value() == f"a{character}a"


def quoted(text: str) -> str:
    """A text as Hydra reads it back, letter by letter."""
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(text.replace("${", "\\${"), Quote.double).with_quotes()  # no reference to another setting


def _bare(value: str) -> str:
    """Without quotes at its ends, which were meant for Hydra."""
    return value.strip(value[0]) if value and value[0] in "'\"" else value


def _check_flags(given: set[str]) -> None:
    """Refuse Hydra's flags for other programs, and those that would do nothing."""
    if wrong := given & {"--config-name", "-cn", "--config-path", "-cp", "--experimental-rerun"}:
        raise GsdError(
            f"{min(wrong)}: gsd has a main config of its own; a preset is experiment=NAME, and options of your own lie "
            "in a folder, --config-dir FOLDER."
        )
    if (wrong := given & {"--resolve", "--package", "-p"}) and not given & {"--cfg", "-c", *HELPS}:
        raise GsdError(f"{min(wrong)} belongs to --cfg job.")


def _check_key(argument: str) -> None:
    """Refuse what cannot be the key of KEY=VALUE, and settings that are given as flags."""
    key, equals, value = argument.partition("=")
    name = key.lstrip("-")
    if key[:1] == "-" and re.split(r"[./]", name)[0] in _settings():
        raise GsdError(f"{_shown(argument)}: settings have no dashes; type {name}={value or 'VALUE'}.")
    if key[:1] != "-" and equals and not KEY.fullmatch(key):
        raise GsdError(f"{_shown(argument)}: {key!r} is no setting; write KEY=VALUE without spaces, as in seed=1.")
    if key in EMPTY and equals and not value:
        raise GsdError(f"{key}= names no folder; hydra.run.dir=. would be the present one.")
    if key[:1] == "~" and key[1:] in groups():
        choices = options(key[1:])
        instead = f"{key[1:]}=none" if "none" in choices else f"choose {', '.join(choices)}"
        raise GsdError(f"{key}: a group cannot be left out; {instead}.")


def _check_sweeper(arguments: list[str]) -> None:
    """Files of prompts are read by gsd's own sweeper."""
    named = next((each for each in arguments if each.startswith(f"{FILES}=")), None)
    sweeper = next((each for each in arguments if each.startswith("hydra/sweeper=")), "hydra/sweeper=gsd")
    if named == f"{FILES}=":
        raise GsdError(f"{FILES}= names no file; give a text file with one prompt per line.")
    if named and sweeper != "hydra/sweeper=gsd":
        raise GsdError(f"{_shown(named)} makes a grid of runs, which {sweeper} does not; leave one of them out.")


def _shown(argument: str, most: int = 120) -> str:
    return argument if len(argument) <= most else f"{argument[:most]}..."


def _check_group(group: str, parsed: Any) -> None:
    """Refuse values that are no names of options."""
    from hydra.core.override_parser.types import Glob

    for value in _values(parsed):
        if isinstance(value, Glob):
            continue
        several = isinstance(value, list) and group in LISTED
        names = value if several else [value]
        if not all(isinstance(name, str) for name in names):
            choices = options(group) or ["one of Hydra's"]
            shown = "null" if value is None else value
            raise GsdError(f"{group}={shown} is no option; choose {', '.join(choices)}, or leave {group} out.")


def _values(parsed: Any) -> Iterator[Any]:
    """What a key is set to; each in turn where it is swept over."""
    from hydra.core.override_parser.types import ChoiceSweep

    value = parsed.value()
    for each in value.list if isinstance(value, ChoiceSweep) else [value]:
        yield getattr(each, "text", each)
