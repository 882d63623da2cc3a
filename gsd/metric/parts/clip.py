"""CLIP for the metrics: an open_clip model, from this machine or the hub, opened once per process.

Only safetensors are read; pickles are refused. Only the weights of a named tag or hub id are downloaded, on first use.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.backend.checkpoint import from_hub
from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError, did_you_mean, reason
from gsd.menagerie import find
from gsd.metric.parts.pictures import Pictures, in_chunks

TINY = Path(__file__).parents[1] / "tiny_clip"
CONFIG = "open_clip_config.json"
WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")  # open_clip prefers these to pickles
BESIDE = ("*.json", "*.txt", "*.model")  # the config and the files of tokenizers
HUB = "hf-hub:"
HOLDING = f"that holds {CONFIG} and {WEIGHTS[0]}"
COPY = f"/path/to/a/copy {HOLDING}"


class OpenClip:
    """A frozen open_clip model in float32. It moves to the device of the images; its results are on the CPU."""

    def __init__(self, model: Any, tokenizer: Callable[[list[str]], Tensor], preprocess: dict[str, Any]) -> None:
        self.model, self.tokenizer = model.float().eval().requires_grad_(False), tokenizer
        size = preprocess["size"]
        self.pictures = Pictures(
            (size, size) if isinstance(size, int) else tuple(size),
            "bilinear" if preprocess["interpolation"] == "bilinear" else "bicubic",
            preprocess["mean"],
            preprocess["std"],
        )

    @torch.no_grad()
    def similarity(self, rgb: Float[Tensor, "V 3 H W"], texts: Sequence[str], chunk: int) -> Float[Tensor, "V K"]:
        """Cosine of every image (values in [0, 1]) with every text; `chunk` images are encoded at a time."""
        self.model.to(rgb.device)
        features = in_chunks(rgb, self.pictures, chunk, lambda seen: self.model.encode_image(seen, normalize=True))
        tokens = self.tokenizer(list(texts)).to(rgb.device)
        return (features @ self.model.encode_text(tokens, normalize=True).T).float().cpu()


def load_clip(model: str, pretrained: str | None, option: str) -> OpenClip:
    """Open a CLIP model. The same arguments give the same object.

    Args:
        model: "tiny" (shipped), a folder in the layout that open_clip reads as local-dir:FOLDER, "hf-hub:OWNER/NAME",
            or a name that open_clip knows, such as ViT-B-32.
        pretrained: only with such a name: open_clip's tag, such as laion2b_s34b_b79k, or a .safetensors file.
        option: the prefix of the config keys `.model` and `.pretrained`, for error messages.

    Raises:
        GsdError: for a model that is unknown, missing, damaged or pickled; says what to do.
    """
    if model == "tiny" and not all((TINY / name).exists() for name in (CONFIG, WEIGHTS[0])):
        raise GsdError(
            f"{option}.model=tiny: its weights are not in {TINY}; make them with python experiments/tiny/train_clip.py,"
            f" or set {option}.model to a folder {HOLDING}."
        )
    folder = TINY if model == "tiny" else Path(model.removeprefix("local-dir:")).expanduser()
    if model == "tiny" or folder.exists() or model.startswith(HUB):
        if pretrained is not None:
            raise GsdError(
                f"{option}.pretrained={pretrained} belongs to a model that open_clip knows by name, and {model} has "
                f"weights of its own; set {option}.pretrained=null."
            )
        if model.startswith(HUB):
            folder = from_hub(
                model.removeprefix(HUB),
                lambda cached: _checked(cached, option),
                f"{option}.model={model}",
                f"{option}.model={COPY}",
                allow_patterns=[*BESIDE, *WEIGHTS],
            )
        return _open(f"local-dir:{_checked(folder, option)}", None, (), option)
    return _named(model, pretrained, option)


def warn_of_unknown(model: str, prompt: str, option: str) -> None:
    """The shipped CLIP was trained on the menagerie; of anything else it says something, which means nothing."""
    if model != "tiny":
        return
    try:
        find(prompt)
    except GsdError:
        logging.getLogger("gsd").warning(
            "gsd: the CLIP that comes with gsd knows the menagerie's animals alone, and %r names none: the numbers of "
            "%s mean nothing here; set %s.model=ViT-B-32 %s.pretrained=laion2b_s34b_b79k, or leave the metric out.",
            prompt, option.removeprefix("metric."), option, option,
        )  # fmt: skip


def _checked(folder: Path, option: str) -> Path:
    """The folder itself, if it holds a model as safetensors."""
    if not (folder / CONFIG).is_file():
        raise GsdError(f"{option}.model={folder}: {CONFIG} is missing; give a folder {HOLDING}.")
    if not any((folder / name).is_file() for name in WEIGHTS):
        raise GsdError(
            f"{option}.model={folder} has no {WEIGHTS[0]}, and gsd reads no pickles; give a folder {HOLDING}, or "
            "convert weights you trust with safetensors.torch.save_file."
        )
    return folder


def _named(model: str, pretrained: str | None, option: str) -> OpenClip:
    """One of open_clip's architectures with weights from a tag or a file."""
    mend_torchvision()
    import open_clip

    if model not in open_clip.list_models():
        raise GsdError(
            f"{option}.model={model} is neither tiny, a folder, {HUB}OWNER/NAME nor a name that open_clip knows"
            f"{did_you_mean(model, open_clip.list_models()) or '.'}"
        )
    tags = open_clip.list_pretrained_tags_by_model(model)
    if pretrained is None:
        raise GsdError(
            f"{option}.model={model} needs weights; set {option}.pretrained to a .safetensors file or one of its "
            f"tags: {', '.join(tags)}."
        )
    file = Path(pretrained).expanduser()
    if file.is_file():
        if file.suffix != ".safetensors":
            raise GsdError(
                f"{option}.pretrained={pretrained} may be a pickle, which can run any code when it is read; convert "
                "weights you trust with safetensors.torch.save_file and give the .safetensors file."
            )
        return _open(model, file, (), option)
    settings: dict[str, Any] = open_clip.get_pretrained_cfg(model, pretrained)
    if not settings:
        raise GsdError(
            f"{option}.pretrained={pretrained} is neither a file nor a tag of {model}, which has {', '.join(tags)}"
            f"{did_you_mean(pretrained, tags) or '.'}"
        )
    forced = {f"image_{name}": settings[name] for name in ("mean", "std", "interpolation") if settings.get(name)}
    forced["force_quick_gelu"] = bool(settings.get("quick_gelu"))
    weights = _tag_weights(settings, f"{option}.model={model} {option}.pretrained={pretrained}", option)
    return _open(model, weights, tuple(forced.items()), option)


def _tag_weights(settings: dict[str, Any], setting: str, option: str) -> Path:
    """The safetensors file of a tag. Most repositories hold one beside the pickle that open_clip's list names."""
    repository, _, name = settings.get("hf_hub", "").rpartition("/")
    file = Path(name).with_suffix(".safetensors").name if name else WEIGHTS[0]

    def check(folder: Path) -> Path:
        if not (folder / file).is_file():
            raise GsdError(
                f"{setting} has no {file}, and gsd reads no pickles; take another tag, or set {option}.model={COPY}."
            )
        return folder / file

    if not repository:
        return check(Path(file))
    return from_hub(repository, check, setting, f"{option}.model={COPY}", allow_patterns=[file])


def _open(name: str, weights: Path | None, forced: tuple[tuple[str, Any], ...], option: str) -> OpenClip:
    try:
        return _opened(name, weights, forced)
    except Exception as error:  # open_clip, safetensors, transformers and torch raise different kinds
        what = name.removeprefix("local-dir:") if weights is None else weights
        raise GsdError(
            f"{option}: {what} cannot be opened ({reason(error)}); copy or download it again, or set "
            f"{option}.model=tiny {option}.pretrained=null."
        ) from error


@lru_cache(maxsize=2)
def _opened(name: str, weights: Path | None, forced: tuple[tuple[str, Any], ...]) -> OpenClip:
    mend_torchvision()
    import open_clip

    pretrained = None if weights is None else str(weights)
    with _quiet():
        model = open_clip.create_model_and_transforms(name, pretrained=pretrained, **dict(forced))[0]
        return OpenClip(model, open_clip.get_tokenizer(name), open_clip.get_model_preprocess_cfg(model))


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the dozen lines per model that open_clip writes to the root logger, which Hydra shows."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)
