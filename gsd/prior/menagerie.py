"""The embedded prior: the exact denoiser of the menagerie's image distribution, in closed form."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Literal

import torch
from annotated_types import Interval, Len
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate

from gsd.backend.notice import notice
from gsd.errors import GsdError
from gsd.geometry import angle_between
from gsd.menagerie import bank_views, build_bank, find, load
from gsd.menagerie.mixture import ByteImages
from gsd.protocols import Prior
from gsd.ranges import Distance, Fov, Variants
from gsd.types import Cameras, Condition, Context

SIZES = (8, 512)  # pixels of the bank's images, at least and at most
Weight = Annotated[float, Interval(ge=0, le=1000)]  # on the log of a probability
Elevation = Annotated[float, Interval(ge=-85, le=85)]


@dataclass(frozen=True)
class Posterior:
    """Which image of the bank each view shows: M candidates, the images of all creatures that the text may mean."""

    probs: Float[Tensor, "V M"]  # float64, rows sum to 1
    creature: tuple[str, ...]  # M names
    variant: Int[Tensor, " M"]
    azimuth: Float[Tensor, " M"]  # degrees, in [0, 360)
    elevation: Float[Tensor, " M"]  # degrees


class Menagerie(Prior):
    """p(z | text) is a finite mixture of the bank's images, so D(x; sigma, y) is exact:

        D = sum_i w_i x_i exp(-|x - x_i|^2 / 2 sigma^2) / sum_i w_i exp(-|x - x_i|^2 / 2 sigma^2)

    over the views x_i of the creature that the text names (`gsd.menagerie.find`: the longest name wins). A text that
    names none, such as "" or "blurry", stands for all creatures alike; their banks are made on first use.

    Weights: log w_i = view_bias cos(azimuth_i) + view_words f(azimuth_i, elevation_i), uniform over variants and
    elevations, so that views from the front are exp(2 view_bias) times as frequent as those from behind. A text that
    names no creature has view_bias_unconditional instead: "" says nothing of a face, so guidance strengthens the bias
    of the prompt. (With the bias of the prompt in both, their difference would have none.) The words "front view",
    "back view" and "side view" in a text give f = cos a, -cos a and 2 |sin a| - 1; "overhead view" gives f from -1 at
    the lowest to 1 at the highest elevation. view_words = 0 is a prior that does not heed them.

    joint: the views of one group (`Cameras.group`) about one creature are denoised together, under one posterior over
    (creature, variant, yaw), where the view at azimuth a shows the creature from a + yaw (rounded to the bank's
    azimuths) and from the elevation nearest the camera's: the exact multi-view prior, of which each view's marginal
    mean is returned. joint_weights says which of the weights above are the prior of a hypothesis:

        anchor   those of the group's first view: it is drawn as a single image would be, and the others follow from it
        product  those of all views: each is drawn as a single image, on condition that they show one creature in one
                 pose. With four views 90 degrees apart the view bias cancels and the view words remain

    Latents are images, z = 2 rgb - 1, of the render's resolution or of `resolution`. They lie over the background of
    `Condition.background`, else over white. `azimuths` is the number of equally spaced views; elevations and fov are in
    degrees, distance in world units. Raises GsdError when the prompt names no creature.
    """

    light = True
    guidance_scale = 1.0  # exact: the text alone says all
    random_background = 0.3  # more leaves as little fog and blurs a short run

    def __init__(
        self,
        context: Context,
        resolution: Annotated[int, Interval(ge=SIZES[0], le=SIZES[1])] | None = None,
        fov: Fov = 40.0,
        distance: Distance = 2.2,
        variants: Variants = 4,
        azimuths: Annotated[int, Interval(ge=4, le=360)] = 72,
        elevations: Annotated[tuple[Elevation, ...], Len(1, 64)] = (0.0, 15.0, 30.0),
        view_bias: Weight = 2.0,
        view_bias_unconditional: Weight = 0.0,
        view_words: Weight = 4.0,
        joint: bool = False,
        joint_weights: Literal["anchor", "product"] = "anchor",
    ) -> None:
        self.resolution = resolution
        self.view_bias, self.view_bias_unconditional, self.view_words = view_bias, view_bias_unconditional, view_words
        self.joint, self.joint_weights, self.device = joint, joint_weights, context.device
        self.azimuths, self.elevations, self._views = azimuths, elevations, bank_views(variants, azimuths, elevations)
        self._bank = partial(
            build_bank, fov=fov, distance=distance, variants=variants, azimuths=azimuths, elevations=elevations
        )
        self._members: dict[tuple[str, int], ByteImages] = {}
        self._log_weights: dict[str, Float[Tensor, " M"]] = {}
        self._named: dict[str, str | None] = {}
        find(context.prompt)

    def encode(self, rgb: Float[Tensor, "V 3 H W"]) -> Float[Tensor, "V 3 R R"]:
        """2 rgb - 1, at `resolution` by the area average."""
        if self.resolution is not None and rgb.shape[-1] != self.resolution:
            rgb = interpolate(rgb, (self.resolution, self.resolution), mode="area")
        if not SIZES[0] <= rgb.shape[-1] <= SIZES[1]:
            raise GsdError(
                f"The menagerie has pictures of {SIZES[0]} to {SIZES[1]} pixels and camera.resolution is "
                f"{rgb.shape[-1]}; set prior.resolution=64."
            )
        return 2 * rgb - 1

    def decode(self, z: Float[Tensor, "V 3 R R"]) -> Float[Tensor, "V 3 R R"]:
        """rgb, clamped to [0, 1]."""
        return ((z + 1) / 2).clamp(0, 1)

    @torch.no_grad()
    def denoise(
        self, x: Float[Tensor, "V 3 R R"], sigma: Float[Tensor, " V"], condition: Condition
    ) -> Float[Tensor, "V 3 R R"]:
        """The exact posterior mean E[z | x] of each view.

        Args:
            x: noised latents, z + sigma n with z in [-1, 1].
            sigma: noise level per view, > 0.
            condition: one text per view; with joint=True also the cameras of the views.

        Returns:
            Clean latents in the precision of x, in [-1, 1].

        Raises:
            GsdError: if joint=True and the condition has no cameras.
        """
        self._check(x, condition)
        flat = x.flatten(1)
        out = torch.zeros_like(flat)
        negligible = 0.01 * torch.finfo(x.dtype).eps  # of the largest weight: below the precision of the result
        for names, views in self._by_subject(condition.texts).items():
            shift = _shift(condition, views)
            probs = self._probs(x[views], sigma[views], views, names, condition, shift)
            probs = torch.where(probs < negligible * probs.amax(1, keepdim=True), 0.0, probs)
            mean = torch.zeros_like(flat[views])
            members = self._images(names, x.shape[-1])
            for images, weights in zip(members, probs.chunk(len(members), 1), strict=True):
                if weights.any():
                    images.add_mean(weights, mean, shift)
            out[views] = mean
        return out.view_as(x)

    @torch.no_grad()
    def posterior(self, x: Float[Tensor, "V 3 R R"], sigma: Float[Tensor, " V"], condition: Condition) -> Posterior:
        """The probability of each image of the bank for each view, whose mean is `denoise`.

        Args:
            x: noised latents, z + sigma n with z in [-1, 1].
            sigma: noise level per view, > 0.
            condition: one text per view, all about one subject; with joint=True also the cameras of the views.

        Returns:
            Probabilities over the M candidate images, and what each candidate shows.

        Raises:
            GsdError: if the texts are about different subjects, or joint=True and the condition has no cameras.
        """
        self._check(x, condition)
        subjects = self._by_subject(condition.texts)
        if len(subjects) != 1:
            raise GsdError("The posterior needs texts about one subject; ask for one subject at a time.")
        ((names, views),) = subjects.items()
        probs = self._probs(x, sigma, views, names, condition, _shift(condition, views))
        creature = tuple(name for name in names for _ in self._views.variant)
        shown = (self._views.variant, self._views.azimuth, self._views.elevation)
        return Posterior(probs, creature, *(each.repeat(len(names)) for each in shown))

    def _check(self, x: Float[Tensor, "V 3 R R"], condition: Condition) -> None:
        cameras = condition.cameras
        if len(condition.texts) != len(x):
            raise ValueError(f"{len(x)} views but {len(condition.texts)} texts")
        if self.joint and cameras is None:
            raise GsdError("prior.joint=true needs the cameras of the views; use a guidance that passes them on.")
        if self.joint and cameras is not None and len(x) % len(cameras):
            raise ValueError(f"{len(x)} views for {len(cameras)} cameras")

    def _by_subject(self, texts: tuple[str, ...]) -> dict[tuple[str, ...], list[int]]:
        """The views of each subject; a subject is a tuple of creatures."""
        subjects: dict[tuple[str, ...], list[int]] = {}
        for view, text in enumerate(texts):
            name = self._name(text)
            subjects.setdefault(tuple(load()) if name is None else (name,), []).append(view)
        return subjects

    def _name(self, text: str) -> str | None:
        """The creature that a text names."""
        if text not in self._named:
            try:
                self._named[text] = find(text).name
            except GsdError:
                self._named[text] = None
        return self._named[text]

    def _probs(
        self,
        x: Float[Tensor, "v 3 R R"],
        sigma: Float[Tensor, " v"],
        views: list[int],
        names: tuple[str, ...],
        condition: Condition,
        shift: Float[Tensor, "v 3"] | None,
    ) -> Float[Tensor, "v M"]:
        """The posterior of some views over all images of their subject, in float64."""
        inverse_variance = sigma.to(x.device).double()[:, None] ** -2
        flat, members = x.flatten(1), self._images(names, x.shape[-1])
        evidence = torch.cat([images.affinities(flat, shift) for images in members], 1) * inverse_variance
        log_weights = torch.stack([self._weights(condition.texts[view], len(names)) for view in views])
        if condition.others is not None and condition.blend is not None:
            others = torch.stack([self._weights(condition.others[view], len(names)) for view in views])
            log_weights = torch.lerp(log_weights, others, condition.blend[views, None].to(others))
        if not self.joint:
            return torch.softmax(log_weights + evidence, 1)
        assert condition.cameras is not None
        return self._joint_probs(evidence, log_weights, views, (len(names), *self._views.shape), condition.cameras)

    def _joint_probs(
        self,
        evidence: Float[Tensor, "v M"],
        log_weights: Float[Tensor, "v M"],
        views: list[int],
        shape: tuple[int, int, int, int],  # creatures, variants, elevations, azimuths
        cameras: Cameras,
    ) -> Float[Tensor, "v M"]:
        elevation, azimuth = self._nearest(cameras)
        groups: dict[tuple[int, int], list[int]] = {}  # of one copy of the cameras: guidance may stack branches
        for row, view in enumerate(views):
            key = (view // len(cameras), int(cameras.group[view % len(cameras)]))
            groups.setdefault(key, []).append(row)
        out = torch.zeros_like(evidence).view(-1, *shape)
        for rows in groups.values():
            shown = [(row, (elevation[views[row] % len(cameras)], azimuth[views[row] % len(cameras)])) for row in rows]

            def by_yaw(values: Tensor, row: int, cell: tuple[int, int]) -> Float[Tensor, "creature variant yaw"]:
                return values[row].view(shape)[:, :, cell[0]].roll(-cell[1], -1)

            weighed = shown[:1] if self.joint_weights == "anchor" else shown
            total = torch.stack([by_yaw(log_weights, *each) for each in weighed]).sum(0)
            total = total - total.flatten(1).logsumexp(1)[:, None, None]
            total = total + sum(by_yaw(evidence, *each) for each in shown)
            probs = torch.softmax(total.flatten(), 0).view_as(total)
            for row, (high, turn) in shown:
                out[row, :, :, high] = probs.roll(turn, -1)
        return out.flatten(1)

    def _nearest(self, cameras: Cameras) -> tuple[list[int], list[int]]:
        """Indices of the bank's elevation and azimuth nearest to each camera's."""
        elevations = torch.tensor(self.elevations, device=cameras.elevation.device)
        azimuths = torch.arange(self.azimuths, device=cameras.azimuth.device) * (360 / self.azimuths)
        high = (cameras.elevation[:, None] - elevations).abs().argmin(1)
        apart = cameras.azimuth[:, None] - azimuths
        turn = angle_between(apart, torch.zeros_like(apart)).abs().argmin(1)
        return high.tolist(), turn.tolist()

    def _weights(self, text: str, creatures: int) -> Float[Tensor, " M"]:
        """log w_i, normalised, over the images of so many creatures; they are equally likely."""
        if text not in self._log_weights:
            self._log_weights[text] = self._view_weights(text).to(self.device)
        return self._log_weights[text].repeat(creatures) - math.log(creatures)

    def _view_weights(self, text: str) -> Float[Tensor, " m"]:
        """log w_i of one creature's images."""
        azimuth, elevation = torch.deg2rad(self._views.azimuth.double()), self._views.elevation.double()
        low, high = float(elevation.min()), float(elevation.max())
        height = (2 * elevation - low - high) / (high - low) if high > low else torch.zeros_like(elevation)
        heard = {
            "front": azimuth.cos(),
            "back": -azimuth.cos(),
            "side": 2 * azimuth.sin().abs() - 1,
            "left side": azimuth.sin(),
            "right side": -azimuth.sin(),
            "overhead": height,
        }
        bias = self.view_bias_unconditional if self._name(text) is None else self.view_bias
        log_weights = bias * azimuth.cos()
        for word in re.findall(r"\b(front|back|(?:left |right )?side|overhead) view\b", text.lower()):
            log_weights = log_weights + self.view_words * heard[word]
        return log_weights.log_softmax(0)

    def _images(self, names: tuple[str, ...], resolution: int) -> list[ByteImages]:
        missing = [name for name in names if (name, resolution) not in self._members]
        if len(missing) > 1:
            notice(
                f"a text that names no animal stands for all {len(names)}: loading their images of {resolution} pixels "
                f"({len(names) * len(self._views.variant)}), which are drawn the first time"
            )
        for name in missing:
            bank = self._bank(load()[name], resolution=resolution)
            self._members[name, resolution] = ByteImages(bank.rgb, bank.alpha, self.device)
        return [self._members[name, resolution] for name in names]


def _shift(condition: Condition, views: list[int]) -> Float[Tensor, "v 3"] | None:
    """The latents of the background less those of white; None for white, and for backgrounds that vary in a view."""
    if condition.background is None:
        return None
    shift = 2 * (condition.background[views] - 1)
    return shift if shift.any() else None
