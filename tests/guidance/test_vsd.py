"""Variational score distillation: the formula, the LoRA beside an untouched network, and what it learns."""

import copy

import pytest
import torch
from families import random_family
from launch import SMALL, launch, records
from pipelines import random_pipeline, relative
from torch.nn.functional import mse_loss
from worlds import RNG, TEXTS, exact, network, per_view

from gsd import protocols
from gsd.errors import GsdError
from gsd.guidance.csd import CSD
from gsd.guidance.parts.lora import ADAPTER, poses
from gsd.guidance.sds import SDS
from gsd.guidance.vsd import VSD
from gsd.prior.text_to_image import TextToImage
from gsd.random import Stream
from gsd.results.folder import RunFolder
from gsd.runner.recorder import Recorder
from gsd.types import Condition, Context, Noised

PLAIN = "a corgi"


@pytest.fixture(params=["epsilon", "v_prediction"])
def fresh(request, tmp_path, monkeypatch):
    """A network that nothing is attached to yet."""
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    return network(tmp_path / "model", request.param)


def attached(world, **options):
    guidance = VSD(Context(PLAIN), **options)
    guidance.attach(world.prior, Stream(0, "guidance"))
    return guidance


def shaken(guidance):
    """With a LoRA and an embedding that are no longer nothing."""
    generator = torch.Generator().manual_seed(0)
    for p in guidance.lora.params.values():
        p.data += 0.1 * torch.randn(p.shape, generator=generator)
    return guidance


def test_is_the_formula(fresh):
    """Against diffusers with the LoRA merged into the weights and the camera's embedding written out."""
    guidance = shaken(attached(fresh, guidance_scale=3.0))
    unet, saved = fresh.pipe.unet, copy.deepcopy(fresh.pipe.unet.state_dict())
    x, sigma = fresh.noised(), fresh.sigma
    text, empty = fresh.eps(x, sigma, TEXTS), fresh.eps(x, sigma, ("", ""))
    params = {name: p.detach().clone() for name, p in guidance.lora.params.items()}
    for name in [n for n in params if "lora_A" in n]:
        key = name.replace(".lora_A.vsd.weight", ".weight")
        unet.get_parameter(key).data += params[name.replace("lora_A", "lora_B")] @ params[name]
    pose = torch.linalg.inv(fresh.condition.cameras.viewmats).flatten(1)
    hidden = torch.nn.functional.silu(pose @ params["camera.linear_1.weight"].T + params["camera.linear_1.bias"])
    embedded = hidden @ params["camera.linear_2.weight"].T + params["camera.linear_2.bias"]
    assert embedded.abs().max() > 0.1
    learnt = []
    for view in range(2):
        handle = unet.time_embedding.register_forward_hook(lambda m, i, out, v=view: out + embedded[v])
        learnt.append(fresh.eps(x[view : view + 1], sigma[view : view + 1], (PLAIN,)))
        handle.remove()
    unet.load_state_dict(saved)
    score = fresh.run(guidance)
    weight = per_view(sigma**2 / (1 + sigma**2))
    assert fresh.near(score.gradient, weight * (empty + 3 * (text - empty) - torch.cat(learnt)))
    assert score.prior_calls == 4 + 2 + 2


def test_at_the_start_it_is_the_difference_of_guidance(fresh):
    """Without the camera e_lora is e(x, y): what remains is (s - 1) (e(x, y) - e(x, ""))."""
    guidance = attached(fresh, camera=False, guidance_scale=7.5)
    expected = 6.5 * fresh.run(CSD()).gradient
    assert fresh.near(fresh.run(guidance).gradient, expected)


def test_at_the_start_the_camera_says_nothing(fresh):
    guidance = attached(fresh, guidance_scale=1.0, weighting="uniform")
    x = fresh.noised()
    plain = fresh.eps(x, fresh.sigma, (PLAIN, PLAIN))
    assert fresh.near(fresh.run(guidance).gradient, fresh.eps(x, fresh.sigma, TEXTS) - plain)


def test_lora_scale_leads_away_from_the_same_text_without_camera(fresh):
    guidance, scores = shaken(attached(fresh)), []
    start = copy.deepcopy(guidance.state())
    for scale in (1.0, 0.0, 3.0):
        guidance.restore(copy.deepcopy(start))
        guidance.lora_scale = scale
        scores.append(fresh.run(guidance))
    one, none, three = (score.residual for score in scores)
    assert fresh.near(three, none + 3 * (one - none))
    assert (one - none).norm() > 1e-3 * one.norm()
    guidance.restore(copy.deepcopy(start))
    x, told = fresh.noised(), Condition((PLAIN, PLAIN))
    with torch.no_grad(), guidance.lora.on(torch.zeros(2, 16)):
        out = guidance.lora.prior.predict(x, fresh.sigma, told)
    assert fresh.near(none, scores[1].eps - guidance.lora.prior.schedule.noise(out, x, fresh.sigma))


def test_lora_scale_leads_away_from_no_text_where_there_is_no_camera(fresh):
    guidance = attached(fresh, camera=False, guidance_scale=1.0, lora_scale=0.0)
    assert fresh.near(fresh.run(guidance).gradient, fresh.run(CSD()).gradient)


def test_the_network_itself_is_untouched_bit_for_bit(fresh):
    before = {name: p.clone() for name, p in fresh.prior.network.state_dict().items()}
    said = fresh.run(SDS()).eps
    guidance = attached(fresh, lr=0.1)
    assert torch.equal(fresh.run(SDS()).eps, said)
    for step in range(3):
        fresh.run(guidance, rng=RNG.at(step))
    assert torch.equal(fresh.run(SDS()).eps, said)
    after = {name.replace(".base_layer", ""): p for name, p in fresh.prior.network.state_dict().items()}
    assert all(torch.equal(after[name], p) for name, p in before.items())
    added = set(after) - set(before)
    assert added
    assert all(".lora_" in name for name in added)
    assert not any(p.requires_grad for p in fresh.prior.network.parameters())


def test_the_lora_learns_the_render(fresh):
    """Its loss on fixed noise goes down over 20 steps."""
    guidance = attached(fresh, lr=5e-3)
    sigma = torch.tensor([1.0, 5.0])
    noise = torch.randn(fresh.z.shape, generator=torch.Generator().manual_seed(9))

    def loss():
        x = fresh.z + per_view(sigma) * noise
        with torch.no_grad(), guidance.lora.on(poses(fresh.condition.cameras)):
            out = guidance.lora.prior.predict(x, sigma, guidance._lora_condition(fresh.condition))
        return float(mse_loss(guidance.lora.prior.schedule.noise(out, x, sigma), noise))

    first = loss()
    for step in range(20):
        fresh.run(guidance, rng=RNG.at(step))
    assert loss() < 0.95 * first
    assert guidance.vitals()["guidance/lora_loss"].isfinite()


def test_what_it_learns_from_is_drawn_from_the_stream_alone(fresh):
    guidance = attached(fresh)
    start, losses = copy.deepcopy(guidance.state()), []
    for noise, step in ((fresh.noise, 3), (fresh.z, 3), (fresh.noise, 4)):
        guidance.restore(copy.deepcopy(start))
        fresh.run(guidance, noise=noise, rng=RNG.at(step))
        losses.append(float(guidance.loss))
    assert losses[0] == losses[1] != losses[2]


def test_a_dropped_camera_is_zero(fresh, monkeypatch):
    guidance = attached(fresh, camera_dropout=1.0)
    seen, on = [], guidance.lora.on
    monkeypatch.setattr(guidance.lora, "on", lambda pose: seen.append(pose) or on(pose))
    fresh.run(guidance)
    known, learnt = seen
    assert torch.equal(known, poses(fresh.condition.cameras))
    assert not learnt.any()


def test_the_target_of_a_velocity_means_the_noise(fresh):
    guidance = attached(fresh)
    out = guidance.lora.prior.schedule.target(fresh.z, fresh.noise, fresh.sigma)
    assert torch.allclose(guidance.lora.prior.schedule.noise(out, fresh.noised(), fresh.sigma), fresh.noise, atol=1e-4)


def test_a_prior_without_a_network_is_refused():
    assert isinstance(VSD(Context(PLAIN)), protocols.Adapts)
    with pytest.raises(GsdError, match="prior=tiny or prior=stable_diffusion"):
        attached(exact())


def test_a_resumed_run_equals_a_straight_one(tmp_path, monkeypatch):
    """In this process and bit for bit: scene, LoRA and its optimiser."""
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    random_pipeline(tmp_path / "model")
    options = (
        *SMALL,
        "prior=stable_diffusion",
        f"prior.model={tmp_path / 'model'}",
        "guidance=vsd",
        "noising=random",
        "loss=none",
        "metric=[]",
        "guidance.lr=0.01",
    )
    straight = launch(tmp_path / "straight", *options, "steps=8")
    step = Recorder.step

    def until_six(self, state):
        step(self, state)
        if state.step == 5:
            raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "step", until_six)
    with pytest.raises(KeyboardInterrupt):
        launch(tmp_path / "resumed", *options, "steps=8")
    monkeypatch.setattr(Recorder, "step", step)
    resumed = launch(tmp_path / "resumed", *options, "steps=8")
    assert records(resumed) == records(straight)
    assert len({r["guidance/lora_loss"] for r in records(straight)}) == 8
    one, other = (RunFolder(folder).load_checkpoint() for folder in (straight, resumed))
    for name, value in one["guidance"]["params"].items():
        assert torch.equal(value, other["guidance"]["params"][name])
    assert any(value.abs().max() > 0 for name, value in one["guidance"]["params"].items() if "lora_B" in name)
    wrong = one["guidance"] | {"params": {}}
    with pytest.raises(GsdError, match="other parameters"):
        attached(network(tmp_path / "other")).restore(wrong)


def lost(got, wanted):
    """What share of a gradient has become 0 or has the wrong sign."""
    there = wanted != 0
    return float((got.sign() != wanted.sign())[there].float().mean())


@pytest.fixture
def large_mean(monkeypatch):
    """The loss is a mean over the latents of 8 views of 64 x 64, not of 2 of 8 x 8."""
    monkeypatch.setattr("gsd.guidance.vsd.mse_loss", lambda *given: mse_loss(*given) / 256)


@pytest.fixture
def learner(tmp_path, monkeypatch):
    """A LoRA on a network, and what one training step gives as its gradient."""
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    world = network(tmp_path / "model")
    guidance = shaken(attached(world))
    start, given = copy.deepcopy(guidance.state()), Noised(world.z, world.noise, world.sigma, world.condition, RNG)

    def gradient():
        guidance.restore(copy.deepcopy(start))
        guidance._learn(given)
        return torch.cat([p.grad.flatten() for p in guidance.lora.params.values()])

    return guidance, gradient


def in_half(guidance):
    """As on a GPU, where the network is in half precision and its LoRA is not."""
    guidance.lora.prior.dtype = torch.float16
    for name, p in guidance.lora.prior.network.named_parameters():
        p.data = p.data if f".{ADAPTER}." in name else p.data.half()


def test_a_network_in_half_keeps_the_gradients_of_its_lora(learner, large_mean):
    guidance, gradient = learner
    assert not guidance.scaler.is_enabled()
    wanted = gradient()
    in_half(guidance)
    bare = gradient()
    guidance.scaler = torch.amp.GradScaler("cpu")
    scaled = gradient()
    assert lost(scaled, wanted) < 0.003
    assert lost(bare, wanted) > 0.01


def test_a_step_whose_gradients_overflow_is_skipped(learner):
    guidance, gradient = learner
    in_half(guidance)
    guidance.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = copy.deepcopy(guidance.state())
    assert not gradient().isfinite().all()
    after = guidance.state()
    assert all(torch.equal(p, before["params"][name]) for name, p in after["params"].items())
    assert after["scaler"]["scale"] == before["scaler"]["scale"] / 2
    assert guidance.loss.isfinite()
    guidance.scaler = torch.amp.GradScaler("cpu")
    guidance.restore(after)
    assert guidance.scaler.get_scale() == 2.0**39


@pytest.mark.parametrize("name", ["sdxl", "sd3", "sana"])
def test_networks_of_other_families(name, tmp_path):
    """A flow's LoRA learns velocities."""
    random_family(name, tmp_path)
    prior = TextToImage(Context(), str(tmp_path), resolution=16)
    guidance = VSD(Context(), guidance_scale=3.0, camera=False, weighting="uniform", lr=0.03)
    guidance.attach(prior, Stream(0, "guidance"))
    draws = torch.Generator().manual_seed(0)
    z, noise = torch.randn(2, 2, 4, 8, 8, generator=draws).unbind()
    condition, sigma = Condition(("an owl", "a cat")), torch.tensor([0.4, 3.0])
    given = Noised(z, noise, sigma, condition, Stream(0, "guidance", 0))
    with torch.no_grad():
        plain = (given.x - prior.denoise(given.x, sigma, condition)) / given.level
    score = guidance(prior, given)
    assert relative(score.gradient, score.eps - plain) < 1e-4  # the LoRA begins as nothing
    before = float(guidance.loss)
    for step in range(1, 30):
        guidance(prior, Noised(z, noise, sigma, condition, Stream(0, "guidance", step % 2)))
    guidance(prior, given)
    assert float(guidance.loss) < 0.9 * before


def test_a_compiled_network_is_told_the_camera_too(tmp_path, monkeypatch):
    """And the prior's own predictions in between are not; traced by PyTorch's compiler, without making code of it."""
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    compile = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: compile(self, backend="eager"))
    worlds = [network(tmp_path / name) for name in ("plain", "compiled")]
    worlds[1].prior.network.compile()
    guidances = [shaken(attached(world)) for world in worlds]
    for step in range(2):
        one, other = (w.run(g, rng=RNG.at(step)) for w, g in zip(worlds, guidances, strict=True))
        assert relative(other.gradient, one.gradient) < 1e-5
        assert relative(other.eps, one.eps) < 1e-5
