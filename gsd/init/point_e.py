"""A start from Point-E (Nichol et al. 2022), through OpenAI's package point_e."""

from __future__ import annotations

import hashlib
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch

from gsd.backend.cache import cache_folder
from gsd.backend.digests import content
from gsd.errors import GsdError, gathered, reason
from gsd.init.parts.cloud import Growing
from gsd.init.parts.picture import Drawn, Picture, over_white
from gsd.init.parts.point_e_clip import PointEClip, locate_clip, replace_clip
from gsd.init.parts.sampled import FRONT, CloudCache, placed
from gsd.protocols import AsksPrior, Prior
from gsd.random import Stream
from gsd.ranges import Few, Length, Strength, Yaw
from gsd.types import Context, PointCloud

OTHERWISE = "or start with init=shap_e (pip only), init=menagerie or init=shell"
# Not an extra: it would bring OpenAI's CLIP from git, in the place of which transformers' stands; else gsd has it all
COMMIT = "fc8a607c08a3ea804cc82bf1ef8628f88a3a5d2f"
INSTALL = f"pip install --no-deps git+https://github.com/openai/point-e@{COMMIT}"
OF_TEXT: Literal["base40M-textvec"] = "base40M-textvec"
UPSAMPLER = "upsample"
AUTO = "auto"


class PointE(AsksPrior):
    """Points that Point-E makes of the prompt, or of an image: 1,024, and 3,072 more with `upsample`.

    model: base40M-textvec reads the prompt; base40M, base300M and base1B read `image` (GSD's and 3DFuse's choice is
    base1B). image: a file, or auto: the run's own prior draws a `picture` of the prompt, as 3DFuse does, and its
    background is removed. guidance_scale is that of the first stage; an image also guides the upsampler. weights: the
    folder of the .pt files; null: the cache, downloaded on first use. clip: a folder or hub id of CLIP ViT-L/14 as
    transformers keeps it. The cloud is turned by `yaw` degrees, so that its front looks along +x, and fitted into
    `radius` (world units). grow: noisy point growing. What was sampled is kept on disk.

    Nothing is unpickled: checkpoints are read with weights_only, and CLIP from safetensors.
    """

    def __init__(
        self,
        context: Context,
        model: Literal["base40M-textvec", "base40M", "base300M", "base1B"] = OF_TEXT,
        image: str | None = None,
        upsample: bool = True,
        weights: str | None = None,
        clip: str = "openai/clip-vit-large-patch14",
        guidance_scale: Strength = 3.0,
        sampling_steps: Few = 64,
        radius: Length = 0.6,
        yaw: Yaw = FRONT,
        grow: Growing | None = None,
        picture: Picture = Picture(),  # noqa: B008, it is frozen
    ) -> None:
        self.prompt, self.device = context.prompt, context.device
        self.image = None if image in (None, AUTO) else Path(str(image))
        self.drawn = Drawn(picture, context) if image == AUTO else None
        self.models = [model, UPSAMPLER] if upsample else [model]
        self.weights = Path(weights).expanduser() if weights else None
        self.clip, self.guidance_scale, self.sampling_steps = clip, guidance_scale, sampling_steps
        self.radius, self.yaw, self.grow = radius, yaw, grow
        _check_image(model, image)
        asked = self._asked()
        made_by = (content(weights), content(clip))
        self.cache = CloudCache("point_e", asked, self.models, *made_by, guidance_scale, sampling_steps)
        if not self.cache.any():
            self._locate()  # now, so that a run does not fail after its other parts were made

    def _asked(self) -> str:
        """What decides on what the model is shown."""
        if self.drawn is not None:
            self.asks_prior, self.texts = True, (self.drawn.text, self.drawn.prompt)
            return self.drawn.key
        return self.prompt if self.image is None else hashlib.blake2b(self.image.read_bytes()).hexdigest()

    def ask(self, prior: Prior) -> None:
        if self.drawn is not None:
            self.drawn.prior = prior

    def __call__(self, rng: Stream) -> PointCloud:
        if self.drawn is not None:
            self.picture = self.drawn(rng.sub("picture"))
        return placed(self.cache(rng, self._sample), self.yaw, self.radius, self.grow, rng)

    def _locate(self) -> tuple[list[Path], Path]:
        """The checkpoints of the stages and the folder of CLIP."""
        checkpoints = [partial(_checkpoint, name, self.weights) for name in self.models]
        _, clip, *files = gathered(_require_package, lambda: locate_clip(self.clip), *checkpoints)
        return files, clip

    @torch.no_grad()
    def _sample(self, rng: Stream) -> PointCloud:
        files, clip = self._locate()
        from point_e.diffusion.configs import DIFFUSION_CONFIGS, diffusion_from_config
        from point_e.diffusion.sampler import PointCloudSampler
        from point_e.models.configs import MODEL_CONFIGS, model_from_config

        stages = len(self.models)
        with replace_clip(PointEClip(clip, self.device)):
            networks = [model_from_config(MODEL_CONFIGS[name], self.device).eval() for name in self.models]
        for network, file in zip(networks, files, strict=True):
            _load(network, file)
        shown = self._shown()
        sampler = PointCloudSampler(
            device=self.device,
            models=networks,
            diffusions=[diffusion_from_config(DIFFUSION_CONFIGS[name]) for name in self.models],
            num_points=[MODEL_CONFIGS[name]["n_ctx"] for name in self.models],
            aux_channels=["R", "G", "B"],
            guidance_scale=[self.guidance_scale, 0.0 if shown is None else self.guidance_scale][:stages],
            model_kwargs_key_filter=["texts", ""][:stages] if shown is None else ["*"] * stages,
            use_karras=[True] * stages,
            karras_steps=[self.sampling_steps] * stages,
            sigma_min=[1e-3] * stages,
            sigma_max=[120, 160][:stages],
            s_churn=[3, 0][:stages],
        )
        asked = {"texts": [self.prompt]} if shown is None else {"images": [shown]}
        torch.manual_seed(rng.key())  # again, whatever making the networks has drawn
        cloud = sampler.output_to_point_clouds(sampler.sample_batch(1, asked))[0]
        rgb = torch.stack([torch.from_numpy(cloud.channels[k]) for k in "RGB"], -1)
        return PointCloud(torch.from_numpy(cloud.coords).float(), rgb.float().clamp(0, 1))

    def _shown(self) -> Any:
        """The picture, as PIL's; None for the prompt."""
        if self.picture is not None:
            return over_white(self.picture)
        return None if self.image is None else _opened(self.image)


def _require_package() -> None:
    if find_spec("point_e") is None:
        raise GsdError(f"init=point_e needs the package point_e: {INSTALL}, {OTHERWISE}.")


def _check_image(model: str, image: str | None) -> None:
    if model == OF_TEXT and image is not None:
        raise GsdError(f"init.model={OF_TEXT} reads the prompt, not an image; add init.model=base1B.")
    if model != OF_TEXT and image is None:
        raise GsdError(
            f"init.model={model} reads an image; add init.image=FILE or init.image=auto, or take init.model={OF_TEXT}."
        )
    if image not in (None, AUTO) and not Path(str(image)).is_file():
        raise GsdError(f"init.image={image}: no such file; the prior draws one for init.image=auto.")


def _opened(image: Path) -> Any:
    """RGB, over white where it is transparent."""
    from PIL import Image, UnidentifiedImageError

    try:
        picture = Image.open(image).convert("RGBA")
    except (UnidentifiedImageError, OSError) as error:
        raise GsdError(f"init.image={image} is not a readable picture ({error}).") from error
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture).convert("RGB")


def _checkpoint(name: str, folder: Path | None) -> Path:
    """The .pt file of a model; it is not read here. Without a folder, in the cache, where point_e downloads it to."""
    if find_spec("point_e") is None:  # which knows the files' names
        place = folder or cache_folder() / "point_e"
        if any(place.glob("*.pt")):
            return place
        raise GsdError(f"The weights of init=point_e are not in {place} either; the package downloads them once.")
    from point_e.models.download import MODEL_PATHS, fetch_file_cached

    url, place = MODEL_PATHS[name], folder or cache_folder() / "point_e"
    file = place / url.rsplit("/", 1)[-1]
    if file.is_file():
        return file
    how = f"get it where there is a network with `curl -o {file.name} {url}` and set init.weights to its folder"
    if folder is not None:  # nothing is added to a folder that a config names, which may be somebody else's
        raise GsdError(f"init.weights={folder}: {file.name} is missing; {how}, or leave it null, {OTHERWISE}.")
    try:
        return Path(fetch_file_cached(url, cache_dir=str(place)))
    except Exception as error:  # of requests and of the file system
        found = type(error).__name__
        raise GsdError(
            f"init=point_e: {file} is missing and cannot be downloaded ({found}); {how}, {OTHERWISE}."
        ) from error


def _load(network: torch.nn.Module, file: Path) -> None:
    try:
        network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises many kinds for a damaged file or other weights
        raise GsdError(f"{file} does not hold Point-E's weights ({reason(error)}); delete it and run again.") from error
