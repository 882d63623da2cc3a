"""Priors to try guidance on, each with noise predictions from elsewhere: the exact menagerie in float64, and two
pipelines of diffusers, asked by plain calls: one with random weights, one trained."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from pipelines import random_pipeline
from quick_config import quick

from gsd.backend.checkpoint import TINY
from gsd.backend.torchvision_mend import mend_torchvision
from gsd.camera.orbit import Orbit
from gsd.config import make
from gsd.guidance.nfsd import UNWANTED
from gsd.protocols import Prior
from gsd.random import Stream
from gsd.types import Condition, Context, Noised

SMALL = ("camera.resolution=16", "prior.azimuths=12", "prior.elevations=[15]", "prior.variants=1")
RNG = Stream(5, "guidance", 3)
TEXTS = ("a corgi, front view", "a corgi, side view")
OTHERS = ("a corgi", "an owl", "ugly", "dull", UNWANTED)


@dataclass
class World:
    """A prior and two noised views; eps(x, sigma, texts) is asked one view at a time."""

    prior: Any
    z: torch.Tensor
    noise: torch.Tensor
    sigma: torch.Tensor
    condition: Condition
    eps: Any
    tolerance: float  # of a gradient, relative to the prediction of noise
    pipe: Any = None

    def levels(self, t):
        """sigma at whole steps t of the prior's own training."""
        return levels(t, None if self.pipe is None else self.pipe.scheduler.alphas_cumprod)

    def run(self, guidance, **changes):
        prior = changes.pop("prior", self.prior)
        given = Noised(self.z, self.noise, self.sigma, self.condition, RNG)
        if "z" in changes:
            changes["latents"] = changes.pop("z")
        return guidance(prior, replace(given, **changes))

    def noised(self):
        return self.z + per_view(self.sigma) * self.noise

    def near(self, got, expected, times=1):
        scale = self.eps(self.noised(), self.sigma, TEXTS).norm()
        return float((got - expected).norm() / max(scale, expected.norm())) < times * self.tolerance


def per_view(x):
    return x.view(-1, 1, 1, 1)


def condition(negatives=None):
    return Condition(TEXTS, Orbit(views=2)(Stream(0, "camera")), negatives=negatives)


def noises(shape, dtype):
    return torch.randn(2, 2, *shape, generator=torch.Generator().manual_seed(4), dtype=dtype).unbind()


def exact() -> World:
    prior = make(quick(*SMALL).prior, "prior", Context("a corgi"), Prior)

    def eps(x, sigma, texts):
        views = [prior.denoise(x[i : i + 1], sigma[i : i + 1], Condition((texts[i],))) for i in range(len(x))]
        return (x - torch.cat(views)) / per_view(sigma)

    z, noise = noises((3, 16, 16), torch.float64)
    sigma = levels(torch.tensor([700, 900])).double()
    return World(prior, 0.5 * z, noise, sigma, condition(), eps, 1e-9)


def network(folder, prediction="epsilon") -> World:
    return asked_plainly(random_pipeline(folder, prediction), folder)


def tiny() -> World:
    """The trained model that comes with gsd; it predicts velocity."""
    mend_torchvision()
    from diffusers import StableDiffusionPipeline

    return asked_plainly(StableDiffusionPipeline.from_pretrained(TINY, torch_dtype=torch.float32), TINY)


def asked_plainly(pipe, folder) -> World:
    from gsd.prior.stable_diffusion import StableDiffusion

    velocity, abar = pipe.scheduler.config.prediction_type == "v_prediction", pipe.scheduler.alphas_cumprod

    @torch.no_grad()
    def eps(x, sigma, texts):
        out = []
        for view, level, text in zip(x, sigma, texts, strict=True):
            t = int((levels(torch.arange(1000), abar) - level).abs().argmin())
            alpha, s = (1 + level**2) ** -0.5, level * (1 + level**2) ** -0.5
            words, _ = pipe.encode_prompt(text, "cpu", 1, do_classifier_free_guidance=False)
            said = pipe.unet(alpha * view[None], t, encoder_hidden_states=words).sample
            out.append(alpha * said + s * alpha * view[None] if velocity else said)
        return torch.cat(out)

    prior = StableDiffusion(Context(), str(folder))
    prior.prepare((*TEXTS, *OTHERS))  # the encoder is loaded once
    z, noise = noises(prior.encode(torch.rand(1, 3, 16, 16)).shape[1:], torch.float32)
    sigma = levels(torch.tensor([300, 700]), abar)
    return World(prior, z, noise, sigma, condition(), eps, 1e-5, pipe)


def levels(t, abar=None):
    """sigma at whole steps t, from the definition of Stable Diffusion's schedule unless another is given."""
    if abar is None:
        abar = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2, 0)
    return ((1 - abar.double()[t]) / abar.double()[t]).sqrt().float()


class Pull(Prior):
    """A prior that pulls each view towards a constant that its text names."""

    guidance_scale = 1.0

    def encode(self, rgb):
        return rgb

    def decode(self, z):
        return z

    def denoise(self, x, sigma, condition):
        towards = x.new_tensor([float(t or 0) for t in condition.texts]).view(-1, 1, 1, 1)
        return x + (towards - x) * (sigma**2 / (1 + sigma**2)).view(-1, 1, 1, 1)


def inputs():
    g = torch.Generator().manual_seed(0)
    z, n = (torch.randn(3, 2, 4, 4, generator=g, dtype=torch.float64) for _ in range(2))
    sigma = torch.tensor([0.1, 1.0, 14.0], dtype=torch.float64)
    return Noised(z, n, sigma, Condition(("1", "2", "3")), RNG)
