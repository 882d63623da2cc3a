"""A start from Shap-E (Jun and Nichol 2023), through diffusers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gsd.backend.checkpoint import HUB_ID, downloaded, loading
from gsd.backend.digests import content
from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError
from gsd.init.parts.cloud import Growing
from gsd.init.parts.sampled import FRONT, CloudCache, placed
from gsd.meshing.scatter import scattered
from gsd.meshing.texture import to_srgb
from gsd.protocols import Init
from gsd.random import Stream
from gsd.ranges import Count, Few, Length, Strength, Yaw
from gsd.types import Context, PointCloud

OTHERWISE = "or start with init=shell or init=menagerie"


@dataclass
class ShapE(Init):
    """`points` spread evenly over the mesh that Shap-E makes of the prompt, with its colours; cached on disk.

    guidance_scale and sampling_steps are GaussianDreamer's.
    """

    context: Context
    model: str = "openai/shap-e"  # a folder or hub id in the layout of diffusers
    variant: str | None = None  # of the weights' files, such as "fp16"
    points: Count = 4096
    guidance_scale: Strength = 15.0
    sampling_steps: Few = 64
    radius: Length = 0.6  # world units, which the mesh is fitted into
    yaw: Yaw = FRONT  # degrees that bring its front to +x
    grow: Growing | None = None  # noisy point growing

    def __post_init__(self) -> None:
        self.prompt, self.device = self.context.prompt, self.context.device
        options = (content(self.model), self.variant, self.points, self.guidance_scale, self.sampling_steps)
        self.cache = CloudCache("shap_e", self.prompt, *options)
        if not self.cache.any():
            _locate(self.model, self.variant)  # now, so that a run does not fail after its other parts were made

    def __call__(self, rng: Stream) -> PointCloud:
        return placed(self.cache(rng, self._sample), self.yaw, self.radius, self.grow, rng)

    @torch.no_grad()
    def _sample(self, rng: Stream) -> PointCloud:
        folder = _locate(self.model, self.variant)
        mend_torchvision()
        from diffusers import ShapEPipeline
        from diffusers.utils.logging import disable_progress_bar

        disable_progress_bar()
        dtype = torch.float16 if self.device.type == "cuda" else torch.float32
        with loading(folder):
            pipeline: Any = ShapEPipeline.from_pretrained(
                folder, variant=self.variant, torch_dtype=dtype, local_files_only=True
            )
        pipeline = pipeline.to(self.device)
        pipeline.set_progress_bar_config(disable=True)
        try:
            mesh = pipeline(
                self.prompt,
                num_inference_steps=self.sampling_steps,
                guidance_scale=self.guidance_scale,
                generator=rng.generator(),
                output_type="mesh",
            ).images[0]
        except ValueError as error:  # diffusers cannot colour a mesh without vertices
            raise GsdError(
                f"Shap-E found no surface for {self.prompt!r}; try another seed or prompt, {OTHERWISE}."
            ) from error
        rgb = torch.stack([mesh.vertex_channels[k] for k in "RGB"], -1).float().cpu()  # linear
        return _on_surface(mesh.verts.float().cpu(), mesh.faces.cpu(), to_srgb(rgb.clamp(0, 1)), self.points, rng)


def _on_surface(
    vertices: Float[Tensor, "N 3"], faces: Int[Tensor, "F 3"], rgb: Float[Tensor, "N 3"], count: int, rng: Stream
) -> PointCloud:
    """Points drawn evenly over the triangles, colours interpolated."""
    on = scattered(vertices, faces, count, rng.sub("scatter").generator())
    return PointCloud(on.xyz, (on.weights[..., None] * rgb[faces[on.face]]).sum(1).clamp(0, 1))


def _locate(model: str, variant: str | None) -> Path:
    """The folder of the pipeline, downloaded if it is a hub id that is not here yet."""
    path = Path(model).expanduser()
    if not path.exists() and HUB_ID.fullmatch(model):
        mend_torchvision()
        from diffusers import DiffusionPipeline

        get = f"get it where there is a network with `hf download {model}`, set init.model=/path/to/a/copy, {OTHERWISE}"
        path = downloaded(f"init.model={model}", partial(DiffusionPipeline.download, model, variant=variant), get)
    try:
        kind = json.loads((path / "model_index.json").read_text(encoding="utf-8"))["_class_name"]
    except (OSError, ValueError, KeyError):
        raise GsdError(
            f"init.model={model}: no pipeline in the diffusers layout there; give a folder with model_index.json "
            f"or a hub id such as openai/shap-e, {OTHERWISE}."
        ) from None
    if kind != "ShapEPipeline":
        raise GsdError(f"init.model={model} is a {kind}; init=shap_e reads a ShapEPipeline such as openai/shap-e.")
    return path
