"""How each family of diffusers' text-to-image pipelines is conditioned, by the name in its model_index.json."""

from typing import Literal

from gsd.prior.families.family import Family
from gsd.prior.families.flux import Flux
from gsd.prior.families.pixart import PixArt
from gsd.prior.families.sana import Sana
from gsd.prior.families.sd3 import SD3
from gsd.prior.families.sdxl import SDXL

FamilyName = Literal[
    "StableDiffusionXLPipeline", "StableDiffusion3Pipeline", "FluxPipeline", "PixArtSigmaPipeline", "SanaPipeline"
]
FAMILIES: dict[str, Family] = {
    "StableDiffusionXLPipeline": SDXL(),
    "StableDiffusion3Pipeline": SD3(),
    "FluxPipeline": Flux(),
    "PixArtSigmaPipeline": PixArt(),
    "SanaPipeline": Sana(),
}
