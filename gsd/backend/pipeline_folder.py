"""A text-to-image pipeline in the layout of diffusers, of any kind: found, and checked by its small files alone."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path

from gsd.backend.checkpoint import check_weights, located, read_json
from gsd.errors import GsdError

LIBRARIES = ("diffusers", "transformers")  # whose classes a folder may name
CLASSIC = "StableDiffusionPipeline"
WITHOUT_WEIGHTS = ("scheduler", "tokenizer", "feature_extractor", "image_processor")
UNUSED = ("safety_checker", "image_encoder")


def locate_pipeline(model: str, variant: str | None, families: Collection[str], family: str | None = None) -> Path:
    """The folder of a pipeline: a folder, or a hub id, downloaded on first use.

    Args:
        model: the folder or the id.
        variant: of the weights' files, such as fp16.
        families: names of pipeline classes that can be used.
        family: one of them, in place of the one that model_index.json names.

    Raises:
        GsdError: for a pipeline that is missing, incomplete, of another kind, or pickled.
    """
    return located(model, variant, "prior.model", partial(check_pipeline, families=families, family=family))


def check_pipeline(
    folder: Path, variant: str | None = None, *, families: Collection[str], family: str | None = None
) -> Path:
    """The folder itself, if it holds a whole pipeline of one of these families as safetensors."""
    name = f"prior.model={folder}"
    if not folder.is_dir():
        what = "is a single file" if folder.is_file() else "no such folder"
        raise GsdError(f"{name}: {what}; give the folder of a pipeline in the layout of diffusers, or a hub id.")
    index = read_json(folder / "model_index.json", name)
    kind = str(index.get("_class_name"))
    if kind == CLASSIC:
        raise GsdError(f"{name} is a Stable Diffusion 1.x or 2.x; use prior=stable_diffusion for it.")
    if family is None and kind not in families:
        raise GsdError(
            f"{name} is a {kind}; gsd knows {', '.join(families)}, and prior.family=NAME takes it for one of them."
        )
    for component, entry in index.items():
        if isinstance(entry, list) and entry[0] is not None and component not in UNUSED:
            _check_component(folder / component, entry, variant, name)
    return folder


def _check_component(folder: Path, entry: list[str], variant: str | None, name: str) -> None:
    library, kind = entry
    if library not in LIBRARIES:
        raise GsdError(
            f"{name}: its {folder.name} is a {kind} of {library}, code that gsd does not run; use a pipeline whose "
            f"parts are of {' and '.join(LIBRARIES)}."
        )
    if folder.name.startswith(WITHOUT_WEIGHTS):
        if not any(folder.glob("*.json")):
            raise GsdError(f"{name}: {folder.name}/ is missing or empty; copy the whole pipeline.")
        return
    read_json(folder / "config.json", name)
    check_weights(folder, "model" if library == "transformers" else "diffusion_pytorch_model", variant, name)
