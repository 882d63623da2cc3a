"""How a semantic code is learned: textual inversion, then a LoRA with the token (3DFuse, Seo et al. 2023, section 4.1).

Textual inversion (Gal et al. 2022) finds the embedding of one new token, in the place of the word for the prompt's
object, with which the frozen network denoises some pictures best. Then a LoRA on the network's attention learns them
together with the token (pivotal tuning, Roich et al. 2021). 3DFuse also puts a LoRA on the text encoder; here is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, runtime_checkable

import torch
from annotated_types import Interval
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from gsd.backend.adapters import attach
from gsd.prior.parts.latent import fits
from gsd.prior.parts.noise_schedule import NoiseSchedule
from gsd.prior.parts.semantic_code import add_token, replaced
from gsd.prior.parts.text import Embeddings, tokens_of
from gsd.random import Stream
from gsd.ranges import Few, StepNumber

ADAPTER = "semantic_code"
Rate = Annotated[float, Interval(gt=0, le=1)]


class Training(BaseModel):
    """Numbers of the training; steps and rank are 3DFuse's."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    token_steps: StepNumber = 500
    lora_steps: StepNumber = 500
    rank: Few = 1
    token_rate: Rate = 5e-3
    later_token_rate: Rate = 1e-4  # while the LoRA learns
    lora_rate: Rate = 1e-3


@runtime_checkable
class Trainable(Protocol):
    """A prior around a UNet whose text is CLIP's, such as `gsd.prior.stable_diffusion.StableDiffusion`."""

    network: Any
    schedule: NoiseSchedule
    device: torch.device
    dtype: torch.dtype
    embeddings: Embeddings


@dataclass(frozen=True)
class Learned:
    embedding: Float[Tensor, " D"]
    lora: dict[str, Tensor]  # LAYER.down, LAYER.up
    losses: tuple[float, ...]  # of all steps


def learn(
    prior: Trainable,
    z: Float[Tensor, "B C h w"],
    texts: Sequence[str],
    keyword: str,
    options: Training,
    rng: Stream,
    tell: Callable[[str, int, float], None] = lambda *_: None,
) -> Learned:
    """Learn the code of some pictures; the prior is left as it was.

    Args:
        prior: its network is trained with adapters, which are taken off again.
        z: latents of the pictures.
        texts: of the pictures, which name the keyword.
        keyword: a word, or several.
        options: numbers of the training.
        rng: of noise and noise levels.
        tell: told the stage, the step and the loss.
    """
    tokenizer, encoder = prior.embeddings.load()
    table = add_token(tokenizer, encoder)
    words = tokenizer(keyword, add_special_tokens=False).input_ids
    with torch.no_grad():
        table[-1] = table[words].mean(0)
    table.requires_grad_(True)
    only_last = torch.zeros(len(table), 1, device=table.device)
    only_last[-1] = 1
    table.register_hook(lambda gradient: gradient * only_last)  # Adam leaves what has never had a gradient
    asked = tokens_of(tokenizer, encoder, [replaced(text, keyword) for text in texts], prior.device)
    losses: list[float] = []

    def stage(name: str, steps: int, groups: list[dict[str, Any]]) -> None:
        optimizer = torch.optim.AdamW(groups, weight_decay=0.0)
        for step in range(steps):
            with torch.enable_grad(), fits("training"):
                loss = _loss(prior, z, encoder(**asked)[0], rng.sub(name).at(step))
                optimizer.zero_grad()
                loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            tell(name, step, losses[-1])

    stage("token", options.token_steps, [{"params": [table], "lr": options.token_rate}])
    with _adapted(prior, options.rank, rng) as params:
        token = {"params": [table], "lr": options.later_token_rate}
        stage("lora", options.lora_steps, [token, {"params": list(params.values()), "lr": options.lora_rate}])
        lora = {_name(name): p.detach().clone() for name, p in params.items()}
    return Learned(table[-1].detach().clone(), lora, tuple(losses))


def _loss(prior: Trainable, z: Float[Tensor, "B C h w"], text: Float[Tensor, "B L D"], rng: Stream) -> Tensor:
    """The network's training loss at one noise level for each picture."""
    generator, levels = rng.generator(), prior.schedule.log_sigmas
    t = torch.randint(len(levels), (len(z),), generator=generator)
    noise = torch.randn(z.shape, generator=generator).to(z)
    sigma = levels[t.to(levels.device)].exp().to(z)
    x = z + sigma[:, None, None, None] * noise
    seen, step = prior.schedule.input(x, sigma).to(prior.dtype), prior.schedule.step(sigma)
    out = prior.network.forward(seen, step, encoder_hidden_states=text.to(prior.dtype)).sample
    return mse_loss(out.to(z), prior.schedule.target(z, noise, sigma))


@contextmanager
def _adapted(prior: Trainable, rank: int, rng: Stream) -> Iterator[dict[str, nn.Parameter]]:
    """The network with a LoRA inside, whose parameters it gives; without it afterwards."""
    try:
        yield attach(prior.network, ADAPTER, rank, rng.key())
    finally:
        prior.network.unload_lora()


def _name(parameter: str) -> str:
    """LAYER.lora_A.semantic_code.weight -> LAYER.down."""
    layer, _, rest = parameter.partition(".lora_")
    return f"{layer}.{'down' if rest[0] == 'A' else 'up'}"
