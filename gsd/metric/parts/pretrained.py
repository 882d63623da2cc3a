"""Models of transformers for the metrics, from this machine or the hub: found, and checked by their small files.

Only safetensors are read; pickles are refused. What a hub id lacks on this machine is downloaded on first use.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from gsd.backend.checkpoint import HUB_ID, from_hub, read_json
from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError
from gsd.metric.parts.pictures import Pictures, of_processor

PROCESSOR = "preprocessor_config.json"
WEIGHTS = "model*.safetensors"  # large ones are in several files
WANTED = ("*.json", "*.txt", WEIGHTS)


def locate_model(model: str, kinds: Collection[str], option: str, example: str) -> Path:
    """The folder of a model: a folder as transformers writes it, or a hub id.

    Args:
        model: the folder or the id.
        kinds: the values of "model_type" in its config.json that can be used.
        option: the config key, for error messages.
        example: a hub id that can be given instead.

    Raises:
        GsdError: for a model that is missing, incomplete, of another kind, or pickled; says what to do.
    """
    folder = Path(model).expanduser()
    if folder.exists() or not HUB_ID.fullmatch(model):
        return _checked(folder, kinds, f"{option}={model}", example)
    return from_hub(
        model,
        lambda cached: _checked(cached, kinds, f"{option}={model}", example),
        f"{option}={model}",
        f"{option}=/path/to/a/copy",
        allow_patterns=list(WANTED),
    )


def pictures_of(folder: Path, name: str) -> Pictures:
    """How the model sees pictures. Raises GsdError where its file does not say."""
    try:
        return of_processor(read_json(folder / PROCESSOR, name))
    except (KeyError, TypeError, ValueError) as error:
        raise GsdError(f"{name}: {PROCESSOR} does not say size, mean and deviation; copy it again.") from error


def frozen(kind: Any, folder: Path) -> Any:
    """The network by a class of transformers, in float32 and without gradients."""
    mend_torchvision()
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    model = kind.from_pretrained(folder, use_safetensors=True, local_files_only=True)
    return model.float().eval().requires_grad_(False)


def _checked(folder: Path, kinds: Collection[str], name: str, example: str) -> Path:
    """The folder itself, if all that is needed is in it."""
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "no such folder"
        raise GsdError(f"{name}: {what}; give the folder of a model of transformers, or a hub id such as {example}.")
    kind = read_json(folder / "config.json", name).get("model_type")
    if kind not in kinds:
        raise GsdError(f"{name} is a {kind}; give one of {', '.join(kinds)}, such as {example}.")
    if not (folder / PROCESSOR).is_file():
        raise GsdError(f"{name}: {PROCESSOR} is missing; copy the whole model.")
    if not any(folder.glob(WEIGHTS)):
        raise GsdError(
            f"{name} has no model.safetensors, and gsd reads no pickles; take a model that has one, such as {example}, "
            "or convert one you trust with transformers' save_pretrained."
        )
    return folder
