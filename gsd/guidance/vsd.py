"""Variational score distillation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any

import torch
from annotated_types import Interval
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss

from gsd.errors import GsdError
from gsd.guidance.parts.branches import Projection, View, guide
from gsd.guidance.parts.lora import HasNetwork, Lora, poses
from gsd.guidance.parts.shaping import GradientClip, Weighting, scale_at, shaped
from gsd.protocols import Guidance, Prior
from gsd.random import Stream
from gsd.ranges import Few, Fraction
from gsd.schedule import Scale, at
from gsd.types import Condition, Context, Noised, Score

USUAL = 7.5  # guidance scale, for Stable Diffusion


@dataclass
class VSD(Guidance):
    """gradient = w(sigma) (e_hat(x, y) - e_lora(x, y, c)) (ProlificDreamer, Wang et al. 2023).

    e_hat is the prior's guided prediction at x = z + sigma n, as in SDS, with view guidance. e_lora is the prediction
    of the prior's network with LoRA, which learns in every step to denoise the renders: one step of AdamW on
    |e_lora(z + sigma' n', y, c) - n'|^2 (or the velocity), with t' uniform over all training steps and n' independent
    of n. So the gradient vanishes where the renders are distributed like the prior's images, not at the mode.

    camera: e_lora gets the plain prompt and the camera -> world matrix c, which is set to 0 for a fraction
    `camera_dropout` of the training views. Its embedding is added to that of the time, which makes it a class embedding
    of UNets; transformers get it in the same way. camera=false: e_lora gets the prompt with its view words.

    lora_scale s other than 1 guides e_lora:
    - camera: e_lora(x, y, 0) + s (e_lora(x, y, c) - e_lora(x, y, 0))
    - camera=false: e_lora(x, "") + s (e_lora(x, y) - e_lora(x, ""))

    With camera and s = 1 - lambda < 1 this is ESD (Wang et al. 2024, 2401.00909), the gradient of
    (1 - lambda) mean_c KL(q(x | c) || p) + lambda KL(q(x) || p), where q(x) is the mixture of the renders from all
    cameras: guidance=esd. For priors without a network there is guidance=esd_exact.

    Differences from the authors and threestudio:
    - They put the LoRA on Stable Diffusion 2.1, which predicts velocities, beside the 2.1 base that guides; here it is
      on the prior's own network, which is held in memory once.
    - LoRA and camera embedding start at zero (`Lora`), so that the first gradient is a difference of guidance; their
      embedding starts at random.
    - lr is 3e-3, for runs of hundreds of steps; theirs is 1e-4 for 25,000. AdamW's other numbers are threestudio's.
    - They lower the upper end of t from 0.98 to 0.5 after 5000 of 25000 steps.

    The loss is a mean over all latents, so that gradients of a network in fp16 would be rounded to 0 on their way back:
    there the loss is multiplied by a scale first (PyTorch's GradScaler, checkpointed too), and a training step whose
    gradients overflow is skipped.

    `particles=K` on the command line optimises K scenes that share the LoRA.

    Raises:
        GsdError: from `attach`, for a prior without a network.
    """

    context: Context
    guidance_scale: Scale | None = None  # None: the prior's own, else 7.5
    rescale: Fraction = 0.0
    lora_scale: Scale = 1.0
    rank: Few = 4
    lr: Annotated[float, Interval(gt=0, le=10)] = 3e-3
    camera: bool = True
    camera_dropout: Fraction = 0.1
    weighting: Weighting = "one_minus_abar"
    clip: GradientClip | None = None
    view_scale: Scale = 0.0  # of view guidance, of e_hat alone
    view_projection: Projection = "none"  # of the view's direction, out of that of the text

    def __post_init__(self) -> None:
        self.texts = (self.context.prompt,)
        self.loss: Float[Tensor, ""] | None = None  # of the last training step

    def attach(self, prior: Prior, rng: Stream) -> None:
        """Put the LoRA on the prior's network; once, before the first call."""
        if not isinstance(prior, HasNetwork):
            raise GsdError(
                f"guidance=vsd and esd train a LoRA on the prior's network, and prior {type(prior).__name__} is a "
                "formula; use prior=tiny or prior=stable_diffusion, or a guidance that trains nothing such as "
                "guidance=csd or guidance=esd_exact."
            )
        self.lora = Lora(prior, self.rank, self.camera, rng.sub("lora"))
        self.optimizer = torch.optim.AdamW(self.lora.params.values(), lr=self.lr, betas=(0.9, 0.99), eps=1e-15)
        self.scaler = torch.amp.GradScaler(prior.device.type, enabled=prior.dtype == torch.float16)

    def __call__(self, prior: Prior, given: Noised) -> Score:
        step, condition = given.rng.step, given.condition
        scale = scale_at(self.guidance_scale, prior, USUAL, step)
        view = View(at(self.view_scale, step), self.view_projection)
        guided = guide(prior, given.x, given.sigma, condition, scale, self.rescale, view=view)
        adapted, calls = self._predict_adapted(given)
        residual = guided.eps - adapted
        gradient = shaped(residual, given, self.weighting, self.clip)
        self._learn(given)
        calls += guided.calls + len(adapted)
        return Score(gradient, guided.eps, guided.delta, calls, residual, guided.view)

    def vitals(self) -> dict[str, Tensor]:
        """For metrics.jsonl."""
        return {} if self.loss is None else {"guidance/lora_loss": self.loss}

    def state(self) -> dict[str, Any]:
        params = {name: p.detach() for name, p in self.lora.params.items()}
        scaling = {"scaler": self.scaler.state_dict()} if self.scaler.is_enabled() else {}
        return {"params": params, "optimizer": self.optimizer.state_dict()} | scaling

    def restore(self, state: dict[str, Any]) -> None:
        saved = state["params"]
        if {k: v.shape for k, v in saved.items()} != {k: v.shape for k, v in self.lora.params.items()}:
            raise GsdError("The checkpoint holds other parameters than this config; delete it to start anew.")
        for name, p in self.lora.params.items():
            p.data.copy_(saved[name])
        self.optimizer.load_state_dict(state["optimizer"])
        if "scaler" in state:
            self.scaler.load_state_dict(state["scaler"])

    @torch.no_grad()
    def _predict_adapted(self, given: Noised) -> tuple[Float[Tensor, "V C h w"], int]:
        """Return e_lora, guided, and the number of images denoised for it."""
        x, sigma, condition = given.x, given.sigma, given.condition
        scale = at(self.lora_scale, given.rng.step)
        texts, pose = self._lora_condition(condition), self._pose(condition)
        if scale != 1:
            x, sigma = x.repeat(2, 1, 1, 1), sigma.repeat(2)
            texts = texts + (texts if self.camera else condition.unconditional())
            pose = None if pose is None else torch.cat([pose, torch.zeros_like(pose)])
        with self.lora.on(pose):
            out = self.lora.prior.predict(x, sigma, texts)
            eps = self.lora.prior.schedule.noise(out, x, sigma)
        if scale != 1:
            text, low = eps.chunk(2)
            eps = low + scale * (text - low)
        return eps, len(x)

    @torch.enable_grad()
    def _learn(self, given: Noised) -> None:
        """Train the LoRA on the renders for one step."""
        z, condition = given.latents, given.condition
        draws = given.rng.sub("lora").generator()
        levels = self.lora.prior.schedule.log_sigmas
        t = torch.randint(len(levels), (len(z),), generator=draws)
        sigma = levels[t.to(levels.device)].exp().to(z)
        noise = torch.randn(z.shape, generator=draws).to(z)
        pose = self._pose(condition)
        if pose is not None:
            kept = (torch.rand(len(z), generator=draws) >= self.camera_dropout).to(pose.device)
            pose = pose * kept[:, None]
        with self.lora.on(pose):
            x = z + sigma[:, None, None, None] * noise
            out = self.lora.prior.predict(x, sigma, self._lora_condition(condition))
            loss = mse_loss(out, self.lora.prior.schedule.target(z, noise, sigma))
            grads = torch.autograd.grad(self.scaler.scale(loss), list(self.lora.params.values()))
        for p, grad in zip(self.lora.params.values(), grads, strict=True):
            p.grad = grad
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.loss = loss.detach()

    def _lora_condition(self, condition: Condition) -> Condition:
        """The texts of e_lora: the plain prompt if it gets the camera, else the texts of the prior."""
        texts = self.texts * len(condition.texts) if self.camera else condition.texts
        others, blend = (None, None) if self.camera else (condition.others, condition.blend)
        return replace(condition.with_texts(texts), others=others, blend=blend)

    def _pose(self, condition: Condition) -> Float[Tensor, "V 16"] | None:
        if not self.camera:
            return None
        if condition.cameras is None:
            raise GsdError("guidance.camera=true needs the cameras of the views; set guidance.camera=false.")
        return poses(condition.cameras)
