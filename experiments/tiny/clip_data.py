"""What the small CLIP model of the metrics is trained on: pictures of the menagerie, spoilt as renders are, and texts.

Individuals are mixtures of the first listed ones of each creature with other colours, sizes and poses. The last listed
one and those that `Creature.figure` makes by rule beyond the list are left for judging (HELD_OUT).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from prior_data import RESOLUTION, describe, integer, uniform
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from gsd.geometry import orbit
from gsd.init.menagerie import MenagerieCloud
from gsd.menagerie import Creature, Ellipsoids, load, trace
from gsd.menagerie.creature import Variant
from gsd.metric.check.calibration import UNSEEN
from gsd.random import Stream
from gsd.rasterizer import rasterize
from gsd.types import Cameras, Context

TRAINED = 3  # listed individuals, of which those of the training are made
HELD_OUT = (UNSEEN, 4, 5, 6, 7)  # the last listed individual of every creature, and four made by rule
INDIVIDUALS, VIEWS_EACH = 100, 20  # of each creature; of each individual
SPLATTED = 0.25  # of the individuals are seen as Gaussians
STEEP = 0.2  # of the views are overhead
RECOLOURED = 0.3  # of the individuals have any colours of the palette

WORDS = ("front", "left side", "back", "right side", "overhead")
SHARPNESS = 4.0  # of the words' borders: at 30 degrees four in five say "front", at 45 half
OVERHEAD, OVERHEAD_WIDTH = 40.0, 3.0  # degrees of elevation from which a view is overhead, and how sharply
PLAIN = 0.25  # of the captions have no view word
SIDE = 1 / 3  # of those for the left or right side say only "side"
CREATURES = 8  # in one batch: few, so that views of the same one have to be told apart


@dataclass(frozen=True)
class Bank:
    """Pictures of every creature in turn, as many of each."""

    rgba: UInt8[Tensor, "M 4 R R"]  # premultiplied
    azimuth: Float[Tensor, " M"]  # degrees
    elevation: Float[Tensor, " M"]  # degrees


@dataclass(frozen=True)
class Caption:
    text: str
    creature: int  # index into load()
    word: str | None  # of WORDS, or "side"; None: nothing said of the view


def bank(seed: int) -> Bank:
    """All pictures, drawn in about two minutes."""
    parts = []
    for creature in load().values():
        for number in range(INDIVIDUALS):
            stream = Stream(seed, f"bank/{creature.name}", number)
            rng = stream.generator()
            figure, cameras = individual(creature, rng), _cameras(rng)
            splatted = number < SPLATTED * INDIVIDUALS
            pixels = _splats(creature, figure, cameras, stream) if splatted else _traced(figure, cameras)
            parts.append(((255 * pixels).round().to(torch.uint8), cameras.azimuth, cameras.elevation))
    return Bank(*(torch.cat(column) for column in zip(*parts, strict=True)))


def individual(creature: Creature, rng: torch.Generator) -> Ellipsoids:
    """One of its kind that is none of HELD_OUT."""
    listed = (Variant(), *creature.variants[: TRAINED - 1])
    like = listed[integer(TRAINED, rng)]
    poses = {part: angles for variant in listed for part, angles in variant.pose.items()}
    colours, palette = dict(like.colours), list(creature.palette)
    if uniform(rng) < RECOLOURED:
        colours = {role: palette[integer(len(palette), rng)] for role in creature.colours}
    changes = {
        "colours": colours,
        "pose": {part: tuple(a * _between(-1, 1, rng) for a in angles) for part, angles in poses.items()},
        "hue": _between(-25, 25, rng),
        "value": _between(0.75, 1.15, rng),
        "size": _between(0.75, 1, rng),
    }
    return creature.model_copy(update={"variants": (like.model_copy(update=changes),)}).figure(1)


def _cameras(rng: torch.Generator) -> Cameras:
    """Around an individual, as turntables and trainings place them and a little beyond."""
    full = torch.ones(VIEWS_EACH)
    azimuth = 360 * torch.rand(VIEWS_EACH, generator=rng)
    level, steep = (torch.rand(VIEWS_EACH, generator=rng) for _ in range(2))
    overhead = torch.rand(VIEWS_EACH, generator=rng) < STEEP
    elevation = torch.where(overhead, 45 + 30 * steep, -5 + 40 * level)
    fov = _between(36, 46, rng)
    return orbit(azimuth, elevation, 2.2 * full, fov * full, RESOLUTION, RESOLUTION)


def _traced(figure: Ellipsoids, cameras: Cameras) -> Float[Tensor, "V 4 R R"]:
    shown = trace(figure, cameras, background=(0.0, 0.0, 0.0))
    return torch.cat([shown.rgb, shown.alpha], 1)


def _splats(creature: Creature, figure: Ellipsoids, cameras: Cameras, stream: Stream) -> Float[Tensor, "V 4 R R"]:
    """A few hundred to a few thousand soft Gaussians on the animal's surface, somewhat out of place and colour."""
    rng = stream.sub("splats").generator()
    count = int(400 * 8 ** uniform(rng))
    cloud = MenagerieCloud(Context(creature.name), count, _between(0, 0.02, rng), 0.0, 0.0, _between(0, 0.5, rng))
    cloud.figure = figure
    points = cloud(stream)
    width = _between(0.6, 1.6, rng) / count**0.5  # about the spacing on a surface of the animals' size
    rgb = (points.rgb + _between(0, 0.15, rng) * torch.randn(points.rgb.shape, generator=rng)).clamp(0, 1)
    shown, alpha, _ = rasterize(
        points.xyz,
        torch.randn(count, 4, generator=rng),
        width * torch.exp(0.4 * torch.randn(count, 3, generator=rng)),
        0.4 + 0.55 * torch.rand(count, generator=rng),
        rgb,
        cameras.viewmats,
        cameras.Ks,
        RESOLUTION,
        RESOLUTION,
    )
    return torch.cat([shown[..., :3], alpha], -1).permute(0, 3, 1, 2).clamp(0, 1)


class Batches:
    """Pictures, captions and which is true of which: a function of the generator alone."""

    def __init__(self, bank: Bank) -> None:
        self.bank, self.creatures = bank, list(load().values())

    def draw(
        self, count: int, rng: torch.Generator
    ) -> tuple[Float[Tensor, "count 3 R R"], list[Caption], Float[Tensor, "count count"]]:
        """The last holds, for each picture and caption, the share of people who would say so of it."""
        present = torch.randperm(len(self.creatures), generator=rng)[:CREATURES]
        creature = present[torch.randint(len(present), (count,), generator=rng)]
        each = len(self.bank.rgba) // len(self.creatures)
        index = creature * each + torch.randint(each, (count,), generator=rng)
        said = shares(self.bank.azimuth[index], self.bank.elevation[index])
        captions = [self._caption(int(c), row, rng) for c, row in zip(creature, said, strict=True)]
        return spoilt(self.bank.rgba[index], rng), captions, truth(creature, said, captions)

    def _caption(self, creature: int, said: Float[Tensor, " W"], rng: torch.Generator) -> Caption:
        subject = describe(self.creatures[creature], rng)
        if uniform(rng) < PLAIN:
            return Caption(subject, creature, None)
        word = WORDS[int(torch.multinomial(said, 1, generator=rng))]
        if word.endswith("side") and uniform(rng) < SIDE:
            word = "side"
        text = f"{word} view of {subject}" if uniform(rng) < 0.5 else f"{subject}, {word} view"
        return Caption(text, creature, word)


def shares(azimuth: Float[Tensor, " B"], elevation: Float[Tensor, " B"]) -> Float[Tensor, "B W"]:
    """How many of those who name the view would take each of WORDS."""
    a = torch.deg2rad(azimuth)
    level = torch.softmax(SHARPNESS * torch.stack([a.cos(), a.sin(), -a.cos(), -a.sin()], 1), 1)
    overhead = torch.sigmoid((elevation - OVERHEAD) / OVERHEAD_WIDTH)[:, None]
    return torch.cat([(1 - overhead) * level, overhead], 1)


def truth(creature: Int[Tensor, " B"], said: Float[Tensor, "B W"], captions: Sequence[Caption]) -> Float[Tensor, "B K"]:
    """Row by row, how true the captions are of a picture: 0 for another creature, else the view word's share."""
    column = {word: said[:, i] for i, word in enumerate(WORDS)}
    column["side"] = column["left side"] + column["right side"]
    every = torch.ones(len(said))
    views = torch.stack([every if c.word is None else column[c.word] for c in captions], 1)
    return views * (creature[:, None] == torch.tensor([c.creature for c in captions]))


def spoilt(rgba: UInt8[Tensor, "B 4 R R"], rng: torch.Generator) -> Float[Tensor, "B 3 R R"]:
    """Images in [0, 1] as distilled scenes may look: misplaced, discoloured, soft, blotched, noisy, partly covered."""

    def drawn(low: float, high: float, *shape: int) -> Float[Tensor, "B *shape"]:
        return low + (high - low) * torch.rand(len(rgba), *shape, generator=rng)

    def some(share: float) -> Tensor:
        return torch.rand(len(rgba), 1, 1, 1, generator=rng) < share

    zoom, zero = drawn(0.85, 1.25), torch.zeros(len(rgba))
    place = torch.stack([zoom, zero, drawn(-0.15, 0.15), zero, zoom, drawn(-0.15, 0.15)], 1).view(-1, 2, 3)
    grid = affine_grid(place, [len(rgba), 4, RESOLUTION, RESOLUTION], align_corners=False)
    pixels = grid_sample(rgba.float() / 255, grid, align_corners=False)
    ground = torch.where(some(0.2), drawn(0, 1, 3, 1, 1), 1.0)
    rgb = pixels[:, :3] + (1 - pixels[:, 3:]) * ground
    grey = rgb.mean(1, keepdim=True)
    shifted = grey + drawn(0.5, 1.6, 1, 1, 1) * (rgb - grey)
    shifted = shifted * drawn(0.8, 1.2, 3, 1, 1) + drawn(-0.1, 0.1, 3, 1, 1)
    rgb = torch.where(some(0.5), shifted, rgb)
    rgb = torch.where(some(0.4), rgb + drawn(0, 0.12, 1, 1, 1) * _blotches(len(rgb), rng), rgb)
    rgb = _covered(_soft(rgb, 0.4, rng), 0.15, rng)
    noise = torch.randn(rgb.shape, generator=rng)
    return torch.where(some(0.3), rgb + drawn(0, 0.1, 1, 1, 1) * noise, rgb).clamp(0, 1)


def _blotches(count: int, rng: torch.Generator) -> Float[Tensor, "count 3 R R"]:
    cells = 4 + integer(13, rng)
    coarse = torch.randn(count, 3, cells, cells, generator=rng)
    return interpolate(coarse, RESOLUTION, mode="bicubic", align_corners=False)


def _soft(rgb: Float[Tensor, "B 3 R R"], share: float, rng: torch.Generator) -> Float[Tensor, "B 3 R R"]:
    """A share of the images out of focus."""
    out = rgb.clone()
    for i in torch.nonzero(torch.rand(len(rgb), generator=rng) < share)[:, 0].tolist():
        small = interpolate(rgb[i : i + 1], 14 + integer(40, rng), mode="area")
        out[i : i + 1] = interpolate(small, RESOLUTION, mode="bilinear", align_corners=False)
    return out


def _covered(rgb: Float[Tensor, "B 3 R R"], share: float, rng: torch.Generator) -> Float[Tensor, "B 3 R R"]:
    """A share of the images with a patch of one colour somewhere, as floaters are."""
    out = rgb.clone()
    for i in torch.nonzero(torch.rand(len(rgb), generator=rng) < share)[:, 0].tolist():
        top, left = (integer(RESOLUTION, rng) for _ in range(2))
        height, width = (4 + integer(16, rng) for _ in range(2))
        out[i, :, top : top + height, left : left + width] = torch.rand(3, 1, 1, generator=rng)
    return out


def _between(low: float, high: float, rng: torch.Generator) -> float:
    return low + (high - low) * uniform(rng)
