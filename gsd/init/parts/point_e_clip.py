"""What Point-E asks of CLIP, answered by transformers: the same weights as safetensors, without the package clip."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gsd.backend.checkpoint import downloaded, loading
from gsd.backend.torchvision_mend import mend_torchvision

MEAN = (0.48145466, 0.4578275, 0.40821073)  # of CLIP's training images, by channel
STD = (0.26862954, 0.26130258, 0.27577711)


class PointEClip:
    """In the place of point_e.models.pretrained_clip.FrozenImageCLIP, with the members that its networks use."""

    def __init__(self, folder: Path, device: torch.device) -> None:
        mend_torchvision()
        from transformers import CLIPModel, CLIPTokenizer
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()
        with loading(folder):
            model: Any = CLIPModel.from_pretrained(folder, use_safetensors=True)
            self.tokenizer: Any = CLIPTokenizer.from_pretrained(folder)
        self.model: Any = model.to(device).eval()
        self.device = device
        vision = self.model.config.vision_config
        self.image_size: int = vision.image_size
        self.feature_dim: int = self.model.config.projection_dim
        self.grid_size: int = vision.image_size // vision.patch_size
        self.grid_feature_dim: int = vision.hidden_size

    @torch.no_grad()
    def __call__(
        self,
        batch_size: int,
        images: Sequence[Any] | None = None,
        texts: Sequence[str] | None = None,
        embeddings: Float[Tensor, "B D"] | None = None,
    ) -> Float[Tensor, "B D"]:
        """Unit vectors of the texts, or the embeddings as they come; images enter by embed_images_grid alone."""
        if embeddings is not None:
            return embeddings
        if texts is None:
            raise ValueError("neither texts nor embeddings")
        tokens = self.tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt").to(self.device)
        features = self.model.text_projection(self.model.text_model(**tokens).pooler_output)
        return torch.nn.functional.normalize(features, dim=-1)

    @torch.no_grad()
    def embed_images_grid(self, images: Sequence[Any]) -> Float[Tensor, "B D L"]:
        """The patches of PIL images after the last block, L = grid_size^2."""
        pixels = torch.stack([self._pixels(image) for image in images]).to(self.device)
        hidden = self.model.vision_model(pixel_values=pixels).last_hidden_state
        return hidden[:, 1:].transpose(1, 2).contiguous()

    def _pixels(self, image: Any) -> Float[Tensor, "3 S S"]:
        """CLIP's own preparation: the shorter side to `image_size` (bicubic), the middle of it, normalised."""
        from PIL import Image

        size = self.image_size
        scale = size / min(image.size)
        image = image.resize([max(size, int(scale * side)) for side in image.size], Image.Resampling.BICUBIC)
        left, top = ((side - size) // 2 for side in image.size)
        image = image.crop((left, top, left + size, top + size))
        pixels = torch.from_numpy(np.asarray(image, np.float32) / 255).permute(2, 0, 1)
        return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


@contextmanager
def replace_clip(clip: PointEClip) -> Iterator[None]:
    """Inside, point_e builds its networks with `clip` instead of loading OpenAI's."""
    from point_e.models import transformer

    original = transformer.FrozenImageCLIP
    transformer.FrozenImageCLIP = lambda device, cache_dir=None: clip
    try:
        yield
    finally:
        transformer.FrozenImageCLIP = original


def locate_clip(model: str) -> Path:
    """The folder itself, or that of a hub id, downloaded if it is not here yet."""
    path = Path(model).expanduser()
    if (path / "config.json").is_file():
        return path
    import huggingface_hub

    wanted = ["*.json", "merges.txt", "vocab.txt", "model.safetensors"]
    remedy = f"get it where there is a network with `hf download {model}`, or set init.clip=/path/to/a/copy"
    download = partial(huggingface_hub.snapshot_download, model, allow_patterns=wanted)
    return downloaded(f"init.clip={model}", download, remedy)
