"""3DFuse: Stable Diffusion that sees a coarse cloud of points of what it is to make."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor

from gsd.backend.checkpoint import locate, locate_controlnet
from gsd.errors import GsdError, gathered
from gsd.prior.parts.captions import ViewBias
from gsd.prior.parts.depth import cloud_depth
from gsd.prior.parts.semantic_code import SemanticCode
from gsd.prior.stable_diffusion import Found, StableDiffusion
from gsd.ranges import Few, Fraction, Pixels, Strength
from gsd.types import Condition, Context, PointCloud


class ThreeFuse(StableDiffusion):
    """StableDiffusion with a depth ControlNet (Zhang et al. 2023) that is shown the points a run starts from, as each
    of the step's cameras sees them (3DFuse, Seo et al. 2023).

    The picture is `gsd.prior.parts.depth.cloud_depth` at the resolution of the images: inverse depth, near bright,
    empty 0, the convention of MiDaS, which depth ControlNets were trained with. The ControlNet's residuals, times
    `conditioning_scale`, enter every branch of guidance, the unconditional one too, in the one batch of the UNet; with
    vsd also that of the LoRA.

    What 3DFuse does besides, a LoRA and a token made of pictures of the prompt, is `semantic_code`; it is not in the
    experiments of the paper. Its own ControlNet ("sparse depth injector") was trained with sparse discs; another depth
    ControlNet saw dense depth, which a larger `radius` and `fill` come closer to.

    The other options are those of StableDiffusion.

    controlnet         "tiny" (shipped, for model=tiny), a folder, or a hub id, trained for `model`
    variant            of the model's weights' files; the ControlNet's are of the same if it has them, else of another
    conditioning_scale 0: none
    radius             of a point's disc, in halves of the image's height: 3DFuse 0.02, the paper's code 0.01
    fill               half width of the holes that are filled, pixels; 0: none, as the sources

    Raises GsdError for a ControlNet that is missing, pickled, in another layout or for another model, and for views
    whose cameras it is not told.
    """

    def __init__(
        self,
        context: Context,
        model: str = "stable-diffusion-v1-5/stable-diffusion-v1-5",
        controlnet: str = "lllyasviel/control_v11f1p_sd15_depth",
        conditioning_scale: Annotated[float, Interval(ge=0, le=100)] = 1.0,
        radius: Annotated[float, Interval(ge=0, le=10)] = 0.02,
        fill: Annotated[int, Interval(ge=0, le=64)] = 0,
        variant: str | None = None,
        resolution: Pixels | None = None,
        dtype: Literal["auto", "fp32", "fp16", "bf16"] = "auto",
        attention: Literal["sdpa", "sliced"] = "sdpa",
        encode_chunk: Few = 4,
        compile: Literal["auto"] | bool = "auto",
        channels_last: Literal["auto"] | bool = "auto",
        guidance_scale: Strength | None = None,
        random_background: Fraction = 0.5,
        view_bias: ViewBias | None = None,
        name_background: bool = False,
        semantic_code: SemanticCode | None = None,
        lora: list[str] | None = None,
    ) -> None:
        folder, its_variant = _locate_both(controlnet, model, variant)
        network = (variant, resolution, dtype, attention, encode_chunk, compile, channels_last)
        told = (None, view_bias, name_background, semantic_code, lora)
        super().__init__(context, model, *network, guidance_scale, random_background, *told)
        from diffusers import ControlNetModel

        self.controlnet = self._load(ControlNetModel, folder, its_variant)
        if attention == "sliced":
            self.controlnet.set_attention_slice("auto")
        if self.compiled:
            self.controlnet.compile()
        _check_fit(self.controlnet.config, self.network.config, f"prior.controlnet={controlnet}", model)
        self.conditioning_scale, self.radius, self.fill = conditioning_scale, radius, fill
        self.points: Float[Tensor, "N 3"] | None = None

    @classmethod
    def find(
        cls,
        context: Context,
        model: str,
        variant: str | None,
        *rest: Any,
        controlnet: str | None = None,
        **options: Any,
    ) -> Found:
        """That of Stable Diffusion; the ControlNet, where it is told, must be there too."""
        if controlnet is not None:
            _locate_both(controlnet, model, variant)
        return super().find(context, model, variant, *rest, **options)

    def condition_on(self, points: PointCloud | None) -> None:
        """Set the cloud that the views are conditioned on; without one, it is Stable Diffusion."""
        self.points = None if points is None else points.xyz.to(self.device)

    @torch.no_grad()
    def extra_unet_arguments(
        self, vp: Float[Tensor, "V 4 h w"], t: Float[Tensor, " V"], text: Float[Tensor, "V L D"], condition: Condition
    ) -> dict[str, Any]:
        """The ControlNet's residuals, for all branches in the one batch of the UNet."""
        if self.conditioning_scale == 0 or self.points is None:
            return {}
        down, mid = self.controlnet(
            vp, t, text, self.picture(condition).to(vp), self.conditioning_scale, return_dict=False
        )
        return {"down_block_additional_residuals": down, "mid_block_additional_residual": mid}

    def picture(self, condition: Condition) -> Float[Tensor, "V 3 R R"]:
        """What the ControlNet is shown."""
        if condition.cameras is None:
            raise GsdError("prior=threefuse needs the cameras of the views; use a guidance that passes them on.")
        assert self.points is not None
        cameras = condition.cameras.to(self.device).resized(self.resolution, self.resolution)
        return cloud_depth(self.points.to(cameras.Ks), cameras, self.radius, self.fill).expand(-1, 3, -1, -1)


def _locate_both(controlnet: str, model: str, variant: str | None) -> tuple[Path, str | None]:
    """Folder and variant of the ControlNet. One GsdError says what is missing of it and of the model."""
    found, _ = gathered(lambda: locate_controlnet(controlnet, variant), lambda: locate(model, variant))
    return found


def _check_fit(controlnet: Any, unet: Any, name: str, model: str) -> None:
    """Whether the residuals have the shapes that the UNet adds them to."""
    for key in ("block_out_channels", "layers_per_block", "cross_attention_dim", "in_channels"):
        if controlnet[key] != unet[key]:
            raise GsdError(
                f"{name} has {key}={controlnet[key]} and prior.model={model} has {unet[key]}; "
                "set prior.controlnet to one that was trained for this model, or prior.model to its own."
            )
