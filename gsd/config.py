"""From a Hydra config to the typed parts of an experiment: the signature and make().

- make() turns a class's constructor into a pydantic model, so types, ranges and choices are written once, in Python;
  the yaml lists the defaults. Hydra has refused unknown keys and options before.
- `scale=laptop` is merged after `experiment`, then the preset's own file in conf/scale/laptop/, then the command line.
  Which parts stand in at that scale is said in the preset's defaults (`gsd.laptop`), since Hydra chooses all parts
  first.
- Importing this module is cheap (no torch), because --help, tab completion and the run folder's name need it.
"""

from __future__ import annotations

import inspect
import math
import re
import warnings
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from gsd.errors import GsdError, did_you_mean, reason
from gsd.identity import device_kind, signature
from gsd.settings import Config, check_settings
from gsd.validation import checked

if TYPE_CHECKING:
    from gsd.types import Context

Part = TypeVar("Part")
CONTEXT = "context"  # the constructor parameter that takes what no yaml can hold


def register() -> None:
    """Make the schema and the resolvers known to Hydra; safe to call again."""
    ConfigStore.instance().store("schema", Config)
    # conf/hydra/launcher/joblib.yaml is checked against the plugin's schema of that name, as is meant
    warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore schema")
    resolvers: dict[str, Callable[..., Any]] = {
        "gsd.signature": _signature_of_root,
        "gsd.name": _run_name,
        "gsd.sweep": _sweep_name,
        "gsd.step": _step,
        "gsd.scene_steps": _scene_steps,
        "gsd.laptop": _laptop,
        "gsd.tiny": _tiny,
        "gsd.gpus": _gpus,
    }
    for name, resolver in resolvers.items():
        OmegaConf.register_new_resolver(name, resolver, replace=True)


def _signature_of_root(*, _root_: DictConfig) -> str:
    return signature(_root_)


def _run_name(*, _root_: DictConfig) -> str:
    """outputs/NAME: the name given, else the prompt in letters that a folder can have."""
    check_settings(_root_)
    return _given_name(_root_) or _as_folder(_root_.prompt.lower()) or "run"


def _given_name(root: DictConfig) -> str | None:
    """`name=`, which schedulers and shells are told too: one folder below outputs/ or multirun/, and visible."""
    name: str | None = root.name
    if name and not (name.isprintable() and name == name.strip() and name[0] not in "-." and "/" not in name):
        raise GsdError(
            f"name={name!r} must name one folder: printable characters without '/', and neither '-', '.' nor a space "
            "in front."
        )
    return name


def _sweep_name(*, _root_: DictConfig) -> str:
    """multirun/NAME: the name given, else the preset's, else the keys that are swept, else, of seeds, as for a run.

    Without the values, so that a sweep with more of them goes on with what is done.
    """
    check_settings(_root_)
    preset = _root_.hydra.runtime.choices.get("experiment")
    keys = [key for key in _swept(_root_.hydra) if key != "seed"]
    return _given_name(_root_) or preset or _as_folder("_".join(keys)) or _run_name(_root_=_root_)


def _swept(hydra: DictConfig) -> list[str]:
    """The keys that the command line or the sweeper's own parameters give several values."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    given = OverridesParser.create().parse_overrides(list(hydra.overrides.task))
    keys = [override.key_or_group for override in given if override.is_sweep_override()]
    return list(dict.fromkeys([*keys, *map(str, hydra.sweeper.get("params") or {})]))


def _as_folder(text: str) -> str:
    """In letters that a folder can have, and not too long."""
    return re.sub(r"[^A-Za-z0-9.]+", "_", text)[:60].strip("_.")


def _step(number: int, length: int, *, _root_: DictConfig) -> int:
    """${gsd.step:500,1200}: the step of this run that step 500 is of one of 1200."""
    return max(1, round(number / length * _root_.steps))


def _scene_steps(*, _root_: DictConfig) -> int:
    """${gsd.scene_steps:}: the steps that each scene of this run takes."""
    return math.ceil(_root_.steps / max(1, _root_.particles))


def _laptop(there: str, otherwise: str, *, _root_: DictConfig) -> str:
    """${gsd.laptop:tiny,stable_diffusion}, in a defaults list: what scale=laptop takes, and what is taken otherwise."""
    return there if _root_.scale == "laptop" else otherwise


def _tiny(prior: str, there: str, otherwise: str) -> str:
    """${gsd.tiny:${prior},crisp,consistency}, in a defaults list: what the small networks take, and what others do."""
    return there if prior in ("tiny", "tiny_flow") else otherwise


def _gpus(*, _root_: DictConfig) -> int:
    """${gsd.gpus:}: how many GPUs a run takes."""
    return int(device_kind(_root_.device) == "cuda")


def make(section: Any, where: str, context: Context, kind: type[Part]) -> Part:
    """The object that a config section describes: its `_target_`, called with the section's values.

    Args:
        section: a node of the config with `_target_` and the options of that class.
        where: the section's key, for messages, such as "guidance" or "loss.opaque".
        context: what no yaml can hold; a class that has a constructor parameter `context` gets it.
        kind: the protocol that the object must fulfil, such as `gsd.protocols.Guidance`.

    Returns:
        The object. Its values were checked by pydantic against the constructor's signature (types, ranges, choices).

    Raises:
        GsdError: a class that cannot be imported or does not fulfil the protocol; an option that is unknown, missing,
            of a wrong type or out of range.

    Example:
        >>> cfg = gsd.compose("noising=lattice", "noising.cell=0.5")
        >>> noising = make(cfg.noising, "noising", Context(), Noising)
    """
    target, values = options(section, where, kind)
    offered = {CONTEXT: context} if CONTEXT in inspect.signature(target).parameters else {}
    try:
        made = target(**values, **offered)
    except TypeError as error:
        if "abstract" not in str(error):
            raise
        raise GsdError(f"{where}._target_={target.__name__}: {error}.") from error
    if not isinstance(made, kind):
        _refuse(
            where, target, kind, [name for name in (*kind.__annotations__, *_methods(kind)) if not hasattr(made, name)]
        )
    return made


def options(section: Any, where: str, kind: type) -> tuple[Any, dict[str, Any]]:
    """The class of a section and its checked options, without making anything. Arguments and errors as of `make`."""
    values, target = _target(section, where)
    inherited = {name for owner in target.__mro__[:-1] for name in vars(owner)}  # without what every object has
    if not inherited >= set(_methods(kind)):  # before its code runs
        _refuse(
            where, target, kind, [name for name in (*kind.__annotations__, *_methods(kind)) if name not in inherited]
        )
    known = options_of(target)
    if CONTEXT in values:
        raise GsdError(f"{where}.{CONTEXT} is reserved for what no yaml can hold (gsd.types.Context); rename it.")
    unknown = [k for k in values if k not in known]
    if unknown:
        left = " ".join(f"~{where}.{key}" for key in unknown)
        hint = did_you_mean(str(unknown[0]), known) or f"; if a preset has it for another option, add {left}"
        raise GsdError(f"{where} has no option '{unknown[0]}'; it has {', '.join(known) or 'none'}{hint}")
    model = checked(_model(target), values, where, target.__name__)
    return target, {name: getattr(model, name) for name in known}


@cache
def _model(target: Any) -> Any:
    import pydantic

    fields: dict[str, Any] = {**options_of(target)}
    config = pydantic.ConfigDict(arbitrary_types_allowed=True, allow_inf_nan=False)
    return pydantic.create_model(target.__name__, __config__=config, **fields)


def _methods(kind: type) -> list[str]:
    """What a class must define to be of that kind."""
    return [name for name, value in vars(kind).items() if callable(value) and (name[0] != "_" or name == "__call__")]


def _refuse(where: str, target: Any, kind: type, lacking: list[str]) -> None:
    raise GsdError(
        f"{where}._target_={target.__name__} is no {kind.__name__}: it lacks {', '.join(lacking)}; "
        f"subclass gsd.protocols.{kind.__name__}."
    )


def options_of(target: Any) -> dict[str, tuple[Any, Any]]:
    """The options of a class, its fields or constructor parameters: name -> type and default, `...` for none."""
    owner = next(each for each in target.__mro__ if "__init__" in vars(each))
    # A dataclass inherits fields from other modules, whose annotations its own module cannot resolve
    hints = get_type_hints(owner if "__dataclass_fields__" in vars(owner) else target.__init__, include_extras=True)
    return {
        name: (hints.get(name, Any), ... if p.default is p.empty else p.default)
        for name, p in inspect.signature(target).parameters.items()
        if name != CONTEXT and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def _target(section: Any, where: str) -> tuple[dict[str, Any], Any]:
    """The values of a section, and its class. An error in the code of its module keeps its traceback."""
    if not isinstance(section, DictConfig):
        raise GsdError(f"{where} is {section!r} and should be a section with the options of a class, {where}._target_.")
    values: Any = OmegaConf.to_container(section, resolve=True)
    if "_target_" not in values:
        raise GsdError(f"{where}._target_ is missing; it names the class, such as _target_: mine.Mine.")
    path = values.pop("_target_")
    if not isinstance(path, str):
        raise GsdError(f"{where}._target_={path} should be the name of a class, such as mine.Mine.")
    module, _, name = path.rpartition(".")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise GsdError(
            f"{where}._target_={path} does not name a class that can be imported: {reason(error)}. Your own modules "
            "are found in the folders of --config-dir and GSD_CONF."
        ) from error
    if not isinstance(found, type):
        raise GsdError(f"{where}._target_={path} is no class but a {type(found).__name__}.")
    return values, found
