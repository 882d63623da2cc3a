"""What the ControlNet of `prior.controlnet=tiny` is shown: depth pictures of rough clouds of the animal in an image."""

from __future__ import annotations

import prior_data as data
import torch
from jaxtyping import Float
from torch import Tensor

from gsd.geometry import project
from gsd.init.menagerie import MenagerieCloud
from gsd.prior.parts.depth import closed, normalised, splat
from gsd.random import Stream
from gsd.types import Cameras, Context

MISSING = (0.0, 0.1, 0.2, 0.3)  # of the animal's parts: an individual's clouds
POINTS = 2000  # of a cloud, of which a step takes a part
FEWEST = 300  # points
JITTER, SHIFT, SIZE = 0.03, 0.02, 0.05  # the largest: standard deviation of a point, of the cloud's place; of its scale
RADIUS = (0.02, 0.08)  # of a point's disc, in halves of the image
FILL = 3  # pixels, exclusive
UNIFORM = 0.5  # of the pairs show all azimuths alike: the prior is to learn backs that texts seldom ask for
EMPTY = 0.4  # of those have no text, so that the animal is read off the cloud


class Pairs:
    """Captions, images and pictures, a function of the generator alone once the clouds are made from `seed`."""

    def __init__(self, seed: int) -> None:
        self.captions = data.Captions()
        clouds = [
            MenagerieCloud(Context(creature.words[0]), POINTS, 0.0, missing, 0.0, variant=variant)(
                Stream(seed, f"{creature.name} {variant}", number)
            ).xyz
            for creature in self.captions.creatures
            for variant in range(data.VARIANTS)
            for number, missing in enumerate(MISSING)
        ]
        self.clouds: Float[Tensor, "K P 3"] = torch.stack(clouds)

    def draw(self, count: int, rng: torch.Generator) -> tuple[list[data.Item], Float[Tensor, "count 3 R R"]]:
        items = [self._item(rng) for _ in range(count)]
        return items, self.pictures([item.image for item in items], rng)

    def _item(self, rng: torch.Generator) -> data.Item:
        """As the prior was trained, or from any azimuth without words for it."""
        item = self.captions.draw(rng)
        if data.uniform(rng) >= UNIFORM:
            return item
        creature = item.image // (data.VARIANTS * len(data.ELEVATIONS) * data.AZIMUTHS)
        caption = "" if data.uniform(rng) < EMPTY else data.describe(self.captions.creatures[creature], rng)
        rest = item.image - item.image % data.AZIMUTHS
        return data.Item(caption, rest + data.integer(data.AZIMUTHS, rng))

    def pictures(self, images: list[int], rng: torch.Generator) -> Float[Tensor, "B 3 R R"]:
        """Of a cloud of each image's individual with an error, from the image's camera."""
        cameras = camera(images)
        shown = int(torch.randint(FEWEST, POINTS + 1, (), generator=rng))
        radius = RADIUS[0] + (RADIUS[1] - RADIUS[0]) * data.uniform(rng)
        fill = data.integer(FILL, rng)
        places = []
        for view, image in enumerate(images):
            number = image // (len(data.ELEVATIONS) * data.AZIMUTHS) * len(MISSING)
            cloud = self.clouds[number + data.integer(len(MISSING), rng)]
            cloud = cloud[torch.randperm(POINTS, generator=rng)[:shown]]
            cloud = cloud + JITTER * data.uniform(rng) * torch.randn(cloud.shape, generator=rng)
            cloud = cloud * (1 + SIZE * (2 * data.uniform(rng) - 1)) + SHIFT * torch.randn(3, generator=rng)
            places.append(project(cloud, cameras[view : view + 1]))
        xy, z = (torch.cat(parts) for parts in zip(*places, strict=True))
        inverse = splat(xy, z, (data.RESOLUTION, data.RESOLUTION), radius * data.RESOLUTION / 2)
        return normalised(closed(inverse, fill) if fill else inverse)[:, None].expand(-1, 3, -1, -1)


def camera(images: list[int]) -> Cameras:
    """Where images, by their index in prior_data.images(), were seen from."""
    index = torch.tensor(images)
    elevation = torch.tensor(data.ELEVATIONS)[index // data.AZIMUTHS % len(data.ELEVATIONS)]
    return data.around((index % data.AZIMUTHS) * (360 / data.AZIMUTHS), elevation)
