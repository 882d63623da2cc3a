"""The correspondence-aware gradient consistency loss (section 4.4 of the paper)."""

from __future__ import annotations

from typing import Literal

from jaxtyping import Float, Int
from pydantic import PositiveFloat
from torch import Tensor

from gsd.errors import GsdError
from gsd.geometry import Sampler, co_visible, correspond, resize_depth, sample
from gsd.schedule import Schedule
from gsd.types import Cameras, StepState


class Consistency:
    """L_sim = sum over ordered pairs (i, j) of a group and pixels p of o (1 - cos(g_i(p), g_j(p_ij))), over V (eq. 13).

    p_ij is the pixel of view j that sees the surface point of pixel p, through the rendered depth of view i. Gradient
    flows to that depth alone: the maps, the mask o and the cameras are detached.

    warp: straight_through (nearest forward, bilinear derivative; the paper's nearest sampler has none), bilinear, or
    nearest (the paper as printed: no gradient at all). input: residual (eps_hat - n), score (-eps_hat / sigma, eq. 9)
    or cfg_delta (eps_text - eps_uncond). Eq. 9 contains the noise itself, which is attached to the current geometry
    and anchors it where it is; hence the default. tolerance: world units, about 3 pixel footprints.
    """

    def __init__(
        self,
        weight: Schedule = 0.02,
        warp: Sampler = "straight_through",
        input: Literal["residual", "score", "cfg_delta"] = "residual",
        tolerance: PositiveFloat = 0.07,
    ) -> None:
        self.weight, self.warp, self.input, self.tolerance = weight, warp, input, tolerance

    def __call__(self, state: StepState) -> Float[Tensor, ""]:
        i, j = ordered_pairs(state.cameras.group)
        maps = self._maps(state)
        height, width = maps.shape[-2:]
        depth, alpha = resize_depth(state.render.depth, state.render.alpha.detach(), (height, width))
        cameras = state.cameras.resized(width, height)
        pixels = self.compare(maps[i], maps[j], depth[i], alpha[i], depth[j], alpha[j], cameras[i], cameras[j])
        return pixels.sum() / len(cameras)

    def compare(
        self,
        mine: Float[Tensor, "P C h w"],
        theirs: Float[Tensor, "P C h w"],
        depth: Float[Tensor, "P 1 h w"],
        alpha: Float[Tensor, "P 1 h w"],
        their_depth: Float[Tensor, "P 1 h w"],
        their_alpha: Float[Tensor, "P 1 h w"],
        cameras: Cameras,
        their_cameras: Cameras,
    ) -> Float[Tensor, "P h w"]:
        """o (1 - cos) of every pixel; differentiable in `depth`."""
        coords, z = correspond(depth, cameras, their_cameras)
        mask = co_visible(coords, z, alpha, their_depth, their_alpha, self.tolerance)
        warped = sample(theirs, coords, self.warp)
        return mask * (1 - cosine(mine, warped))

    def _maps(self, state: StepState) -> Float[Tensor, "V C h w"]:
        score = state.score
        if self.input == "residual":
            return score.eps - state.noise
        if self.input == "score":
            return -score.eps / state.sigma[:, None, None, None]
        if score.cfg_delta is None:
            raise GsdError(
                "loss.consistency.input=cfg_delta needs classifier-free guidance: set guidance.guidance_scale above 1."
            )
        return score.cfg_delta


def cosine(a: Float[Tensor, "P C h w"], b: Float[Tensor, "P C h w"]) -> Float[Tensor, "P h w"]:
    """Over channels; 0 where either vanishes. torch's own takes thirty times as long on such maps."""
    return (a * b).sum(1) * ((a * a).sum(1) * (b * b).sum(1)).clamp_min(1e-24).rsqrt()


def ordered_pairs(group: Int[Tensor, " V"]) -> tuple[Int[Tensor, " P"], Int[Tensor, " P"]]:
    """All (i, j), i != j, of views in the same group."""
    same = group[:, None] == group[None]
    same.fill_diagonal_(False)
    i, j = same.nonzero(as_tuple=True)
    return i, j
