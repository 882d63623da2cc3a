"""A network that sees four views at once: what couples them, what it is told of cameras, and how its loss is SDS."""

import json
import math

import pytest
import torch
from pipelines import ldm_names, random_multiview, random_pipeline, relative
from quick_config import quick
from safetensors.torch import save_file

from gsd.camera.orbit import Orbit
from gsd.errors import GsdError
from gsd.experiment import build
from gsd.geometry import orbit
from gsd.guidance.sds import SDS
from gsd.guidance.vsd import VSD
from gsd.prior.mvdream import Joint, MVDream, pose
from gsd.prior.parts import convert
from gsd.protocols import Prior
from gsd.random import Stream
from gsd.types import Condition, Context, Noised

# Sizes that LDM has too: norms of 32 groups, heads of 64 channels, linear projections.
LIKE_LDM = {
    "block_out_channels": (64, 128),
    "attention_head_dim": (1, 2),
    "norm_num_groups": 32,
    "use_linear_projection": True,
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("multiview")
    return folder, random_multiview(folder)


CAMERAS = Orbit(groups=2, views=4, delta_deg=90.0)(Stream(0, "camera"))
X = torch.randn(8, 4, 8, 8, generator=torch.Generator().manual_seed(0))
SIGMA = torch.tensor([2.0, 0.5]).repeat_interleave(4)
TEXTS = ("an owl",) * 4 + ("a pig",) * 4
CONDITION = Condition(TEXTS, CAMERAS)


def test_views_of_a_group_see_each_other_and_no_others(made):
    prior = MVDream(Context(), str(made[0]))
    assert isinstance(prior, Prior)
    before = prior.denoise(X, SIGMA, CONDITION)
    changed = X.clone()
    changed[2] += 1.0
    after = prior.denoise(changed, SIGMA, CONDITION)
    moved = (after - before).abs().amax((1, 2, 3))
    assert (moved[:4] > 1e-4).all()
    assert torch.equal(moved[4:], torch.zeros(4))


def test_a_group_alone_is_as_in_a_batch_and_its_order_does_not_matter(made):
    prior = MVDream(Context(), str(made[0]))
    together = prior.predict(X, SIGMA, CONDITION)
    order = torch.tensor([6, 4, 7, 5])
    alone = prior.predict(X[order], SIGMA[order], Condition(TEXTS[4:], CAMERAS[order]))
    assert relative(alone, together[order]) < 1e-5


def test_the_network_is_diffusers_with_attention_over_the_group(made):
    """Written out: every self-attention gets the tokens of four views as one sequence; all else is one view's own."""
    folder, pipe = made
    prior = MVDream(Context(), str(folder))
    t = prior.schedule.step(SIGMA)
    words, _ = pipe.encode_prompt(list(TEXTS), "cpu", 1, do_classifier_free_guidance=False)
    attention = [module for name, module in pipe.unet.named_modules() if name.endswith("attn1")]

    def four(module, inputs, options):
        return (inputs[0].reshape(-1, 4 * inputs[0].shape[1], inputs[0].shape[2]), *inputs[1:]), options

    def apart(module, inputs, out):
        return out.reshape(8, -1, out.shape[2])

    hooks = [m.register_forward_pre_hook(four, with_kwargs=True) for m in attention]
    hooks += [m.register_forward_hook(apart) for m in attention]
    with torch.no_grad():
        vp = X * (1 + SIGMA**2).rsqrt()[:, None, None, None]
        expected = pipe.unet(vp, t, encoder_hidden_states=words, class_labels=pose(CAMERAS)).sample
    for hook in hooks:
        hook.remove()
    assert attention
    assert relative(prior.predict(X, SIGMA, CONDITION), expected) < 1e-5


def test_joint_attention_is_softmax_over_all_tokens():
    from diffusers.models.attention_processor import Attention, AttnProcessor2_0

    torch.manual_seed(0)
    attention = Attention(query_dim=6, heads=2, dim_head=3)
    attention.set_processor(Joint(AttnProcessor2_0()))
    x = torch.randn(8, 5, 6)
    with torch.no_grad():
        got = attention(x)
        for group in range(2):
            tokens = x[4 * group : 4 * group + 4].reshape(20, 6)
            q, k, v = (layer(tokens).view(20, 2, 3) for layer in (attention.to_q, attention.to_k, attention.to_v))
            weights = torch.softmax(torch.einsum("ihd,jhd->hij", q, k) / math.sqrt(3), -1)
            out = attention.to_out[0](torch.einsum("hij,jhd->ihd", weights, v).reshape(20, 6))
            assert torch.allclose(got[4 * group : 4 * group + 4].reshape(20, 6), out, atol=1e-5)


def test_cameras_are_told_in_opengl_at_distance_1():
    azimuth, elevation = torch.tensor([0.0, 90.0, 200.0]), torch.tensor([0.0, 30.0, 15.0])
    cameras = orbit(azimuth, elevation, torch.tensor([1.0, 2.2, 7.0]), torch.full((3,), 40.0), 8, 8)
    for got, a, e in zip(pose(cameras).view(3, 4, 4), azimuth.deg2rad(), elevation.deg2rad(), strict=True):
        backward = torch.stack([e.cos() * a.cos(), e.cos() * a.sin(), e.sin()])
        right = torch.stack([-a.sin(), a.cos(), torch.zeros(())])
        up = torch.linalg.cross(backward, right)
        assert torch.allclose(got[:3].T, torch.stack([right, up, backward, backward]), atol=1e-6)
        assert got[3].tolist() == [0, 0, 0, 1]
        assert up[2] > 0
    # The first of the authors' own cameras, 90 degrees in their count: at +x, right is +y.
    front = [[0.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
    assert torch.allclose(pose(cameras)[0], torch.tensor(front).flatten(), atol=1e-6)


def test_every_branch_of_guidance_knows_the_cameras(made, monkeypatch):
    prior = MVDream(Context(), str(made[0]))
    told = []
    forward = prior.network.forward
    monkeypatch.setattr(prior.network, "forward", lambda *a, **k: told.append(k["class_labels"]) or forward(*a, **k))
    condition = Condition(
        TEXTS, CAMERAS, negatives=("ugly",) * 8, against=(("dull",) * 8,), against_weights=-torch.ones(1, 8)
    )
    score = SDS(50.0, 0.5, "latents", "sigma")(
        prior, Noised(X, torch.randn_like(X), SIGMA, condition, Stream(0, "guidance"))
    )
    assert score.gradient.isfinite().all()
    (labels,) = told
    assert torch.equal(labels, pose(CAMERAS).repeat(3, 1))


def test_x0_reconstruction_is_sds_with_weight_sigma_and_rescaled_latents(made):
    """The gradient of 0.5 |z - D|^2 as MVDream has it, in the terms of its paper: x_t, abar, std over four views."""
    prior = MVDream(Context(), str(made[0]))
    z = (0.8 * X).requires_grad_()
    noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(3))
    abar = (1 / (1 + SIGMA**2))[:, None, None, None]
    with torch.no_grad():
        noisy = abar.sqrt() * z + (1 - abar).sqrt() * noise
        text, empty = (prior.predict(noisy / abar.sqrt(), SIGMA, c) for c in (CONDITION, CONDITION.unconditional()))
        guided = empty + 50 * (text - empty)
        plain, recon = ((noisy - (1 - abar).sqrt() * eps) / abar.sqrt() for eps in (text, guided))
        factor = torch.stack([plain[i : i + 4].std() / recon[i : i + 4].std() for i in (0, 4)])
        adjusted = recon * factor.repeat_interleave(4)[:, None, None, None]
        recon = 0.5 * adjusted + 0.5 * recon
    loss = 0.5 * (z - recon).square().sum()
    expected = torch.autograd.grad(loss, z)[0]
    guidance = SDS(50.0, 0.5, "latents", "sigma")
    score = guidance(prior, Noised(z.detach(), noise, SIGMA, CONDITION, Stream(0, "guidance")))
    assert relative(score.gradient, expected) < 1e-4
    per_view = SDS(50.0, 0.5, "noise", "sigma")(
        prior, Noised(z.detach(), noise, SIGMA, CONDITION, Stream(0, "guidance"))
    )
    assert relative(per_view.gradient, expected) > 1e-2  # the usual rescaling is another one
    without = SDS(50.0, 0.0, weighting="sigma")(
        prior, Noised(z.detach(), noise, SIGMA, CONDITION, Stream(0, "guidance"))
    )
    with torch.no_grad():
        recon = (noisy - (1 - abar).sqrt() * guided) / abar.sqrt()
    assert relative(without.gradient, z.detach() - recon) < 1e-4


def test_a_run_with_groups_of_another_size_is_refused_before_it_begins(made):
    model = ("prior=mvdream", f"prior.model={made[0]}")
    with pytest.raises(GsdError, match=r"camera\.views is 2; set camera\.views=4 camera\.delta_deg=90\."):
        build(quick(*model))
    assert build(quick(*model, "camera.views=4", "metric=[]")).prior.views == 4


def test_views_without_cameras_and_models_without_are_refused(made, tmp_path):
    with pytest.raises(GsdError, match="prior=mvdream needs the cameras"):
        MVDream(Context(), str(made[0])).denoise(X, SIGMA, Condition(TEXTS))
    random_pipeline(tmp_path / "plain")
    with pytest.raises(GsdError, match="knows no cameras; give an MVDream"):
        MVDream(Context(), str(tmp_path / "plain"))


def test_a_lora_is_told_no_cameras_and_that_is_said_before_anything_is_found(tmp_path):
    views = ("camera.views=4", "camera.delta_deg=90", "noising=random", "loss=none", "metric=none")
    with pytest.raises(GsdError, match=r"MVDream knows the cameras already; set guidance\.camera=false"):
        build(quick("prior=mvdream", f"prior.model={tmp_path / 'nowhere'}", "guidance=vsd", *views))


def test_vsd_lies_on_it_without_cameras_of_its_own(made):
    prior = MVDream(Context(), str(made[0]))
    before = prior.predict(X, SIGMA, CONDITION)
    noise, rng = torch.randn_like(X), Stream(0, "guidance")
    guidance = VSD(Context("an owl"), camera=False, lr=1e-2)
    guidance.attach(prior, rng)
    for step in range(2):
        score = guidance(prior, Noised(X, noise, SIGMA, CONDITION, Stream(0, "guidance", step)))
    assert score.gradient.abs().sum() > 0
    assert relative(prior.predict(X, SIGMA, CONDITION), before) < 1e-6


def _ldm_folder(folder):
    """A pipeline as ashawkey/mvdream-sd2.1-diffusers has it: the UNet's weights and settings under LDM's names."""
    pipe = random_multiview(folder, **LIKE_LDM)
    save_file(
        {k: v.contiguous() for k, v in ldm_names(pipe.unet).items()},
        folder / "unet" / "diffusion_pytorch_model.safetensors",
    )
    config = {"_class_name": "MultiViewUNetModel", "model_channels": 64, "camera_dim": 16, "num_head_channels": 64}
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    return pipe


def test_weights_with_the_names_of_ldm_are_the_same_network(tmp_path):
    pipe = _ldm_folder(tmp_path / "ldm")
    pipe.save_pretrained(tmp_path / "diffusers")
    one, other = (MVDream(Context(), str(tmp_path / name), resolution=16) for name in ("ldm", "diffusers"))
    assert one.network.config.sample_size == 32
    assert torch.equal(one.predict(X, SIGMA, CONDITION), other.predict(X, SIGMA, CONDITION))


def test_the_authors_file_is_converted(tmp_path):
    """Its UNet under model.diffusion_model., beside an autoencoder and a text encoder that are not looked at."""
    pipe = random_multiview(tmp_path / "multiview", **LIKE_LDM)
    base = random_pipeline(tmp_path / "base")
    state = {f"model.diffusion_model.{k}": v.contiguous() for k, v in ldm_names(pipe.unet).items()}
    save_file(state | {"first_stage_model.x": torch.zeros(1)}, tmp_path / "4view.safetensors")
    convert.mvdream(tmp_path / "4view.safetensors", tmp_path / "out", tmp_path / "base")
    prior = MVDream(Context(), str(tmp_path / "out"), resolution=16)
    expected = MVDream(Context(), str(tmp_path / "multiview"), resolution=16)
    assert torch.equal(prior.network.conv_in.weight, pipe.unet.conv_in.weight)
    assert torch.equal(prior.autoencoder.vae.quant_conv.weight, base.vae.quant_conv.weight)
    ours, theirs = (p.network.state_dict() for p in (prior, expected))
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert set(ours) == set(theirs)


def test_what_is_not_mvdreams_is_not_converted(tmp_path):
    _ldm_folder(tmp_path / "ldm")
    state = convert.read(tmp_path / "ldm" / "unet" / "diffusion_pytorch_model.safetensors")
    with pytest.raises(GsdError, match="x holds no MVDream UNet"):
        convert.multiview_unet({k: v for k, v in state.items() if "camera" not in k}, "x")
    with pytest.raises(GsdError, match="x is ImageDream"):
        convert.multiview_unet(state | {"image_embed.latents": torch.zeros(1)}, "x")
    with pytest.raises(GsdError, match=r"x is not of the layout that gsd converts: \d+ tensors for \d+"):
        convert.multiview_unet(state | {"extra": torch.zeros(1)}, "x")
    with pytest.raises(GsdError, match=r"x is not of the layout that gsd converts \("):
        convert.multiview_unet({k: v for k, v in state.items() if k != "out.2.bias"}, "x")
