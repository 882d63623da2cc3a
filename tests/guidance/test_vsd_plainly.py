"""VSD of every family in float64 against a few plain calls of diffusers and peft: its gradient, what its LoRA learns.

The camera's embedding, which is added to that of the time, is written here into the bias of the time's last layer, one
view at a time.
"""

import copy
from dataclasses import replace

import pytest
import torch
from families import MAKERS, random_family
from pipelines import random_pipeline, relative
from torch.func import functional_call
from torch.nn.functional import mse_loss, silu

from gsd.geometry import turntable
from gsd.guidance.vsd import VSD
from gsd.prior.stable_diffusion import StableDiffusion
from gsd.prior.text_to_image import TextToImage
from gsd.random import Stream
from gsd.types import Condition, Context, Noised

FLOWS = ("sd3", "flux", "sana")
PLAIN, TEXTS, SCALE = "an owl", ("an owl, front view", "an owl, back view"), 4.0
RNG = Stream(3, "guidance", 5)
TIME = {"sd3": "time_text_embed.", "flux": "time_text_embed.", "pixart": "adaln_single.emb.", "sana": "time_embed.emb."}


def made(name, folder):
    """Pipeline and prior, both in float64."""
    if name in MAKERS:
        pipe, prior = random_family(name, folder), TextToImage(Context(), str(folder), resolution=16)
    else:
        pipe, prior = random_pipeline(folder, name), StableDiffusion(Context(), str(folder))
    prior.dtype = torch.float64
    prior.network.double()
    return pipe, prior


def states(name, pipe, text):
    """What the network is told of a text, by its parameters' names."""
    if name not in MAKERS:
        return {"encoder_hidden_states": pipe.encode_prompt(text, "cpu", 1, False)[0]}
    if name in ("pixart", "sana"):
        words, mask, _, _ = pipe.encode_prompt(text, do_classifier_free_guidance=False)
        told = {"encoder_hidden_states": words, "encoder_attention_mask": mask}
        return told | ({"added_cond_kwargs": {"resolution": None, "aspect_ratio": None}} if name == "pixart" else {})
    if name == "sdxl":
        words, _, pooled, _ = pipe.encode_prompt(text, do_classifier_free_guidance=False)
        keep = float(text != "")  # force_zeros_for_empty_prompt
        added = {"text_embeds": keep * pooled.double(), "time_ids": torch.tensor([[16.0, 16, 0, 0, 16, 16]]).double()}
        return {"encoder_hidden_states": keep * words, "added_cond_kwargs": added}
    if name == "sd3":
        words, _, pooled, _ = pipe.encode_prompt(text, None, None, do_classifier_free_guidance=False)
        return {"encoder_hidden_states": words, "pooled_projections": pooled}
    words, pooled, places = pipe.encode_prompt(text, None)
    return {"encoder_hidden_states": words, "pooled_projections": pooled, "txt_ids": places}


class Plainly:
    """The network as diffusers and peft have it."""

    def __init__(self, name, pipe):
        self.name, self.pipe, self.flow = name, pipe, name in FLOWS
        self.network = copy.deepcopy(pipe.components["transformer" if name in TIME else "unet"]).double()
        self.bias = f"{TIME[name]}timestep_embedder" if name in TIME else "time_embedding"

    def says(self, noisy, t, text, camera=None):
        """Of one view; t of 1000. camera: what is added to the embedding of the time."""
        told = states(self.name, self.pipe, text)
        told = {k: v.double() if isinstance(v, torch.Tensor) and "mask" not in k else v for k, v in told.items()}
        if self.name == "flux":
            told["img_ids"] = self.pipe._prepare_latent_image_ids(1, 4, 4, "cpu", torch.float64)
            told |= {
                "hidden_states": self.pipe._pack_latents(noisy, 1, 4, 8, 8),
                "guidance": torch.tensor([3.5]).double(),
            }
            told["timestep"] = t[None] / 1000
        else:
            first = "sample" if self.bias == "time_embedding" else "hidden_states"
            told |= {first: noisy, "timestep": t[None]}
        layer = self.network.get_submodule(self.bias).linear_2
        changed = {} if camera is None else {f"{self.bias}.linear_2.bias": layer.bias + camera}
        out = functional_call(self.network, changed, kwargs=told).sample
        if self.name == "flux":
            return self.pipe._unpack_latents(out, 16, 16, 2)
        return out.chunk(2, 1)[0] if out.shape[1] == 8 else out

    def noised(self, z, noise, level):
        """level: abar of the step, or t in [0, 1] of a flow."""
        return (1 - level) * z + level * noise if self.flow else level.sqrt() * z + (1 - level).sqrt() * noise

    def noise(self, out, noisy, level):
        if self.flow:
            return noisy + (1 - level) * out
        return level.sqrt() * out + (1 - level).sqrt() * noisy if self.name == "v_prediction" else out

    def target(self, z, noise, level):
        if self.flow:
            return noise - z
        return level.sqrt() * noise - (1 - level).sqrt() * z if self.name == "v_prediction" else noise

    def with_lora(self, params):
        """As peft puts it on, with these values as leaves; and the camera's embedding as a function of a pose."""
        from peft import LoraConfig, inject_adapter_in_model

        config = LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_k", "to_v", "to_out.0"])
        inject_adapter_in_model(config, self.network)
        own = {name: p for name, p in self.network.named_parameters() if ".lora_" in name}
        for name, p in own.items():
            p.data = params[name.replace(".default.", ".vsd.")].clone()
        c = {name: p.clone().requires_grad_() for name, p in params.items() if name.startswith("camera.")}
        leaves = {name.replace(".default.", ".vsd."): p for name, p in own.items()} | c

        def camera(pose):
            hidden = silu(pose @ c["camera.linear_1.weight"].T + c["camera.linear_1.bias"])
            return hidden @ c["camera.linear_2.weight"].T + c["camera.linear_2.bias"]

        return leaves, camera if c else None


def steps(plain, pipe, places):
    """Step of 1000, level (abar, or t of a flow) and sigma of some places of the schedule."""
    if plain.flow:
        level = (places.double() + 0.5) / 1000
        return 1000 * level, level, level / (1 - level)
    level = pipe.scheduler.alphas_cumprod[places].double()
    return places.double(), level, ((1 - level) / level).sqrt()


@pytest.mark.parametrize("camera", [True, False])
@pytest.mark.parametrize("name", ["epsilon", "v_prediction", *MAKERS])
def test_vsd_equals_plain_diffusers_calls(name, camera, tmp_path, monkeypatch):
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    pipe, prior = made(name, tmp_path / "pipeline")
    vsd = VSD(Context(PLAIN), guidance_scale=SCALE, camera=camera, camera_dropout=0.5, weighting="uniform")
    vsd.attach(prior, Stream(0, "guidance"))
    draws = torch.Generator().manual_seed(0)
    for p in vsd.lora.params.values():  # no longer nothing
        p.data = p.data.double() + 0.1 * torch.randn(p.shape, generator=draws, dtype=torch.float64)
    plain, cameras = Plainly(name, pipe), turntable(2, 16)
    cameras = replace(cameras, viewmats=cameras.viewmats.double())
    z, noise = torch.randn(2, 2, 4, 8, 8, generator=draws, dtype=torch.float64).unbind()
    t, level, sigma = steps(plain, pipe, torch.tensor([300, 700]))
    views = [(z[v : v + 1], noise[v : v + 1], TEXTS[v], t[v], level[v]) for v in range(2)]

    guided = []
    with torch.no_grad():
        for z1, n1, text, t1, level1 in views:
            noisy = plain.noised(z1, n1, level1)
            with_text, without = (plain.noise(plain.says(noisy, t1, each), noisy, level1) for each in (text, ""))
            guided.append(without + SCALE * (with_text - without))
    leaves, told = plain.with_lora({key: p.detach() for key, p in vsd.lora.params.items()})
    pose = torch.linalg.inv(cameras.viewmats).flatten(1)
    adapted = []
    for v, (z1, n1, text, t1, level1) in enumerate(views):
        noisy = plain.noised(z1, n1, level1)
        out = plain.says(noisy, t1, PLAIN if camera else text, told(pose[v]) if camera else None)
        adapted.append(plain.noise(out, noisy, level1).detach())

    draws = RNG.sub("lora").generator()  # what is learnt from: steps, noise, and whose camera is told
    t, level, _ = steps(plain, pipe, torch.randint(1000, (2,), generator=draws))
    noise_of_lora = torch.randn(z.shape, generator=draws).double()
    kept = (torch.rand(2, generator=draws) >= 0.5).double() if camera else None
    said, wanted = [], []
    for v, (z1, _, text, _, _) in enumerate(views):
        n1 = noise_of_lora[v : v + 1]
        of_camera = told(kept[v] * pose[v]) if camera else None
        said.append(plain.says(plain.noised(z1, n1, level[v]), t[v], PLAIN if camera else text, of_camera))
        wanted.append(plain.target(z1, n1, level[v]))
    loss = mse_loss(torch.cat(said), torch.cat(wanted))
    gradients = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))

    score = vsd(prior, Noised(z, noise, sigma, Condition(TEXTS, cameras), RNG))
    assert relative(score.gradient, torch.cat(guided) - torch.cat(adapted)) < 1e-5
    assert float(vsd.loss) == pytest.approx(float(loss.detach()), rel=1e-5)
    assert gradients.keys() == vsd.lora.params.keys()
    for key, p in vsd.lora.params.items():
        assert relative(p.grad, gradients[key]) < 1e-5, key
