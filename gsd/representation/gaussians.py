"""3D Gaussian splatting (Kerbl et al. 2023) as a representation that optimises itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Annotated, Any, Literal

import torch
from annotated_types import Interval
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree
from torch import Tensor, nn

from gsd.backend.adam import Adam
from gsd.errors import GsdError
from gsd.geometry import NEAR, in_bounds, project, sample
from gsd.protocols import Representation
from gsd.random import Stream
from gsd.ranges import Fraction
from gsd.rasterizer import rasterize
from gsd.rasterizer.ply import Splats
from gsd.rasterizer.rows import keep_rows
from gsd.rasterizer.sh import colors_from_sh
from gsd.representation.parts.background import Colour, behind
from gsd.schedule import Rate, Schedule, Within, at
from gsd.types import Cameras, Context, PointCloud, Render, Scene

SH_C0 = 0.28209479177387814  # the constant basis function
SOLID = 0.3  # alpha above which a pixel shows the object when haze is carved away
MOST = 0.8  # of the pictures that hold a Gaussian of the object have it in such a pixel
ROUND = 1e-5  # a Gaussian whose log-scales differ by no more has no direction that float32 could tell
FLAT = 0.2  # thickness of a new Gaussian on a surface, as a fraction of its width
NEIGHBOURS = 3  # a new Gaussian is as large as the mean distance to so many


class Gaussians(nn.Module, Representation):
    """N Gaussians with means, quats (wxyz), log-scales, opacity logits and spherical harmonics of `sh_degree`.

    Adam with one learning rate a parameter, each a number or schedule, all of them times `decay`; opacity in (0, 1),
    initial value `opacity`. Initial colours are those of the points, or `grey` for all. Where points come with
    Gaussians (`PointCloud.splats`), the scene starts as these, with their own opacities. Schedules count the scene's
    own steps, of which particles have fewer than the run.
    The scene is rendered over `background`, or for a fraction `random_background` of the training steps over one random
    colour for each group of views (None: what suits the prior). `context.densifier` (a member of conf/densify, or None)
    grows and prunes; ids stay with their Gaussians. After the last step those fainter than `min_opacity` are removed,
    and those that hover beside the object (0: none): haze, which viewers frame. backend: auto is gsplat on CUDA,
    or triton where gsplat cannot be compiled, and the CPU rasteriser elsewhere.
    """

    sizes = ("sh_degree",)

    def __init__(
        self,
        context: Context,
        decay: Annotated[Schedule, Within(0, 1000)],
        sh_degree: Annotated[int, Interval(ge=0, le=3)] = 0,
        opacity: Annotated[float, Interval(gt=0, lt=1)] = 0.1,
        background: Colour = "white",
        random_background: Fraction | None = None,
        min_opacity: Fraction = 0.02,
        means_lr: Rate = 0.004,
        sh_lr: Rate = 0.04,
        log_scales_lr: Rate = 0.016,
        quats_lr: Rate = 0.01,
        opacity_lr: Rate = 0.08,
        backend: Literal["auto", "cpu", "torch", "gsplat", "triton"] = "auto",
        grey: Fraction | None = None,
    ) -> None:
        super().__init__()
        self.background, self.backend = background, backend
        self.exact = backend in ("auto", "cpu") and context.device.type == "cpu"
        self.random_background = context.random_background if random_background is None else random_background
        self.rates: dict[str, Schedule] = {
            "means": means_lr,
            "quats": quats_lr,
            "log_scales": log_scales_lr,
            "opacity_logits": opacity_lr,
            "sh": sh_lr,
        }
        self.decay, self.min_opacity = decay, min_opacity
        self.densifier, self.seed, self.steps_taken = context.densifier, context.seed, 0
        assert context.points is not None
        points = context.points
        if grey is not None:
            points = _greyed(points, grey)
        self.params = nn.ParameterDict(_start(points, sh_degree, opacity)).to(context.device)
        self.ids = torch.arange(len(self.params["means"]), device=context.device)
        groups = [{"params": [p], "name": name, "lr": 0.0} for name, p in self.params.items()]
        self.optimizer = Adam(groups, eps=1e-15, betas=(0.9, 0.99))
        self.info: dict[str, Any] = {}

    @staticmethod
    def prepare(device: torch.device, options: dict[str, Any]) -> None:
        if device.type == "cuda":
            from gsd.rasterizer.gsplat_cuda import prepare

            prepare(options["backend"])

    def render(self, cameras: Cameras) -> Render:
        """Splat the Gaussians; with gradients enabled, also keep what the densifier needs of this render.

        Args:
            cameras: V views of H x W pixels, on the scene's device.

        Returns:
            rgb over the background (not negative), expected camera-space z (world units, 0 where alpha is 0) and alpha
            in [0, 1].
        """
        p = self.params
        rng = Stream(self.seed, "gaussians", self.steps_taken)
        background = behind(self.background, self.random_background, cameras, rng)
        renders, alphas, info = rasterize(
            p["means"],
            p["quats"],
            p["log_scales"].exp(),
            p["opacity_logits"].sigmoid(),
            colors_from_sh(p["sh"], p["means"], cameras.viewmats),
            cameras.viewmats,
            cameras.Ks,
            cameras.width,
            cameras.height,
            background=background,
            backend=self.backend,
        )
        if torch.is_grad_enabled():
            self.info = info
        renders, alpha = renders.permute(0, 3, 1, 2), alphas.permute(0, 3, 1, 2)
        return Render(rgb=renders[:, :3], depth=renders[:, 3:], alpha=alpha, background=background)

    def scene(self) -> Scene:
        p = self.params
        return Scene(p["means"], self.ids, p["log_scales"].exp(), p["quats"], p["opacity_logits"].sigmoid())

    def shape_parameters(self) -> Sequence[Tensor]:
        return [self.params["means"]]

    def step(self) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = at(self.rates[group["name"]], self.steps_taken) * at(self.decay, self.steps_taken)
        self._hold_round()
        self.optimizer.step()
        if self.densifier is not None:
            rng = Stream(self.seed, "densify", self.steps_taken)
            self.ids = self.densifier(self.params, self.optimizer, self.ids, self.info, self.steps_taken, rng)
        self.optimizer.zero_grad(set_to_none=True)
        self.steps_taken += 1

    @torch.no_grad()
    def _hold_round(self) -> None:
        """The image of a round Gaussian does not depend on its quat: the gradient is what rounding left, 1e-8 on a GPU,
        of which Adam would make whole steps. The CPU's rasteriser leaves less than Adam's eps."""
        log_scales, gradient = self.params["log_scales"], self.params["quats"].grad
        if gradient is not None and not self.exact:
            spread = log_scales.amax(1, keepdim=True) - log_scales.amin(1, keepdim=True)
            gradient.masked_fill_(spread <= ROUND, 0)

    @torch.no_grad()
    def finish(self, seen: Sequence[Cameras]) -> None:
        """The views of the last steps carve the object out of the haze around it. What hovers there has too little
        gradient to be moved or faded, and many views see it in front of the object."""
        if self.min_opacity > 0:
            self._keep(self.params["opacity_logits"].sigmoid() >= self.min_opacity)
            framed, on_object = (torch.stack(x).sum(0) for x in zip(*map(self._found, seen), strict=True))
            self._keep((framed > 0) & (on_object >= MOST * framed))

    def _found(self, cameras: Cameras) -> tuple[Int64[Tensor, " N"], Int64[Tensor, " N"]]:
        """In how many views the centre of each lies in the picture, and in how many there in a pixel of the object."""
        image, z = project(self.params["means"], cameras)
        alpha = sample(self.render(cameras).alpha, image[:, None], "nearest")[:, 0, 0]
        framed = in_bounds(image, cameras.height, cameras.width) & (z > NEAR)
        return framed.sum(0), (framed & (alpha > SOLID)).sum(0)

    def _keep(self, rows: Bool[Tensor, " N"]) -> None:
        """All of them if there are none: an empty scene helps nobody."""
        if rows.any():
            keep_rows(self.params, self.optimizer, rows)
            self.ids = self.ids[rows]

    def vitals(self) -> dict[str, Tensor]:
        sums = {f"gaussians/{name}": p.detach().abs().mean() for name, p in self.params.items()}
        return sums | {"gaussians/count": self.ids.new_tensor(len(self.ids))}

    def splats(self) -> Splats:
        """The Gaussians for export."""
        p = {name: value.detach() for name, value in self.params.items()}
        return Splats(p["means"], p["quats"], p["log_scales"], p["opacity_logits"], p["sh"])

    def state(self) -> dict[str, Any]:
        return {
            "params": {name: p.detach() for name, p in self.params.items()},
            "ids": self.ids,
            "steps_taken": self.steps_taken,
            "optimizer": self.optimizer.state_dict(),
            "densify": None if self.densifier is None else self.densifier.state(),
        }

    def adopt(self, state: dict[str, Any]) -> None:
        for name, p in self.params.items():
            p.data = state["params"][name].to(p.device, copy=True)  # of any number, and several scenes may start so
        self.ids = state["ids"].to(self.ids.device)

    def restore(self, state: dict[str, Any]) -> None:
        saved = state["params"]
        if {k: v.shape[1:] for k, v in saved.items()} != {k: v.shape[1:] for k, v in self.params.items()}:
            raise GsdError("The checkpoint holds other parameters than this config; delete it to start anew.")
        self.adopt(state)
        self.steps_taken = state["steps_taken"]
        self.optimizer.load_state_dict(deepcopy(state["optimizer"]))  # or it would go on with the very tensors given
        if self.densifier is not None:
            self.densifier.restore(state["densify"])


def _start(points: PointCloud, sh_degree: int, opacity: float) -> dict[str, nn.Parameter]:
    """Round Gaussians on the points, as large as the mean distance to their nearest neighbours; flat ones on a surface
    whose normals are known; or the Gaussians that the points come with."""
    if points.splats is not None:
        return _taken_over(points.splats, sh_degree)
    count = len(points.xyz)
    xyz = points.xyz.double().numpy()
    distances, _ = cKDTree(xyz).query(xyz, k=min(NEIGHBOURS + 1, count), workers=1)
    spacing = distances.reshape(count, -1)[:, 1:].mean(1) if count > 1 else torch.full((1,), 0.1).numpy()
    scales = torch.from_numpy(spacing).float().clamp(1e-4, 0.2)[:, None].repeat(1, 3)
    quats = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(count, 1)
    if points.normals is not None:
        scales[:, 2] *= FLAT
        quats = _towards(points.normals)
    sh = torch.zeros(count, (sh_degree + 1) ** 2, 3)
    sh[:, 0] = (points.rgb - 0.5) / SH_C0
    return {
        "means": nn.Parameter(points.xyz.clone()),
        "quats": nn.Parameter(quats),
        "log_scales": nn.Parameter(scales.log()),
        "opacity_logits": nn.Parameter(torch.full((count,), math.log(opacity / (1 - opacity)))),
        "sh": nn.Parameter(sh),
    }


def _taken_over(splats: Splats, sh_degree: int) -> dict[str, nn.Parameter]:
    """Harmonics above `sh_degree` are left out, and those that are missing up to it are 0."""
    params = {name: nn.Parameter(value.clone()) for name, value in vars(splats).items()}
    sh = torch.zeros(len(splats.means), (sh_degree + 1) ** 2, 3)
    shared = min(sh.shape[1], splats.sh.shape[1])
    sh[:, :shared] = splats.sh[:, :shared]
    return params | {"sh": nn.Parameter(sh)}


def _greyed(points: PointCloud, grey: float) -> PointCloud:
    splats = points.splats
    if splats is not None:
        splats = replace(splats, sh=torch.full_like(splats.sh[:, :1], (grey - 0.5) / SH_C0))
    return replace(points, rgb=torch.full_like(points.rgb, grey), splats=splats)


def _towards(normals: Float[Tensor, "N 3"]) -> Float[Tensor, "N 4"]:
    """Rotations of the z axis to the normals or against them, which a Gaussian cannot tell apart."""
    x, y, z = (normals * torch.where(normals[:, 2:] < 0, -1.0, 1.0)).unbind(1)
    return torch.nn.functional.normalize(torch.stack([1 + z, -y, x, torch.zeros_like(z)], 1), dim=1)
