"""Command lines as tired people type them: keys, options and values that are wrong in every way, or right."""

from functools import cache

from launch import config
from omegaconf import OmegaConf

from gsd.cli.folders import groups, options

SIZE = ("steps=1", "threads=1", "init.points=60", "camera.resolution=8", "turntable.views=2", "turntable.resolution=8")
QUICK = (*SIZE, "metric=none", "images_every=0", "device=cpu")
VALUES = [
    "0", "1", "2", "-1", "0.5", "1e-9", "1e38", "-1e38", "99999999999999999999", "1000000007", "nan", "inf", "-inf",
    "null", "true", "''", "a", "[]", "[1,2]", "{}", "{a: 1}", "[", "{", "'", '"', "a b", "a=b", "${seed}", "${nothing}",
    "${oc.env:HOME}", "\t", "1,2", "{kind: linear}", "{kind: share, value: 2}", "{kind: nothing, start: 1}", "é", "'é'",
    "a cat with a hat!", "builtins.int", "../..", "/dev/null", "/nonexistent", "x" * 300, "#1", "%", "\\", "1e400",
]  # fmt: skip
FLAGS = ["--cfg", "--cfg=job", "-m", "--help", "-c", "job", "--config-dir", "--nothing", "", "=", "--version", "--info"]


@cache
def keys():
    """Every setting of the defaults, and those of groups' options that are no defaults."""
    found = []
    for key, value in _flat(OmegaConf.to_container(config(), resolve=False)):
        found.append((key, value))
    return found


def _flat(section, prefix=""):
    for key, value in section.items():
        yield f"{prefix}{key}", value
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")


def command(rng):
    """The arguments of one."""
    typed = [_override(rng) for _ in range(rng.choice([1, 1, 2, 3]))]
    return [*QUICK, *typed]


def _override(rng):
    way = rng.random()
    key, value = rng.choice(keys())
    if way < 0.55:
        return f"{rng.choice(['', '', '', '+', '++', '~'])}{key}={rng.choice(VALUES)}"
    if way < 0.65:
        return f"{_misspelt(rng, key)}={value}"
    if way < 0.85:
        group = rng.choice(groups())
        chosen = rng.choice([*options(group), rng.choice(VALUES)])
        if group == "prior" and chosen not in ("menagerie", *VALUES):
            chosen = "menagerie"  # networks take seconds
        return f"{group}={chosen}"
    if way < 0.93:
        return f"prompt={rng.choice(VALUES)}"
    return rng.choice(FLAGS)


def _misspelt(rng, key):
    at = rng.randrange(len(key))
    return key[:at] + rng.choice(["", "x", key[at] * 2, "."]) + key[at + 1 :]
