"""From gsd's sigma space, x = z + sigma n, to what a network was trained on, and back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from gsd.backend.checkpoint import read_json
from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError
from gsd.noise_levels import step_at

Prediction = Literal["epsilon", "v_prediction", "sample", "flow"]
# The schedulers of diffusers that step along sqrt(abar) z + sqrt(1 - abar) n with abar from betas; or along a flow, if
# their config says so. Others, such as EDM's, have betas neither in their config nor in what networks were trained on
BY_BETAS = {
    f"{name}Scheduler"
    for name in (
        "DDIM", "DDIMInverse", "DDIMParallel", "DDPM", "DDPMParallel", "DEISMultistep", "DPMSolverMultistep",
        "DPMSolverMultistepInverse", "DPMSolverSDE", "DPMSolverSinglestep", "EulerAncestralDiscrete", "EulerDiscrete",
        "HeunDiscrete", "KDPM2AncestralDiscrete", "KDPM2Discrete", "LCM", "LMSDiscrete", "PNDM", "SASolver", "TCD",
        "UniPCMultistep",
    )
}  # fmt: skip
SNAP = 0.01  # a step this near to a whole one is that one: what is between comes from rounding


@dataclass(frozen=True)
class NoiseSchedule:
    """How a network sees x = z + sigma n, and what its output says of z.

    vp      x_t = alpha x with alpha = 1 / sqrt(1 + sigma^2), at the step t of the table with that sigma. The network
            predicts n ("epsilon"), alpha n - sigma alpha z ("v_prediction") or z ("sample")
    flow    x_t = (1 - t) z + t n = (1 - t) x with t = sigma / (1 + sigma), at the step 1000 t. The network predicts the
            velocity n - z ("flow"; Lipman et al. 2022, Liu et al. 2022). A shift of the schedule changes which t a
            sampler visits, not what t means
    """

    prediction: Prediction
    log_sigmas: Float[Tensor, " T"]  # of the steps that it was trained at, ascending
    shift: float = 1.0  # of a flow's sampler towards more noise, as many latents need

    def input(self, x: Float[Tensor, "V C h w"], sigma: Float[Tensor, " V"]) -> Float[Tensor, "V C h w"]:
        """x as the network was trained to see it."""
        return x * self._alpha(sigma)

    def step(self, sigma: Float[Tensor, " V"]) -> Float[Tensor, " V"]:
        """The training step of a noise level, whole or between two; the ends of the range beyond them."""
        if self.prediction == "flow":
            return len(self.log_sigmas) * sigma / (1 + sigma)
        t = step_at(sigma, self.log_sigmas)
        return torch.where((t - t.round()).abs() < SNAP, t.round(), t).float()

    def denoised(
        self, out: Float[Tensor, "V C h w"], x: Float[Tensor, "V C h w"], sigma: Float[Tensor, " V"]
    ) -> Float[Tensor, "V C h w"]:
        """D(x; sigma) = E[z | x] from the network's output."""
        level, alpha = sigma[:, None, None, None], self._alpha(sigma)
        if self.prediction == "sample":
            return out
        if self.prediction == "epsilon":
            return x - level * out
        if self.prediction == "v_prediction":
            return alpha**2 * x - level * alpha * out
        return alpha * (x - level * out)  # x_t - t v

    def noise(
        self, out: Float[Tensor, "V C h w"], x: Float[Tensor, "V C h w"], sigma: Float[Tensor, " V"]
    ) -> Float[Tensor, "V C h w"]:
        """E[n | x] from the network's output."""
        if self.prediction == "epsilon":
            return out
        level = sigma[:, None, None, None]
        if self.prediction == "v_prediction":
            return out * (1 + level**2).rsqrt() + level / (1 + level**2) * x
        return (x - self.denoised(out, x, sigma)) / level

    def target(
        self, z: Float[Tensor, "V C h w"], noise: Float[Tensor, "V C h w"], sigma: Float[Tensor, " V"]
    ) -> Float[Tensor, "V C h w"]:
        """What the network was trained to say at z + sigma noise."""
        level = sigma[:, None, None, None]
        if self.prediction == "v_prediction":
            return (noise - level * z) * (1 + level**2).rsqrt()
        return {"epsilon": noise, "sample": z, "flow": noise - z}[self.prediction]

    def to(self, device: torch.device) -> NoiseSchedule:
        return replace(self, log_sigmas=self.log_sigmas.to(device))

    def _alpha(self, sigma: Float[Tensor, " V"]) -> Float[Tensor, "V 1 1 1"]:
        level = sigma[:, None, None, None]
        return 1 / (1 + level) if self.prediction == "flow" else (1 + level**2).rsqrt()


def schedule_in(folder: Path, model: str) -> NoiseSchedule:
    """That of a pipeline's folder. Raises GsdError as `noise_schedule`."""
    name = f"prior.model={model}"
    return noise_schedule(read_json(folder / "scheduler" / "scheduler_config.json", name), model)


def noise_schedule(config: dict[str, Any], model: str) -> NoiseSchedule:
    """From a scheduler's config in the layout of diffusers.

    Raises:
        GsdError: for a scheduler that follows neither betas nor a flow, and for a kind of prediction that is not known.
    """
    kinds: dict[str, Prediction] = {name: name for name in get_args(Prediction)} | {"flow_prediction": "flow"}
    scheduler = str(config.get("_class_name", "DDIMScheduler"))
    matched, continuous = scheduler.startswith("FlowMatch"), config.get("timestep_type") == "continuous"
    if not matched and (scheduler not in BY_BETAS or continuous):
        raise GsdError(
            f"prior.model={model} was trained with another noise schedule, that of {scheduler}"
            f"{' with timestep_type=continuous' if continuous else ''}; use a model whose scheduler has betas, such as "
            "DDIMScheduler, or is a FlowMatchEulerDiscreteScheduler."
        )
    is_flow = matched or config.get("use_flow_sigmas", False)
    named = "flow_prediction" if is_flow else config.get("prediction_type", "epsilon")
    if named not in kinds:
        raise GsdError(f"prior.model={model} predicts {named!r}; gsd reads {', '.join(kinds)}.")
    if kinds[named] == "flow":
        steps = config.get("num_train_timesteps", 1000)
        t = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
        return NoiseSchedule("flow", t.logit(), _shift(config))
    return NoiseSchedule(kinds[named], vp_log_sigmas(config))


def _shift(config: dict[str, Any]) -> float:
    """One that depends on the size of images: that of the largest."""
    if config.get("use_dynamic_shifting"):
        return math.exp(config.get("max_shift", 1.15))
    return float(config.get("shift", config.get("flow_shift")) or 1.0)


def vp_log_sigmas(config: dict[str, Any]) -> Float[Tensor, " T"]:
    """log sigma(t) for t = 0 ... T - 1 in float64, without a last step at which nothing of the image is left."""
    mend_torchvision()
    from diffusers import DDIMScheduler

    keys = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas", "rescale_betas_zero_snr")
    scheduler: Any = DDIMScheduler(**{key: config[key] for key in keys if key in config})
    abar = scheduler.alphas_cumprod.double()
    sigmas = ((1 - abar) / abar).sqrt()
    return sigmas[sigmas.isfinite()].log()
