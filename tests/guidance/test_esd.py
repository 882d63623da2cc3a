"""Entropic score distillation, against q written out as a density and against branches of the LoRA."""

from dataclasses import replace

import pytest
import torch
from quick_config import quick
from worlds import Pull, exact, inputs, network, per_view

from gsd.config import make
from gsd.errors import GsdError
from gsd.guidance.esd_exact import ExactESD
from gsd.guidance.sds import SDS
from gsd.protocols import Guidance
from gsd.random import Stream
from gsd.types import Context


def noise_of_mixture(x, sigma, renders):
    """-sigma grad log mean_k N(x; z_k, sigma^2), view by view, by autograd."""
    out = []
    for view, level in zip(x.clone(), sigma, strict=True):
        view.requires_grad_()
        log_density = torch.logsumexp(torch.stack([-(view - z).square().sum() / (2 * level**2) for z in renders]), 0)
        out.append(-level * torch.autograd.grad(log_density, view)[0])
    return torch.stack(out)


def steps(count):
    """The same question about slightly different scenes, at noise levels where renders are confused."""
    start = inputs()
    generator = torch.Generator().manual_seed(1)
    for step in range(count):
        z = start.latents + 0.3 * torch.randn(start.latents.shape, generator=generator, dtype=torch.float64)
        yield replace(start, latents=z, sigma=start.sigma + 2, rng=start.rng.at(step))


def test_is_the_formula_over_the_renders_that_it_remembers():
    guidance, seen = ExactESD(entropy=0.3, memory=7, weighting="uniform"), []
    for given in steps(4):
        seen = [*seen, *given.latents][-7:]
        score = guidance(Pull(), given)
        eps = (given.x - Pull().denoise(given.x, given.sigma, given.condition)) / per_view(given.sigma)
        of_all = noise_of_mixture(given.x, given.sigma, seen)
        torch.testing.assert_close(score.gradient, eps - 0.7 * given.noise - 0.3 * of_all)
        assert torch.equal(score.residual, score.gradient)
        assert score.prior_calls == 3
    assert (of_all - given.noise).norm() > 0.05 * given.noise.norm()
    assert 1 < guidance.vitals()["guidance/confusable_renders"] < 7


def test_without_entropy_it_is_sds():
    for given in steps(3):
        entropy, plain = ExactESD(entropy=0.0)(Pull(), given), SDS()(Pull(), given)
        torch.testing.assert_close(entropy.gradient, plain.gradient)
        torch.testing.assert_close(entropy.eps, plain.eps)


def test_it_drives_the_renders_of_a_step_apart():
    given = next(steps(1))
    plain, entropy = (ExactESD(entropy=e, weighting="uniform")(Pull(), given).gradient for e in (0.0, 1.0))
    towards_the_others = given.latents.mean(0) - given.latents
    assert ((entropy - plain) * towards_the_others).sum() > 0  # descent leads away from them


def test_renders_of_another_size_are_forgotten_and_the_others_are_in_the_checkpoint():
    one, other = ExactESD(memory=8), ExactESD(memory=8)
    first, second, third = steps(3)
    one(Pull(), first)
    other.restore(one.state())
    assert torch.equal(one(Pull(), second).gradient, other(Pull(), second).gradient)
    grown = replace(third, latents=third.latents.repeat(1, 1, 2, 2), noise=third.noise.repeat(1, 1, 2, 2))
    assert torch.equal(one(Pull(), grown).gradient, ExactESD()(Pull(), grown).gradient)
    assert ExactESD().state() == {}


def test_on_the_menagerie_it_asks_no_more_than_sds():
    world = exact()
    score, plain = world.run(ExactESD()), world.run(SDS(guidance_scale=1.0))
    assert score.prior_calls == plain.prior_calls
    assert torch.equal(score.eps, plain.eps)


def test_the_preset_is_the_authors_mixture_of_lora_branches(tmp_path, monkeypatch):
    """e_lora = lambda e_lora(x, no camera) + (1 - lambda) e_lora(x, c), lambda = 0.5."""
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))
    world = network(tmp_path / "model")
    guidance = make(quick("guidance=esd").guidance, "guidance", Context("a corgi"), Guidance)
    guidance.attach(world.prior, Stream(0, "guidance"))
    generator = torch.Generator().manual_seed(0)
    for p in guidance.lora.params.values():
        p.data += 0.1 * torch.randn(p.shape, generator=generator)
    told = guidance._lora_condition(world.condition)
    pose = torch.linalg.inv(world.condition.cameras.viewmats).flatten(1)
    answers = []
    for given in (pose, 0 * pose):
        with torch.no_grad(), guidance.lora.on(given):
            answers.append(world.prior.predict(world.noised(), world.sigma, told))
    camera, none = answers
    assert (camera - none).norm() > 1e-3 * none.norm()
    score = world.run(guidance)
    assert world.near(score.residual, score.eps - 0.5 * none - 0.5 * camera)


def test_esd_names_what_to_use_without_a_network():
    guidance = make(quick("guidance=esd").guidance, "guidance", Context("a corgi"), Guidance)
    with pytest.raises(GsdError, match="guidance=esd_exact"):
        guidance.attach(exact().prior, Stream(0, "guidance"))
