"""Variational score distillation."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn.functional import mse_loss

from gsd.errors import GsdError
from gsd.guidance.parts.branches import guide
from gsd.guidance.parts.lora import HasNetwork, Lora, poses
from gsd.guidance.parts.shaping import GradientClip, Scale, Weighting, scale_at, shaped
from gsd.protocols import Guidance, Prior
from gsd.random import Stream
from gsd.schedule import at
from gsd.types import Condition, Context, Fraction, Noised, Score

USUAL = 7.5  # guidance scale, for Stable Diffusion


class VSD(Guidance):
    """gradient = w(sigma) (e_hat(x, y) - e_lora(x, y, c)) (ProlificDreamer, Wang et al. 2023).

    e_hat is the prior's guided prediction at x = z + sigma n, as in SDS; e_lora that of the prior's network with LoRA,
    which learns in every step to denoise the renders: one step of AdamW on |e_lora(z + sigma' n', y, c) - n'|^2 (or the
    velocity), with t' uniform over all training steps and n' drawn apart from n. So the gradient vanishes where the
    renders are spread as the prior's images are, not where they are its mode.

    camera: e_lora gets the plain prompt and, as a class embedding, the camera -> world matrix c, which is dropped (0)
    in a share `camera_dropout` of the training views; false: the prompt's view words instead. lora_scale s other than 1
    takes e_lora(x, y, 0) + s (e_lora(x, y, c) - e_lora(x, y, 0)), the camera guided and not the text; without `camera`
    e_lora(x, "") + s (e_lora(x, y) - e_lora(x, "")). rank, lr: of the LoRA, which has
    hundreds of steps to learn in by default and not the 25,000 of the sources at 1e-4; AdamW's other numbers are
    threestudio's. w, clip: `gsd.guidance.parts.shaping`.

    The authors and threestudio put the LoRA on Stable Diffusion 2.1, which predicts velocities, beside the 2.1 base
    that guides; here it is on the prior's own network, which is held once. LoRA and embedding start as nothing
    (`Lora`), so that the first gradient is a difference of guidance; their embedding starts at random. They lower t's
    upper end from 0.98 to 0.5 after 5000 of 25000 steps.

    One particle is the scene of the run; `particles=K` on the command line makes K that share the LoRA.

    Raises GsdError for a prior without a network.
    """

    def __init__(
        self,
        context: Context,
        guidance_scale: Scale | None = None,
        rescale: Fraction = 0.0,
        lora_scale: Scale = 1.0,
        rank: PositiveInt = 4,
        lr: PositiveFloat = 3e-3,
        camera: bool = True,
        camera_dropout: Fraction = 0.1,
        weighting: Weighting = "one_minus_abar",
        clip: GradientClip | None = None,
    ) -> None:
        self.texts = (context.prompt,)
        self.guidance_scale, self.rescale, self.lora_scale = guidance_scale, rescale, lora_scale
        self.rank, self.lr, self.camera, self.camera_dropout = rank, lr, camera, camera_dropout
        self.weighting, self.clip = weighting, clip
        self.loss: Float[Tensor, ""] | None = None  # of the last training step

    def attach(self, prior: Prior, rng: Stream) -> None:
        """Put the LoRA on the prior's network; once, before the first call."""
        if not isinstance(prior, HasNetwork):
            raise GsdError(
                f"guidance=vsd trains a LoRA on the prior's network, and prior {type(prior).__name__} is a formula; "
                "use prior=tiny or prior=stable_diffusion, or a guidance that trains nothing such as guidance=csd."
            )
        self.lora = Lora(prior, self.rank, self.camera, rng.sub("lora"))
        self.optimizer = torch.optim.AdamW(self.lora.params.values(), lr=self.lr, betas=(0.9, 0.99), eps=1e-15)

    def __call__(self, prior: Prior, given: Noised) -> Score:
        scale = scale_at(self.guidance_scale, prior, USUAL, given.rng.step)
        guided = guide(prior, given.x, given.sigma, given.condition, scale, self.rescale)
        known, calls = self._known(given)
        residual = guided.eps - known
        gradient = shaped(residual, given, self.weighting, self.clip)
        self._learn(given)
        return Score(gradient, guided.eps, guided.delta, guided.calls + calls + len(known), residual)

    def vitals(self) -> dict[str, Tensor]:
        """For metrics.jsonl."""
        return {} if self.loss is None else {"guidance/lora_loss": self.loss}

    def state(self) -> dict[str, Any]:
        params = {name: p.detach() for name, p in self.lora.params.items()}
        return {"params": params, "optimizer": self.optimizer.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        saved = state["params"]
        if {k: v.shape for k, v in saved.items()} != {k: v.shape for k, v in self.lora.params.items()}:
            raise GsdError("The checkpoint holds other parameters than this config; delete it to start anew.")
        for name, p in self.lora.params.items():
            p.data.copy_(saved[name])
        self.optimizer.load_state_dict(state["optimizer"])

    @torch.no_grad()
    def _known(self, given: Noised) -> tuple[Float[Tensor, "V C h w"], int]:
        """e_lora, guided, and the images denoised for it."""
        x, sigma, condition = given.x, given.sigma, given.condition
        scale = at(self.lora_scale, given.rng.step)
        told, pose = self._told(condition), self._pose(condition)
        if scale != 1:
            x, sigma = x.repeat(2, 1, 1, 1), sigma.repeat(2)
            told = told + (told if self.camera else condition.unconditional())
            pose = None if pose is None else torch.cat([pose, torch.zeros_like(pose)])
        with self.lora.on():
            eps = self.lora.eps(self.lora.prior.predict(x, sigma, told, pose), x, sigma)
        if scale != 1:
            text, low = eps.chunk(2)
            eps = low + scale * (text - low)
        return eps, len(x)

    @torch.enable_grad()
    def _learn(self, given: Noised) -> None:
        """One step of the LoRA on the renders."""
        z, condition = given.latents, given.condition
        draws = given.rng.sub("lora").generator(z.device)
        levels = self.lora.prior.log_sigmas
        t = torch.randint(len(levels), (len(z),), generator=draws, device=z.device)
        sigma = levels[t].exp().to(z)
        noise = torch.randn(z.shape, generator=draws, device=z.device, dtype=z.dtype)
        pose = self._pose(condition)
        if pose is not None:
            kept = torch.rand(len(z), generator=draws, device=z.device) >= self.camera_dropout
            pose = pose * kept[:, None]
        with self.lora.on():
            out = self.lora.prior.predict(z + sigma[:, None, None, None] * noise, sigma, self._told(condition), pose)
            loss = mse_loss(out, self.lora.target(z, noise, sigma))
            grads = torch.autograd.grad(loss, list(self.lora.params.values()))
        for p, grad in zip(self.lora.params.values(), grads, strict=True):
            p.grad = grad
        self.optimizer.step()
        self.loss = loss.detach()

    def _told(self, condition: Condition) -> Condition:
        """The text of e_lora: the plain prompt where the camera is known, else what the prior is told."""
        texts = self.texts * len(condition.texts) if self.camera else condition.texts
        blend = (None, None) if self.camera else (condition.others, condition.blend)
        return Condition(texts, condition.cameras, *blend)

    def _pose(self, condition: Condition) -> Float[Tensor, "V 16"] | None:
        if not self.camera:
            return None
        if condition.cameras is None:
            raise GsdError("guidance.camera=true needs the cameras of the views; set guidance.camera=false.")
        return poses(condition.cameras)
