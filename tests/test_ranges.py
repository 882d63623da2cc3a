"""No value of any option, however odd, does anything but work or be refused in one sentence, at once.

Options are found in the yaml files and their ranges in the types of their classes.
"""

import contextlib
import inspect
import itertools
import math
import random
import time
import types
from copy import deepcopy
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import pytest
import torch
from annotated_types import Interval
from hydra.utils import get_class
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel
from quick_config import LISTED, quick, read
from test_config import NEEDS, OF_A_CLASS

from gsd.check import ONE, OR_NONE, SEVERAL, check
from gsd.config import make, options, options_of
from gsd.errors import GsdError
from gsd.ranges import Fraction
from gsd.schedule import Linear, Points, Schedule, Share, Step, Weight, Within
from gsd.settings import Config, Turntable, check_settings
from gsd.types import CPU, Context

KINDS = ONE | OR_NONE | SEVERAL
CHEAP = ("camera", "sigma", "prompting", "noising", "densify", "guidance", "loss")  # whose parts are made too
ODD = (
    0,
    -1,
    0.5,
    math.nan,
    math.inf,
    -math.inf,
    1e38,
    -1e38,
    1e-300,
    10**30,
    "wide",
    "",
    True,
    [],
    [1, 2, 3],
    {},
    None,
)
TABLES = ({"kind": "step", "values": [1, math.nan], "at": [3]}, {"kind": "points", "values": [0, 1e38], "at": [0, 9]})
SECOND = 1.0  # of the processor


def parts(option):
    """Of GROUP=NAME or GROUP=[NAME]."""
    return option.replace("[", "").replace("]", "").split("=")


def where(option):
    """The group, and the key of the option's section."""
    group, name = parts(option)
    return group, f"{group}.{name}" if group in LISTED else group


@cache
def section(option):
    """The config, which callers put back as it was, and its section."""
    cfg = quick(option, *(o.format(folder="/nowhere") for o in NEEDS.get(option, ())))
    return cfg, OmegaConf.select(cfg, where(option)[1])


def edges(kind):
    """The bounds that a type states, and what lies just beyond."""
    found = []
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, Within):
            found += [meta.low, meta.high]
        if isinstance(meta, Interval):
            found += [bound for bound in (meta.ge, meta.gt, meta.le, meta.lt) if bound is not None]
    inner = [edge for arg in get_args(kind) if arg is not kind for edge in edges(arg)]
    return [*found, *(x + by * max(1, abs(x)) * 1e-3 for x in found for by in (-1, 1)), *(x + 1 for x in found), *inner]


def trials(option):
    """(option, key, value) for every key."""
    for key, (kind, _) in options_of(get_class(section(option)[1]._target_)).items():
        tables = TABLES if "schedule" in str(kind) else ()
        yield from ((option, key, value) for value in (*ODD, *tables, *edges(kind)))


def refusal(option, key, value):
    """The sentence that refuses it, or None; either at once, and nothing else."""
    cfg, part = section(option)
    (group, place), usual = where(option), deepcopy(part._get_node(key))
    part[key] = value
    before = time.process_time()
    try:
        if group in CHEAP:
            make(part, place, Context(cfg.prompt, steps=cfg.steps), KINDS[group])
        else:
            options(part, place, KINDS[group])
        check(cfg, CPU)
    except GsdError as error:
        return str(error)
    else:
        return None
    finally:
        part[key] = usual
        assert time.process_time() - before < SECOND


def is_sentence(text):
    return "\n" not in text and len(text) < 600


@pytest.fixture(scope="module", autouse=True)
def _imported():
    """Classes are imported once, which takes seconds and is not what is timed."""
    for option in OF_A_CLASS:
        with contextlib.suppress(GsdError):
            check(section(option)[0], CPU)


SAMPLE = random.Random(1)


def test_odd_values_work_or_are_refused_in_a_sentence():
    sample = [trial for option in OF_A_CLASS for trial in trials(option) if SAMPLE.random() < 0.03]
    refusals = [text for text in itertools.starmap(refusal, sample) if text is not None]
    assert all(map(is_sentence, refusals))
    assert len({option for option, _, _ in sample}) > 0.8 * len(OF_A_CLASS)
    assert 0.3 * len(sample) < len(refusals) < len(sample)


@pytest.mark.slow
@pytest.mark.parametrize("option", OF_A_CLASS)
def test_every_odd_value_works_or_is_refused_in_a_sentence(option):
    refusals = itertools.starmap(refusal, trials(option))
    assert all(is_sentence(text) for text in refusals if text is not None)


def unbounded(kind, known=False):
    """The names of numbers in a type that may be as small or as large as one likes."""
    if get_origin(kind) is Annotated:
        inner, *metas = get_args(kind)
        within = any(isinstance(meta, Within) for meta in metas)
        low = any(isinstance(m, Interval) and (m.ge, m.gt) != (None, None) for m in metas)
        high = any(isinstance(m, Interval) and (m.le, m.lt) != (None, None) for m in metas)
        return unbounded(inner, known or within or (low and high))
    if get_origin(kind) is Literal:
        return []
    if inspect.isclass(kind) and issubclass(kind, BaseModel):
        hints = get_type_hints(kind, include_extras=True)
        return [f"{kind.__name__}.{k}" for k, v in hints.items() if k in kind.model_fields and unbounded(v, known)]
    if get_args(kind):
        return [name for each in get_args(kind) for name in unbounded(each, known)]
    return [kind.__name__] if kind in (int, float, complex) and not known else []


@pytest.mark.parametrize("target", sorted({read(*parts(option))._target_ for option in OF_A_CLASS}))
def test_every_number_has_a_lower_and_an_upper_bound(target):
    assert {k: unbounded(kind) for k, (kind, _) in options_of(get_class(target)).items() if unbounded(kind)} == {}


@pytest.mark.parametrize("kind", [Config, Turntable])
def test_every_setting_has_a_lower_and_an_upper_bound(kind):
    hints = get_type_hints(kind, include_extras=True)
    assert [k for k, v in hints.items() if unbounded(v)] == []


def test_numbers_without_bounds_are_found():
    free = Annotated[float, Interval(ge=0)]
    for kind in (float, int | None, tuple[Fraction, float], free, Schedule, Linear, str | Step, types.UnionType):
        assert bool(unbounded(kind)) == (kind is not types.UnionType), kind
    for kind in (Fraction, Fraction | None, Weight, Share, Any, bool, Annotated[Schedule, Within(0, 1)]):
        assert not unbounded(kind), kind


KEYS = ("seed", "steps", "particles", "threads", "checkpoint_every", "images_every", "evaluate_every")
ROOT_KEYS = (*KEYS, *(f"turntable.{key}" for key in get_type_hints(Turntable)))


@pytest.mark.parametrize("key", ROOT_KEYS)
def test_settings_are_finite_and_within_bounds(key):
    kind = get_type_hints(Turntable if "." in key else Config, include_extras=True)[key.rpartition(".")[2]]
    bounds = sorted(x for x in edges(kind) if isinstance(x, int) or float(x).is_integer())
    base = quick(hydra=True)
    for value in (*ODD, *bounds):
        cfg = quick(base=base, hydra=True)
        try:
            OmegaConf.update(cfg, key, value)
        except OmegaConfBaseException:
            continue
        said = told(cfg)
        assert said.startswith(f"{key}=") if said else value is None or math.isfinite(value)


def told(cfg):
    try:
        check_settings(cfg)
    except GsdError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    "setting",
    [
        "guidance.guidance_scale=true",
        "camera.elevation=[true,30]",
        "prior.variants=false",
        "guidance.guidance_scale={kind: linear, start: true, end: 2}",
    ],
)
def test_true_is_no_number(setting):
    with pytest.raises(GsdError, match="true and false are not among its values"):
        check(quick(setting), CPU)


def test_schedules_obey_the_range_of_a_number():
    for bad in (
        {"kind": "linear", "start": 0.2, "end": -0.1, "until": 5},
        {"kind": "step", "values": [0.1, 1.01], "at": [10**8]},
        {"kind": "points", "values": [0.5, math.inf], "at": [1, 2]},
    ):
        with pytest.raises(GsdError, match=r"^noising\.gamma"):
            made("noising=consistent", gamma=bad)
    assert made("noising=consistent", gamma={"kind": "linear", "start": 0, "end": 1, "until": 5})
    with pytest.raises(GsdError, match=r"loss\.opaque\.weight\.value"):
        made("loss=[opaque]", weight={"kind": "share", "value": -0.1})
    with pytest.raises(GsdError, match=r"guidance\.clip\.limit"):
        made("guidance=csd", clip={"per": "view", "limit": {"kind": "linear", "start": -1, "end": 2, "until": 9}})


def made(option, **values):
    cfg, part = deepcopy(section(option))
    part.update(values)
    group, place = where(option)
    return make(part, place, Context(cfg.prompt), KINDS[group])


def test_points_of_a_schedule_stay_finite():
    assert Points(kind="points", values=[0, 1], at=[3, 3])(3) in (0, 1)
    assert torch.isfinite(torch.tensor(Linear(kind="linear", start=0, end=1, begin=5, until=5)(5)))
