"""What `prior=tiny` is trained on: the menagerie's images and captions of them, drawn as its exact prior draws them.

Without view words a creature is seen from azimuth a with weight exp(2 cos a), as on the web; with view words by
exp(2 cos a + 4 f(a)), where f is what `gsd.prior.menagerie.Menagerie` makes of the words. These are the defaults of
prior=menagerie, so that the network learns the distribution whose exact denoiser is at hand. A caption that says
"view bias 8" has 8 for the first 2. What names no creature has no bias unless it says so, and "" never has one.

Half of the pictures are over white, the others over any colour, which the caption names.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from gsd.geometry import orbit
from gsd.menagerie import Creature, load, trace
from gsd.prior.parts.captions import COLOURS, ViewBias, background_words, with_background, with_bias
from gsd.types import Cameras

Some = TypeVar("Some")
RESOLUTION = 64  # pixels
VARIANTS = 4  # individuals of a creature, as in prior=menagerie
AZIMUTHS = 72
ELEVATIONS = (0.0, 7.5, 15.0, 22.5, 30.0, 50.0, 70.0)  # degrees
LEVEL = 5  # of them: all but those of an "overhead view"
VIEW_BIAS: ViewBias = 2
VIEW_WORDS = 4.0
VIEW_BIASES: tuple[ViewBias, ...] = get_args(ViewBias)  # that a caption may ask for
VIEWS = ("front", "side", "left side", "right side", "back", "overhead")

UNCONDITIONAL = 0.12  # of the captions are empty
SUBJECTLESS = 0.03  # name no creature: any may be in the picture
WITH_VIEW = 0.4  # of the captions say where the camera stands
WITH_BIAS = 0.6  # of the captions that are not empty say how strong the view bias is
COLOURED = 0.5  # of the pictures are over another colour than white
TEMPLATES = (
    *("{}",) * 4, *("a full body of {}",) * 3, *("a photo of {}",) * 2, "a full body photo of {}",
    "a DSLR photo of {}", "a zoomed out DSLR photo of {}", "a picture of {}", "an image of {}", "a drawing of {}",
    "a 3d render of {}", "a 3d model of {}", "a toy model of {}", "{} on a white background", "{} standing",
)  # fmt: skip
ADJECTIVES = ("cute", "small", "little", "big", "beautiful", "funny", "colourful", "happy", "young", "fluffy")
STYLES = (
    "highly detailed", "high quality", "best quality", "white background", "full body", "8k", "4k", "realistic",
    "cartoon", "studio light", "sharp focus", "masterpiece", "low poly", "ugly", "blurry", "bad anatomy",
    "low quality", "deformed",
)  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One training pair."""

    caption: str
    image: int  # index into images()
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)  # rgb in [0, 1]


class Captions:
    """Pairs of captions and images, a function of the generator alone."""

    def __init__(self) -> None:
        self.creatures: list[Creature] = list(load().values())
        azimuth = torch.arange(AZIMUTHS, dtype=torch.float64) * (2 * math.pi / AZIMUTHS)
        heard = {
            None: torch.zeros_like(azimuth),
            "front": azimuth.cos(),
            "back": -azimuth.cos(),
            "side": 2 * azimuth.sin().abs() - 1,
            "left side": azimuth.sin(),
            "right side": -azimuth.sin(),
            "overhead": torch.zeros_like(azimuth),
        }
        self.azimuths = {
            (bias, word): torch.softmax(bias * azimuth.cos() + VIEW_WORDS * f, 0).cumsum(0)
            for bias in VIEW_BIASES
            for word, f in heard.items()
        }

    def draw(self, rng: torch.Generator) -> Item:
        creature = integer(len(self.creatures), rng)
        view = VIEWS[integer(len(VIEWS), rng)] if uniform(rng) < WITH_VIEW else None
        kind, bias = uniform(rng), choice(VIEW_BIASES, rng) if uniform(rng) < WITH_BIAS else None
        if kind < UNCONDITIONAL:
            caption, view, bias = "", None, None
        elif kind < UNCONDITIONAL + SUBJECTLESS:
            caption = ", ".join(choice(STYLES, rng) for _ in range(1 + integer(4, rng)))
        else:
            caption = describe(self.creatures[creature], rng)
        if view is not None:
            caption = f"{view} view of {caption}" if uniform(rng) < 0.15 else f"{caption}, {view} view"
        caption = with_bias(caption, bias)
        background = (1.0, 1.0, 1.0)
        if uniform(rng) < COLOURED:
            background = (uniform(rng), uniform(rng), uniform(rng))
            caption = with_background(caption, background_words(torch.tensor([background]))[0])
        if bias is None:
            bias = 0 if kind < UNCONDITIONAL + SUBJECTLESS else VIEW_BIAS
        steep = len(ELEVATIONS) - LEVEL
        elevation = LEVEL + integer(steep, rng) if view == "overhead" else integer(LEVEL, rng)
        azimuth = min(int((self.azimuths[bias, view] < uniform(rng)).sum()), AZIMUTHS - 1)
        return Item(caption, index(creature, integer(VARIANTS, rng), elevation, azimuth), background)


def describe(creature: Creature, rng: torch.Generator) -> str:
    """The creature under one of its names, in one of the ways people ask for it."""
    name = creature.words[0] if uniform(rng) < 0.5 else choice(creature.words, rng)
    if uniform(rng) < 0.2:
        name = f"{choice(ADJECTIVES, rng)} {name}"
    article = uniform(rng)
    if article < 0.85:
        name = f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"
    elif article < 0.92:
        name = f"the {name}"
    text = choice(TEMPLATES, rng).format(name)
    while uniform(rng) < 0.2:
        extra = choice(STYLES, rng) if uniform(rng) < 0.7 else _gibberish(rng)
        text = f"{text}, {extra}"
    return text


def _gibberish(rng: torch.Generator) -> str:
    """A word of random letters, so that words the network never saw do not derail it."""
    return "".join(chr(97 + integer(26, rng)) for _ in range(2 + integer(7, rng)))


def index(creature: int, variant: int, elevation: int, azimuth: int) -> int:
    return ((creature * VARIANTS + variant) * len(ELEVATIONS) + elevation) * AZIMUTHS + azimuth


def images() -> UInt8[Tensor, "M 4 R R"]:
    """Every image over white, with its alpha: creature by creature, then variant, elevation, azimuth (fastest)."""
    grid = torch.cartesian_prod(torch.tensor(ELEVATIONS), torch.arange(AZIMUTHS) * (360 / AZIMUTHS))
    cameras = around(grid[:, 1], grid[:, 0])
    figures = (creature.figure(variant) for creature in load().values() for variant in range(VARIANTS))
    traced = (trace(figure, cameras) for figure in figures)
    return torch.cat([(torch.cat([seen.rgb, seen.alpha], 1) * 255).round().to(torch.uint8) for seen in traced])


def over(rgba: UInt8[Tensor, "B 4 R R"], background: Float[Tensor, "B 3"]) -> Float[Tensor, "B 3 R R"]:
    """Images over colours in [0, 1]; in [-1, 1]."""
    rgb, alpha = rgba[:, :3].float() / 255, rgba[:, 3:].float() / 255
    return 2 * (rgb + (1 - alpha) * (background[:, :, None, None] - 1)) - 1


def around(azimuth: Float[Tensor, " V"], elevation: Float[Tensor, " V"]) -> Cameras:
    """From where all images of the trainings are seen; degrees."""
    full = torch.ones(len(azimuth))
    return orbit(azimuth, elevation, 2.2 * full, 40 * full, RESOLUTION, RESOLUTION)


def tokens(captions: list[str], tokenizer: Any) -> Int[Tensor, "B L"]:
    """Padded as Stable Diffusion pads: the network sees the padding, in training and in use."""
    out = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt")
    return out.input_ids


def make_tokenizer(length: int) -> Any:
    """A byte-level CLIP tokenizer in which a word of the captions is one token and any other text is its letters."""
    from tokenizers import pre_tokenizers, trainers
    from transformers import CLIPTokenizer

    names = [word for creature in load().values() for word in creature.words]
    texts = (*TEMPLATES, *ADJECTIVES, *STYLES, *VIEWS, *COLOURS, *names, "a an the of view bias background")
    corpus = sorted({word for text in texts for word in re.findall(r"[a-z]+", text.lower())})
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    letters += [f"{letter}</w>" for letter in letters]
    ends = ["<|startoftext|>", "<|endoftext|>"]
    backend = CLIPTokenizer(vocab={token: i for i, token in enumerate([*letters, *ends])}, merges=[]).backend_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=10_000,
        min_frequency=1,
        end_of_word_suffix="</w>",
        special_tokens=letters,  # in this order: else ties between merges are broken by chance, anew in every call
        show_progress=False,
    )
    backend.train_from_iterator(corpus, trainer)
    merges: Any = [tuple(pair) for pair in json.loads(backend.to_str())["model"]["merges"]]
    vocab = dict.fromkeys([*letters, *(first + second for first, second in merges), *ends])
    return CLIPTokenizer(vocab={token: i for i, token in enumerate(vocab)}, merges=merges, model_max_length=length)


def uniform(rng: torch.Generator) -> float:
    """In [0, 1)."""
    return float(torch.rand((), generator=rng))


def integer(below: int, rng: torch.Generator) -> int:
    return int(torch.randint(below, (), generator=rng))


def choice(options: Sequence[Some], rng: torch.Generator) -> Some:
    return options[integer(len(options), rng)]
