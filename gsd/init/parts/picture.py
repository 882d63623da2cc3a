"""The picture that a start is made of, drawn by the run's own prior."""

from __future__ import annotations

import hashlib
import io
from typing import Annotated, Any, Literal

import numpy as np
import torch
from annotated_types import Interval
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from gsd.backend.cache import cache_folder, read, write
from gsd.backend.images import png, uint8
from gsd.errors import GsdError
from gsd.init.parts.matting import border, by_rembg, require_rembg
from gsd.protocols import Prior
from gsd.random import Stream
from gsd.ranges import Few, Strength
from gsd.sampling import draw
from gsd.types import Context

LEAST = 0.01  # of a picture must be object


class Picture(BaseModel):
    """Options of the picture.

    prompt: {prompt} is that of the run. steps: of the sampler. guidance_scale: None: what suits the prior, else 7.5.
    resolution: pixels, for a prior whose pictures have no size of their own (the menagerie). matting: how the
    background is removed, see `gsd.init.parts.matting`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    prompt: str = "{prompt}, front view"
    steps: Few = 30
    guidance_scale: Strength | None = None
    resolution: Annotated[int, Interval(ge=8, le=512)] = 128
    matting: Literal["border", "rembg", "none"] = "border"


class Drawn:
    """Pictures of one run's prompt by its prior, one per seed, kept on disk; drawing takes as long as dozens of steps.

    Raises GsdError for matting=rembg without the package.
    """

    def __init__(self, options: Picture, context: Context) -> None:
        if options.matting == "rembg":
            require_rembg()
        self.options, self.prompt, self.device = options, context.prompt, context.device
        self.text = options.prompt.replace("{prompt}", context.prompt)
        self.prior: Prior | None = None
        key = (context.prior_identity, self.text, self.prompt, *options.model_dump(exclude={"prompt"}).values())
        self.key = hashlib.blake2b(repr(key).encode(), digest_size=16).hexdigest()

    def __call__(self, rng: Stream) -> Float[Tensor, "4 H W"]:
        """rgb and alpha in [0, 1], from disk, or drawn and then kept."""
        file = cache_folder() / "pictures" / f"{self.key}-{rng.key():016x}.bin"
        payload = read(file)
        if payload is None:
            write(file, payload := png(self._draw(rng)))
        return _decoded(payload)

    def _draw(self, rng: Stream) -> Float[Tensor, "4 H W"]:
        assert self.prior is not None, "ask() comes before the first call"
        o = self.options
        drawn = draw(self.prior, self.text, self.prompt, rng, self.device, o.resolution, o.steps, o.guidance_scale)
        rgb = drawn.float().cpu()
        alpha = {"border": border, "rembg": by_rembg, "none": _all}[o.matting](rgb)
        if alpha.mean() < LEAST:
            raise GsdError(
                f"The prior's picture of {self.text!r} shows nothing before its background; try another seed, or "
                "init.picture.matting=none."
            )
        return torch.cat([rgb, alpha[None]])


def over_white(picture: Float[Tensor, "4 H W"]) -> Any:
    """As a PIL image, RGB."""
    from PIL import Image

    rgb, alpha = picture[:3], picture[3:]
    return Image.fromarray(uint8(alpha * rgb + 1 - alpha))


def _all(rgb: Float[Tensor, "3 H W"]) -> Float[Tensor, "H W"]:
    return torch.ones_like(rgb[0])


def _decoded(payload: bytes) -> Float[Tensor, "4 H W"]:
    from PIL import Image

    return torch.from_numpy(np.array(Image.open(io.BytesIO(payload)), np.float32) / 255).permute(2, 0, 1)
