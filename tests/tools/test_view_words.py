"""What a prior hears in the words of a view, against the menagerie's exact weights."""

import pytest
import torch
from quick_config import quick

from gsd.config import make
from gsd.guidance.check import view_words
from gsd.guidance.check.view_words import hearing, log_likelihoods
from gsd.prior.menagerie import Menagerie
from gsd.protocols import Prior, Prompting
from gsd.random import Stream
from gsd.tools import view_words as command
from gsd.types import Condition, Context

AROUND = 24
SMALL = (f"prior.azimuths={AROUND}", "prior.elevations=[15]", "prior.variants=1", "camera.resolution=16")


def parts(*overrides):
    cfg = quick(*SMALL, *overrides)
    context = Context("a corgi")
    return make(cfg.prior, "prior", context, Prior), make(cfg.prompting, "prompting", context, Prompting)


@pytest.mark.parametrize("bias", [2, 8])
def test_the_classifier_says_what_the_exact_posterior_says(bias):
    """Of every picture of the bank: p(view | picture) is the softmax over views of the picture's log-weights."""
    prior, _ = parts(f"prior.view_bias={bias}")
    azimuth = torch.arange(AROUND) * (2 * torch.pi / AROUND)
    start = torch.full((AROUND,), 0.02)
    bank = torch.stack([picture(prior, k) for k in range(AROUND)])
    assert torch.allclose(prior.denoise(bank, start, Condition(("a corgi",) * AROUND)), bank, atol=1e-3)
    texts = [Condition((f"a corgi, {view} view",)) for view in ("front", "left side", "back")]
    words = torch.stack([azimuth.cos(), azimuth.sin(), -azimuth.cos()], 1).double()
    exact = (bias * azimuth.cos()[:, None] + 4 * words).log_softmax(0).softmax(1)
    heard = log_likelihoods(prior, bank, texts, Stream(0, "classify"), paths=2).softmax(1)
    assert (heard - exact).abs().max() < 0.2
    assert (heard - exact).abs().mean() < 0.04


def picture(prior, k):
    """The bank's image k, as latents."""
    one = torch.zeros(1, AROUND, dtype=torch.float64)
    one[0, k] = 1.0
    out = torch.zeros(1, 3 * 16 * 16)
    prior._images(("corgi",), 16)[0].add_mean(one, out)
    return out.view(3, 16, 16)


def test_words_that_bind_and_words_that_do_not(monkeypatch):
    monkeypatch.setattr(view_words, "LEVELS", 24)

    def heard(words):
        prior, told = parts(f"prior.view_words={words}", "prior.view_bias=1")
        return hearing(prior, told, "a corgi", (3, 16, 16), Stream(0, "view words"), pictures=4, paths=1)

    good, none = heard(6), heard(0)
    assert good.shares[:3].diagonal().min() > 0.6
    assert good.verdict().startswith("The view words bind:")
    assert good.differences[0] > 0.1
    assert torch.allclose(none.shares, torch.full_like(none.shares, 1 / 3))
    assert "say next to nothing" in none.verdict()
    assert (none.differences == 0).all()
    assert good.asked == ("front", "side", "back", "overhead", "")


def test_a_view_that_is_heard_as_often_as_another_is_not_called_that_one():
    shares = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.36, 0.3, 0.34], [0.4, 0.3, 0.3], [0.5, 0.3, 0.2]])
    heard = view_words.Hearing(("front", "side", "back", "overhead", ""), shares, (999,), torch.ones(1))
    assert '"back view" are heard with little certainty' in heard.verdict()
    shares[2] = torch.tensor([0.45, 0.2, 0.35])
    assert '"back view" are heard rather as front' in heard.verdict()


def test_it_says_what_it_costs(monkeypatch):
    """And no more: a scale other than 1 has two branches."""
    prior, told = parts()
    monkeypatch.setattr(Menagerie, "guidance_scale", 2.0)
    asked = []
    denoise = Menagerie.denoise
    monkeypatch.setattr(Menagerie, "denoise", lambda self, x, *rest: asked.append(len(x)) or denoise(self, x, *rest))
    hearing(prior, told, "a corgi", (3, 16, 16), Stream(0, "view words"), pictures=2, paths=2)
    assert sum(asked) == view_words.calls(pictures=2, paths=2)


@pytest.mark.parametrize("prompting", ["interpolated", "view_dependent", "perp_neg"])
def test_asks_with_the_texts_of_the_prompting(prompting):
    _, told = parts(f"prompting={prompting}")
    for condition, word in zip(view_words.views_of(told), ("front", "side", "back", "overhead"), strict=True):
        blend = 0.0 if condition.blend is None else float(condition.blend)
        (text,) = condition.others if blend > 0.5 else condition.texts
        assert text.endswith(f"{word} view")
        assert min(blend, 1 - blend) < 0.05


def test_command(call, capsys, monkeypatch):
    monkeypatch.setattr(view_words, "LEVELS", 24)
    call(command.main, *SMALL, "prompt=a corgi", "prior.view_words=6", "--pictures", 2, "--paths", 1)
    out = capsys.readouterr().out
    assert "the prompt alone" in out
    assert out.splitlines()[-1].startswith("The view words bind")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prompting=plain"], "has no view words to ask about; set prompting=interpolated"),
        (["--paths", "0"], "must be at least 1"),
    ],
)
def test_refusals(arguments, said, refusal):
    assert said in refusal(command.main, *SMALL, "prompt=a corgi", *arguments)


def test_a_prior_that_is_given_the_cameras_is_refused(refusal, monkeypatch):
    monkeypatch.setattr(Menagerie, "views", 4)
    assert "ask one that has the text alone" in refusal(command.main, *SMALL, "prompt=a corgi")
