"""What the numbers of runs are called, in which unit they are said, which values they can have, which is better.

A number that is not in QUANTITIES, as of a metric of one's own, is shown under its key and has no better direction.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Better = Literal["higher", "lower"]


@dataclass(frozen=True)
class Quantity:
    """A number of the summary or of each step. With the unit "%" it is a fraction, and its text is in percent."""

    label: str
    unit: str = ""
    better: Better | None = None  # None: neither, or one value is right, as of a number of faces
    low: float = -math.inf  # the least and the greatest value that it can have
    high: float = math.inf
    decimals: int = 3  # of its text

    @property
    def factor(self) -> int:
        """From the number to its text."""
        return 100 if self.unit == "%" else 1

    @property
    def span(self) -> float:
        """The largest difference that two of its values can have."""
        return self.high - self.low

    def title(self, unit: str | None = None) -> str:
        """Label, unit (or the one given, of numbers that are not in it) and direction: "view error, degrees ↓"."""
        parts = filter(None, (self.label, self.unit if unit is None else unit))
        return ", ".join(parts) + {"higher": "\u00a0↑", "lower": "\u00a0↓", None: ""}[self.better]

    def text(self, value: float) -> str:
        """The value with its unit, as in "18.4 dB"."""
        return f"{self.factor * value:.{self.decimals}f} {self.unit}".rstrip()


def _share(label: str, better: Better | None = None, decimals: int = 0) -> Quantity:
    return Quantity(label, "%", better, 0, 1, decimals)


QUANTITIES = {
    # metric=truth; the first four are the outcomes of a scene, see gsd.results.outcome
    "coherent": _share("coherent", "higher"),
    "janus": _share("Janus", "lower"),
    "turned": _share("turned", "lower"),
    "empty": _share("empty", "lower"),
    "psnr_aligned": Quantity("PSNR to the true animal", "dB", "higher", 0, 100, 1),
    "view_error_deg": Quantity("view error", "degrees", "lower", 0, 180, 0),
    "silhouette_iou": Quantity("silhouette IoU", "", "higher", 0, 1, 2),
    "foggy_fraction": _share("foggy pixels", "lower", 1),
    "ssim_aligned": Quantity("SSIM to the true animal", "", "higher", -1, 1),
    "gmsd_aligned": Quantity("GMSD to the true animal", "", "lower", 0, 1),
    "depth_error": Quantity("depth error", "world units", "lower", 0, 1),
    "chamfer": Quantity("Chamfer distance", "world units", "lower", 0, 1),
    "fog": Quantity("alpha outside the animal", "", "lower", 0, 1),
    "face_fraction": _share("views with a face"),
    "face_count": Quantity("faces (1 is right)", low=0, decimals=1),
    "front_count": Quantity("fronts (1 is right)", low=0, decimals=1),
    "yaw_deg": Quantity("yaw", "degrees", low=0, high=360, decimals=0),
    "variant": Quantity("variant of the animal", decimals=0),
    # metric=reprojection
    "photometric_error": Quantity("photometric error", "", "lower", 0, 1),
    "reprojection_error": Quantity("reprojection error", "world units", "lower", 0, decimals=4),
    "feature_error": Quantity("feature error", "", "lower", 0, 2),
    "see_through": _share("see-through pixels", "lower", 1),
    "co_visible": _share("co-visible pixels"),
    # metric=a_lpips
    "a_dssim": Quantity("1 - SSIM of adjacent views", "", "lower", 0, 2),
    "a_lpips": Quantity("A-LPIPS", "", "lower", 0),
    "sharpness": Quantity("sharpness", low=0),
    # metric=clip_view
    "clip_view_accuracy": _share("CLIP view accuracy", "higher"),
    "clip_janus_share": _share("backs that CLIP calls fronts", "lower"),
    "clip_harmonic": Quantity("CLIP front-back amplitude", low=0),
    "clip_margin": Quantity("CLIP front-back margin", "", "higher", -2, 2),
    "clip_margin_low": Quantity("CLIP margin, lower bound"),
    "clip_margin_high": Quantity("CLIP margin, upper bound"),
    "clip_yaw_deg": Quantity("yaw by CLIP", "degrees", low=0, high=360, decimals=0),
    # metric=clip_score
    "clip_score": Quantity("CLIP score", "", "higher", 0, 100, 1),
    "clip_score_min": Quantity("CLIP score, worst view", "", "higher", 0, 100, 1),
    "clip_r_precision": _share("CLIP R-precision", "higher"),
    # metric=hps
    "hps": Quantity("HPS", "", "higher", -100, 100, 2),
    "hps_min": Quantity("HPS, worst view", "", "higher", -100, 100, 2),
    # metric=pick_score; unbounded, since the model learns the scale of its cosine
    "pick_score": Quantity("PickScore", "", "higher", decimals=2),
    "pick_score_min": Quantity("PickScore, worst view", "", "higher", decimals=2),
    # metric=image_reward
    "image_reward": Quantity("ImageReward", "", "higher", decimals=2),
    "image_reward_min": Quantity("ImageReward, worst view", "", "higher", decimals=2),
    # metric=dino
    "dino_neighbours": Quantity("DINO cosine of neighbouring views", "", "higher", -1, 1),
    "dino_front": Quantity("DINO cosine of views and front", low=-1, high=1),
    # of every step
    "sigma": Quantity("noise level", low=0),
    "noise/std": Quantity("standard deviation of the noise", low=0),
    "noise/correlation": Quantity("noise that neighbouring views share", "", "higher", -1, 1, 2),
    "noise/coverage": _share("object's pixels that points of the noise reach", "higher"),
    "score/gradient_rms": Quantity("RMS of the score's gradient", low=0),
    "score/view_rms": Quantity("difference of the predictions for opposite views, in units of the noise", low=0),
    "score/view_ratio": Quantity("difference of opposite views, relative to that of text and no text", low=0),
    "render/alpha": Quantity("mean alpha", low=0, high=1),
    "render/rgb": Quantity("mean colour", low=0, high=1),
    "gaussians/count": Quantity("Gaussians", low=0, decimals=0),
    # of every run
    "seconds": Quantity("time", "s", "lower", 0, decimals=1),
    "prior_calls": Quantity("images denoised", "", "lower", 0, decimals=0),
    "peak_memory_mb": Quantity("peak memory", "MB", "lower", 0, decimals=0),
}

MEANINGLESS = frozenset({"loss/score"})  # numbers of a step of which only the derivative means something

# What answers the question of a sweep, the most telling first: the columns of the report's first table, the headline
# panels of a dashboard.
HEADLINE = (
    "coherent", "janus", "turned", "empty", "psnr_aligned", "view_error_deg", "silhouette_iou", "foggy_fraction",
    "reprojection_error", "see_through", "a_lpips", "dino_neighbours", "clip_view_accuracy", "clip_score",
    "clip_r_precision", "hps", "pick_score", "image_reward", "seconds",
)  # fmt: skip


def quantity(name: str) -> Quantity:
    """Of a key of the summary; what is not known is called by its key."""
    return QUANTITIES.get(name) or Quantity(name)
