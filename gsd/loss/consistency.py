"""The correspondence-aware gradient consistency loss (section 4.4 of the paper)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor

from gsd.backend.device import compiled
from gsd.backend.triton import on_triton
from gsd.errors import GsdError
from gsd.geometry import Sampler
from gsd.protocols import Loss
from gsd.ranges import Length
from gsd.schedule import Share, Weight
from gsd.types import StepState
from gsd.warping.compare import Compared, compare_torch, ordered_pairs

SHARE = Share(kind="share", value=0.1)  # the most that cost no quality: docs/results.md


@dataclass
class Consistency(Loss):
    """L_sim = sum over pairs (i, j) of a group and pixels p of o (1 - cos(g_i(p), g_j(p_ij))), over V (eq. 13).

    p_ij is the pixel of view j that sees the surface point of pixel p, through the rendered depth of view i. Both
    (i, j) and (j, i) count. Gradient flows to the depth alone; the maps, alpha, the mask o and the cameras are
    detached.

    warp
        bilinear           improves the depth most
        straight_through   nearest forward, bilinear derivative: the paper's sampler with the derivative it needs
        nearest            the paper as printed; no gradient at all
    input
        residual     eps_hat - n, or what the guidance applies instead (`Score.residual`)
        score        -eps_hat / sigma (eq. 9). It contains the noise itself: drawn on an earlier geometry it holds the
                     depth there, drawn anew it drowns the maps; hence the default
        cfg_delta    eps_text - eps_uncond
    resolution
        latent, render   p runs over the pixels of the latents or of the render; the sum is scaled to that of the
        latents

    Raises:
        GsdError: for input=cfg_delta without classifier-free guidance.
    """

    least_views = 2

    weight: Weight = SHARE
    warp: Sampler = "bilinear"
    input: Literal["residual", "score", "cfg_delta"] = "residual"
    resolution: Literal["latent", "render"] = "latent"
    tolerance: Length = 0.07  # world units, about 3 pixel footprints

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        maps = self._maps(state).detach()
        if self.resolution == "latent":
            depth, alpha, cameras = state.geometry.depth, state.geometry.alpha, state.geometry.cameras
        else:
            depth, alpha, cameras = state.render.depth, state.render.alpha.detach(), state.cameras
        pairs = ordered_pairs(cameras)
        compare = Compared.apply if compiled(maps) or on_triton(maps) else compare_torch
        total = compare(maps, depth, alpha, cameras, pairs, self.warp, self.tolerance)
        return total * (maps[0, 0].numel() / depth[0].numel() / len(cameras))

    def _maps(self, state: StepState) -> Float[Tensor, "V C h w"]:
        score = state.score
        if self.input == "residual":
            return score.eps - state.noise if score.residual is None else score.residual
        if self.input == "score":
            return -score.eps / state.sigma[:, None, None, None]
        if score.cfg_delta is None:
            raise GsdError(
                "loss.consistency.input=cfg_delta needs classifier-free guidance: set guidance.guidance_scale above 1."
            )
        return score.cfg_delta
