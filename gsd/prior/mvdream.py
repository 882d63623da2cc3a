"""MVDream: Stable Diffusion fine-tuned to make four views of one object that agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.errors import GsdError
from gsd.prior.stable_diffusion import StableDiffusion
from gsd.types import Cameras, Condition

VIEWS = 4  # of a group, as it was trained
POSE = 16  # numbers of a camera


class MVDream(StableDiffusion):
    """The views of a group are denoised together (Shi et al. 2023): a multi-view prior over four views, 90 degrees
    apart at one elevation (`camera.views=4 camera.delta_deg=90`).

    It is StableDiffusion with two changes. Self-attention runs over the tokens of all views of a group (`Joint`). And
    the network knows the cameras: an embedding of `pose` is added to that of the time, in every branch of guidance.
    Its world is that of gsd, z up and the front along +x, where its authors' scripts begin to count (azimuth 90 in
    theirs); its views were drawn from elevations of 0 to 30 degrees and fields of view of 15 to 60.

    model: the hub id of a pipeline in the layout of diffusers, or a folder. Its UNet is either one of diffusers (with a
    class embedding of type "projection" for the camera) or has the names of LDM, as that of the default, whose folder
    brings code of its own for it: that code is not run, the weights are renamed while they are loaded
    (`gsd.prior.parts.convert.multiview_unet`). The authors' own file: gsd convert mvdream.

    Its authors let it guide by the x0-reconstruction loss (guidance=x0), without words for the view
    (prompting=plain) and with ", 3d asset" after the prompt.

    The options are those of StableDiffusion; resolution is 256 if null.
    Raises GsdError for another kind of checkpoint, and for views without cameras.
    """

    views = VIEWS  # of a group; `gsd.experiment` refuses others

    def _load_unet(self, folder: Path, variant: str | None, attention: str) -> Any:
        unet = super()._load_unet(folder, variant, attention)
        if unet.config.get("projection_class_embeddings_input_dim") != POSE:
            raise GsdError(f"{folder} knows no cameras; give an MVDream, or use prior=stable_diffusion.")
        own = unet.attn_processors
        unet.set_attn_processor(
            {name: Joint(each) if name.endswith("attn1.processor") else each for name, each in own.items()}
        )
        return unet

    def network_class(self) -> Any:
        return _Unet

    def extra_unet_arguments(
        self, vp: Float[Tensor, "V 4 h w"], t: Float[Tensor, " V"], text: Float[Tensor, "V L D"], condition: Condition
    ) -> dict[str, Any]:
        """The camera poses, as class labels."""
        if condition.cameras is None:
            raise GsdError("prior=mvdream needs the cameras of the views; use a guidance that passes them on.")
        return {"class_labels": pose(condition.cameras).to(vp)}


class Joint:
    """Self-attention of every group as a whole: the tokens of its views in one sequence."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner  # a processor of diffusers

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **more: Any,
    ) -> Tensor:
        _, tokens, width = hidden_states.shape
        together = hidden_states.reshape(-1, VIEWS * tokens, width)
        return self.inner(attn, together, None, None, **more).reshape(-1, tokens, width)


def pose(cameras: Cameras) -> Float[Tensor, "V 16"]:
    """What MVDream is told of a camera: camera -> world, row by row, with OpenGL's axes (x right, y up, z backward) and
    the camera at distance 1."""
    matrix = torch.linalg.inv_ex(cameras.viewmats).inverse * cameras.viewmats.new_tensor([1.0, -1.0, -1.0, 1.0])
    place = matrix[:, :3, 3]
    matrix[:, :3, 3] = place / place.norm(dim=1, keepdim=True).clamp(min=1e-8)
    return matrix.flatten(1)


class _Unet:
    """Loads a UNet in either layout, with the arguments of diffusers' own loader."""

    @staticmethod
    def from_pretrained(folder: Path, variant: str | None, torch_dtype: torch.dtype, **options: Any) -> Any:
        from diffusers import UNet2DConditionModel

        if "model_channels" not in json.loads((folder / "config.json").read_text(encoding="utf-8")):
            return UNet2DConditionModel.from_pretrained(folder, variant=variant, torch_dtype=torch_dtype, **options)
        from gsd.prior.parts.convert import multiview_unet, read

        stem = f"diffusion_pytorch_model{f'.{variant}' if variant else ''}"
        return multiview_unet(read(folder / f"{stem}.safetensors"), str(folder), torch_dtype=torch_dtype)
