"""What makes a run this run: the settings that can change its result, its device, and the files that it reads.

The signature, which names the run's folder, is a hash of it. identity.json in that folder has it in full (see
`gsd.results.owner`), so that a folder is believed or continued by the same run alone, whatever its name is.

Numbers are what they are worth: 7 is 7.0, but neither true nor "7". "auto" is what the device makes of it, where the
device alone decides. A file or a folder of weights counts by its content, wherever it lies; what is no file here, as a
hub id, counts by its text.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from gsd.backend.checkpoint import MODELS, PACKAGED, TINY_CONTROLNET
from gsd.backend.digests import digests
from gsd.backend.driver import CPU_BUILD, refuse_unused_gpu

EVERY = ("checkpoint_every", "images_every", "evaluate_every")
# Settings that cannot change a result; of the device, the kind can
NOT_IN_SIGNATURE = ("name", "device", "threads", *EVERY, "objective", "logger", "viewer", "hydra")
NO_STAGES = ("stages", None)  # a run without is what it was before there were any
LABELS = ("profile", "experiment", "scale")  # in the name of a folder, but not in what was computed
MEASURED = ("turntable", "metric")  # of the finished scene alone, which can be measured again
AUTO: dict[str, dict[str, str | bool]] = {
    "dtype": {"cpu": "fp32"},  # on a GPU it is the prior's choice
    "backend": {"cpu": "cpu"},  # on a GPU it is gsplat if that can be compiled
    "compile": {"cpu": False, "cuda": True},
    "channels_last": {"cpu": False, "cuda": True},
}
TEXTS = ("_target_", "kind", "variant", "keyword", "unwanted")  # keys whose words are not looked for on the disk
# A folder that a config names holds inputs if it has a file of these kinds, and else it is a word
KINDS = (".json", ".safetensors", ".pt", ".pth", ".npz", ".npy", ".ply", ".png", ".jpg", ".jpeg", ".webp")
OF_STAGES = "stages."
CLIP = PACKAGED.parent / "metric" / "tiny_clip"
SHIPPED = {  # what names instead of paths stand for
    **{("prior.model", name): PACKAGED / name for name in MODELS},
    ("prior.controlnet", "tiny"): TINY_CONTROLNET,
    **{(f"metric.{name}.model", "tiny"): CLIP for name in ("clip_score", "clip_view")},
}


@dataclass(frozen=True)
class Identity:
    """Everything that can change a run's result, as plain values."""

    device: str  # its kind
    settings: dict[str, Any]  # dotted key -> value
    files: dict[str, dict[str, str]] | None  # dotted key -> file of the folder it names ("": itself) -> digest

    @property
    def signature(self) -> str:
        """Eight hex digits that name a run."""
        files = self.files or {}
        named = {key: value for key, value in self.settings.items() if key not in files}
        text = _text([self.device, named, files])
        return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()

    def unlike(self, other: Identity) -> dict[str, str]:
        """dotted key -> in what it differs, in words from `other` to this one; labels aside.

        Of an option whose class is another one, the class alone. Files are compared where both sides know them.
        """
        files = {} if self.files is None or other.files is None else other.files | self.files
        found = {key: _files_differ(key, other, self) for key in files}
        if self.device != other.device:
            found["device"] = f"{other.device} -> {self.device}"
        for key in {*self.settings, *other.settings} - files.keys():
            was, now = (_text(each.settings[key]) if key in each.settings else "none" for each in (other, self))
            if was != now and key.partition(".")[0] not in LABELS:
                found[key] = f"{was} -> {now}"
        found = {key: words for key, words in found.items() if words}
        replaced = tuple(key.removesuffix("_target_") for key in found if key.endswith("._target_"))
        empty = {key for key in found if any(other.startswith(f"{key}.") for other in found)}  # on one side
        kept = (k for k in found if k not in empty and (k.endswith("._target_") or not k.startswith(replaced)))
        return {key: found[key] for key in sorted(kept, key=lambda key: (key.count("."), key))}


def identity(cfg: DictConfig) -> Identity:
    """That of a run with this config, on this machine as it is now."""
    kept = {str(key): cfg[key] for key in cfg if key not in NOT_IN_SIGNATURE}
    plain = {k: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v for k, v in kept.items()}
    return of_settings(plain, device_kind(cfg.device))


def of_settings(config: Any, device: str, with_files: bool = True) -> Identity:
    """That of a config as plain dictionaries, whose run used this kind of device."""
    settings = {
        key: AUTO.get(key.rpartition(".")[2], {}).get(device, value) if value == "auto" else value
        for key, value in _flat(config)
        if key.partition(".")[0] not in NOT_IN_SIGNATURE and (key, value) != NO_STAGES
    }
    named = {key: place for key, text in _texts(settings.items()) if (place := _place(key, text))}
    return Identity(device, settings, {key: digests(place) for key, place in named.items()} if with_files else None)


def signature(cfg: DictConfig) -> str:
    """Eight hex digits that name a run: a hash of its identity."""
    return identity(cfg).signature


def device_kind(name: str) -> str:
    """cpu, cuda ...: the setting `device`, without its number. A device that is not there is refused later."""
    if name != "auto":
        return name.partition(":")[0]
    from importlib.metadata import version

    if version("torch").endswith("+cpu"):  # known without importing it, which takes seconds
        refuse_unused_gpu(CPU_BUILD)
        return "cpu"
    from gsd.backend.device import pick_device

    return pick_device(name).type


def _flat(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key -> value; lists and empty sections are values."""
    if isinstance(value, dict) and (value or not key):
        for name, each in value.items():
            yield from _flat(each, f"{key}.{name}" if key else str(name))
    else:
        yield key, _plain(value)


def _plain(value: Any) -> Any:
    """Equal numbers become the same number."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


def _texts(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """The strings in values, those in lists by key.number, those in a stage's overrides by stages.NAME.KEY."""
    for key, value in values:
        if isinstance(value, str):
            yield key, value
        elif key.startswith(OF_STAGES) and isinstance(value, list):
            yield from ((f"{key}.{name}", text) for name, _, text in (str(each).partition("=") for each in value))
        elif isinstance(value, dict | list):
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            yield from _texts((f"{key}.{name}", each) for name, each in inner)


def _place(key: str, text: str) -> Path | None:
    """The file or folder that the value of an option names, if it is there."""
    key = key.split(".", 2)[2] if key.startswith(OF_STAGES) else key
    group, _, name = key.partition(".")
    if group == "prompting" or not name or name.rpartition(".")[2] in TEXTS or not any(map(str.isalnum, text)):
        return None
    if (key, text) in SHIPPED:
        return SHIPPED[key, text]
    try:
        place = Path(text.removeprefix("local-dir:")).expanduser()
        if place.is_file():
            return place
        inside = chain(place.iterdir(), place.glob("*/*") if "/" in text else ()) if place.is_dir() else ()
        return place if any(each.suffix.lower() in KINDS for each in inside) else None
    except (OSError, RuntimeError, ValueError):  # no text that a file system takes
        return None


def _files_differ(key: str, was: Identity, now: Identity) -> str:
    """In what a file or folder differs, in words; "" if its content is the same."""
    before, after = (each.files.get(key) if each.files else None for each in (was, now))
    if before == after:
        return ""
    old, new = (_text(each.settings.get(key, key)) for each in (was, now))
    if old != new:
        return f"{old} -> {new}"
    if before is None or after is None:
        return f"{new} was not there" if before is None else f"{new} is not there any more"
    names = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    inside = "" if names == [""] else f"{', '.join(names[:3])} in "
    return f"the content of {inside}{new} has changed"
