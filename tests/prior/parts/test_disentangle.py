"""ConsDreamer's change of embeddings, against plain calls of the text encoder with token positions by hand."""

from dataclasses import replace

import pytest
import torch
from pipelines import random_pipeline
from quick_config import quick
from views import looking

from gsd.config import make
from gsd.errors import GsdError
from gsd.prior.parts.disentangle import Disentangle
from gsd.prior.stable_diffusion import StableDiffusion
from gsd.prompting.perp_neg import PerpNeg
from gsd.protocols import Prior
from gsd.types import Condition, Context

WEIGHT = 0.7
LENGTHS = {"front": 5, "side": 4, "back": 4, "left side": 8}  # letters: the random tokenizer has a token for each


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    return folder, random_pipeline(folder)


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))


def made(folder, prompt="an owl", keyword="owl"):
    return StableDiffusion(Context(prompt), str(folder), disentangle=Disentangle(keyword=keyword, weight=WEIGHT))


def part_along(a, b):
    return torch.outer(a @ b / (b @ b), b) if a.dim() == 2 else (a @ b) / (b @ b) * b


@pytest.mark.parametrize(
    ("word", "azimuth", "strength"),
    [("side", 30, 1 / 3), ("side", -120, 2 / 3), ("back", 180, 2), ("back", 225, 1), ("left side", 90, 1)],
)
@torch.no_grad()
def test_is_the_formula(model, word, azimuth, strength):
    folder, pipe = model
    text = f"an owl, {word} view"

    def plainly(text):
        return pipe.encode_prompt(text, "cpu", 1, do_classifier_free_guidance=False)[0][0]

    alone, expected, keyword = plainly("owl")[1], plainly(text).clone(), slice(3, 6)  # after the start, "a" and "n"
    deltas = {}
    for view in ("front", "left side" if word == "left side" else "side", "back"):
        at = 1 + LENGTHS[view] + len("view") + len("of")
        seen = plainly(f"{view} view of owl")[at]
        deltas[view] = seen - part_along(seen, alone)
    rows = expected[keyword].clone()
    expected[keyword] = rows - sum(part_along(rows, d) for d in deltas.values()) + WEIGHT * strength * deltas[word]
    got = made(folder).embed(Condition((text,), looking(azimuth)))[0]
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)
    assert (got - plainly(text)).norm() > 0.1 * plainly(text)[keyword].norm()


def test_other_texts_stay_and_so_does_a_prior_without_it(model):
    folder, _ = model
    texts = ("an owl, front view", "an owl", "", "ugly", "an owl, overhead view", "a cat, back view")
    condition = Condition(texts, looking(*[100.0] * len(texts)))
    plain = StableDiffusion(Context("an owl"), str(folder))
    assert torch.equal(made(folder).embed(condition), plain.embed(condition))
    changed = Condition(("an owl, back view",), looking(180.0))
    assert not torch.equal(made(folder).embed(changed), plain.embed(changed))


def test_the_other_side_of_view_guidance_is_turned(model):
    """Its text speaks of a camera at 180 degrees more, also in one batch with the camera's own."""
    prior, cameras = made(model[0]), looking(0.0, -60.0)
    here = Condition(("an owl, front view", "an owl, side view"), cameras)
    behind = ("an owl, back view", "an owl, side view")
    both = here + replace(here, opposite=Condition(behind)).opposite_view()
    expected = [prior.embed(here), prior.embed(Condition(behind, looking(180.0, 120.0)))]
    torch.testing.assert_close(prior.embed(both), torch.cat(expected))
    assert not torch.allclose(expected[1], prior.embed(Condition(behind, cameras)))


def test_both_texts_of_a_blend_and_the_prompts_led_away_from_are_changed(model):
    folder, _ = model
    condition, prior = PerpNeg(Context("an owl"))(looking(120.0)), made(folder)
    back, side = (prior.embed(Condition((f"an owl, {word} view",), looking(120.0))) for word in ("back", "side"))
    torch.testing.assert_close(prior.embed(condition), torch.lerp(back, side, condition.blend[0]))
    assert torch.equal(prior.embed(condition.with_texts(condition.against[0])), side)


def test_what_it_needs(model):
    folder, _ = model
    with pytest.raises(GsdError, match="keyword=cat is not in the prompt"):
        made(folder, keyword="cat")
    with pytest.raises(GsdError, match="needs the cameras"):
        made(folder).embed(Condition(("an owl, back view",)))


def test_the_small_model_is_told_of_other_views_than_without_it():
    cfg = quick("prior=tiny", "prior.disentangle.keyword=owl")
    section = cfg.prior
    prior = make(section, "prior", Context("an owl"), Prior)
    section.disentangle = None
    plain = make(section, "prior", Context("an owl"), Prior)
    x = 5 * torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    condition = PerpNeg(Context("an owl"))(looking(0.0, 180.0))
    got, expected = (each.denoise(x, torch.full((2,), 5.0), condition) for each in (prior, plain))
    torch.testing.assert_close(got[0], expected[0])  # from the front nothing changes
    assert (got[1] - expected[1]).norm() > 5e-4 * expected[1].norm()
    assert got.isfinite().all()
