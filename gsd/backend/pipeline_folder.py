"""A text-to-image pipeline in the layout of diffusers, of any kind: found, and checked by its small files alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from gsd.backend.checkpoint import INDEX, check_weights, entry_of, located, read_json
from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError

LIBRARIES = ("diffusers", "transformers")  # whose classes a folder may name
CLASSIC = "StableDiffusionPipeline"
WHOLE, FAMILY = "copy the whole pipeline", "set prior.family=null, or the class that this pipeline is like"


@runtime_checkable
class Needs(Protocol):
    """What a pipeline of a family consists of, besides its autoencoder, its scheduler and the encoders' tokenizers."""

    network: str  # the component that denoises
    classes: tuple[str, ...]  # that it may have
    encoders: tuple[str, ...]  # of texts
    optional_encoders: tuple[str, ...]


@dataclass(frozen=True)
class Pipeline:
    """The folder of a pipeline, as its model_index.json describes it."""

    folder: Path
    kind: str  # the class of the family that it is taken for
    parts: dict[str, tuple[str, str]]  # component that is needed -> library and class
    settings: dict[str, Any]  # of the pipeline itself
    absent: tuple[str, ...]  # components that model_index.json names or its class knows, and that are not needed


def locate_pipeline(
    model: str, variant: str | None, families: Mapping[str, Needs], family: str | None = None
) -> Pipeline:
    """A pipeline in a folder, or by a hub id, of which the parts that are needed are downloaded on first use.

    Args:
        model: the folder or the id.
        variant: of the weights' files, such as fp16.
        families: what can be used, by the names of their classes.
        family: one of them, in place of the one that model_index.json names.

    Raises:
        GsdError: for a pipeline that is missing, incomplete, of another kind, or pickled.
    """
    read = partial(_read, families=families, family=family)

    def check(folder: Path, variant: str | None) -> Path:
        _check(read(folder), variant)
        return folder

    return read(located(model, variant, "prior.model", check, lambda folder: read(folder).parts))


def _read(folder: Path, families: Mapping[str, Needs], family: str | None) -> Pipeline:
    """What model_index.json says, if it is that of a whole pipeline of one of these families."""
    name = f"prior.model={folder}"
    if not folder.is_dir():
        what = "is a single file" if folder.is_file() else "no such folder"
        raise GsdError(f"{name}: {what}; give the folder of a pipeline in the layout of diffusers, or a hub id.")
    index = read_json(folder / INDEX, name)
    own = str(index.get("_class_name"))
    if own == CLASSIC:
        raise GsdError(f"{name} is a Stable Diffusion 1.x or 2.x; use prior=stable_diffusion for it.")
    if family is None and own not in families:
        raise GsdError(
            f"{name} is a {own}; gsd knows {', '.join(families)}, and prior.family=NAME takes it for one of them."
        )
    kind = family or own
    parts = _parts(index, families[kind], kind, name, WHOLE if kind == own else FAMILY)
    components = [part for part, entry in index.items() if isinstance(entry, list)]
    settings = {key: value for key, value in index.items() if key[0] != "_" and key not in components}
    optional = families[kind].optional_encoders
    known = dict.fromkeys((*components, *optional, *map(tokenizer_of, optional)))
    return Pipeline(folder, kind, parts, settings, tuple(part for part in known if part not in parts))


def _parts(index: dict[str, Any], needs: Needs, kind: str, name: str, mend: str) -> dict[str, tuple[str, str]]:
    """The components that a family needs."""
    more = [part for part in needs.optional_encoders if entry_of(index, part, name)]
    encoders = (*needs.encoders, *more)
    found = {}
    for part in (needs.network, "vae", "scheduler", *encoders, *map(tokenizer_of, encoders)):
        entry = entry_of(index, part, name)
        if entry is None:
            raise GsdError(f"{name}: its {INDEX} names no {part}, which a {kind} needs; {mend}.")
        if entry[0] not in LIBRARIES:
            raise GsdError(
                f"{name}: its {part} is a {entry[1]} of {entry[0]}, code that gsd does not run; use a pipeline whose "
                f"parts are of {' and '.join(LIBRARIES)}."
            )
        found[part] = entry
    network = found[needs.network][1]
    if network not in needs.classes:
        raise GsdError(f"{name}: its {needs.network} is a {network}, that of a {kind} is a {needs.classes[0]}; {mend}.")
    return found


def tokenizer_of(encoder: str) -> str:
    """The name of the component that cuts up the texts of a text encoder."""
    return encoder.replace("text_encoder", "tokenizer")


def _check(pipeline: Pipeline, variant: str | None) -> None:
    """Refuse a pipeline of which a file or a class is missing."""
    name, weights = f"prior.model={pipeline.folder}", {}
    for part, (library, kind) in pipeline.parts.items():
        _check_class(part, library, kind, name)
        folder = pipeline.folder / part
        if part == "scheduler":
            read_json(folder / "scheduler_config.json", name)
        elif part.startswith("tokenizer"):
            if not any(folder.glob("*.json")):
                raise GsdError(f"{name}: {part}/ is missing or empty; copy the whole pipeline.")
        else:
            read_json(folder / "config.json", name)
            weights[folder] = "model" if library == "transformers" else "diffusion_pytorch_model"
    check_weights(weights, variant, name)


def _check_class(part: str, library: str, kind: str, name: str) -> None:
    mend_torchvision()
    module = import_module(library)
    if not isinstance(getattr(module, kind, None), type):
        raise GsdError(
            f"{name}: its {part} is a {kind}, which {library} {module.__version__} does not have; install a newer one, "
            "or use another pipeline."
        )
