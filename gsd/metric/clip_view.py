"""Does CLIP see a front, sides and a back, and one of each? The curves of the paper's Fig. 12, and numbers of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from gsd.geometry import angle_between
from gsd.metric.parts.clip import load_clip, warn_of_unknown
from gsd.protocols import Metric
from gsd.ranges import Few
from gsd.statistics.jackknife import jackknife
from gsd.types import Cameras, Render

WORDS = ("front", "side", "back")
QUARTER_DEG = 45.0  # a view within this of an axis is a front, a back or a side
ARC_DEG = 30.0  # views nearer to each other than this are hardly independent: an arc of them counts as one


@dataclass
class ClipView(Metric):
    """The similarity of every view to "front view of PROMPT", "side view of ..." and "back view of ...".

    clip_front, clip_side, clip_back   cosines in the order of azimuth, from 0 on: the curves of Fig. 12
    clip_yaw_deg    in [0, 360): the whole yaw that explains best which word is nearest to each view; the view at
                    azimuth a shows the object from a + yaw
    clip_view_accuracy   after that yaw, the fraction of views whose nearest word is right, as the mean over front
                    (within 45 degrees), side and back; 1/3 for an answer that is the same from everywhere
    clip_janus_share     after that yaw, the fraction of back views that are nearest to "front view"
    clip_harmonic   amplitude of the first circular harmonic of front minus back over azimuth, in cosines; above 0 for
                    whatever is not flat, noise too
    clip_margin     the same along that yaw: how much more front than back the views are where the front should be
    clip_margin_low, clip_margin_high   its 95 % interval by leaving out each arc of 30 degrees (jackknife) with the
                    yaw held. The yaw was found on the same views, so of curves of pure noise one in ten has an interval
                    above 0, or three in ten where neighbouring views are alike; nan for fewer than three arcs

    What it does not see. CLIP looks at one picture at a time: a second face counts only where it turns the picture's
    nearest word, and one that the prompt's own words explain (a mask, two heads) need not. What turns the word need not
    be the face: the small model goes by the LEGO wizard's staff and misses that one's second face, and animals without
    a face still have fronts for it. Other models know backs less well than fronts, since captions seldom name them, and
    score the words as much as the picture: where "front view of" is nearest to everything, the Janus share is high for
    true objects too. A blurred or blank scene has flat curves, which is no sign of a second face. The paper itself
    finds no significant difference by these curves. What the small model tells on animals whose answer is known is
    measured by `python experiments/tiny/train_clip.py --evaluate`.

    For a prompt that the shipped model does not know a warning says so.

    model, pretrained: as for `gsd.metric.parts.clip.load_clip`, which raises GsdError. chunk: views encoded at a time.
    """

    model: str = "tiny"
    pretrained: str | None = None
    chunk: Few = 16

    def __post_init__(self) -> None:
        self.clip = load_clip(self.model, self.pretrained, "metric.clip_view")

    def __call__(self, turntable: Render, cameras: Cameras, prompt: str) -> dict[str, float | list[float]]:
        order = cameras.azimuth.remainder(360).argsort().cpu()
        azimuth = cameras.azimuth.remainder(360).cpu()[order]
        warn_of_unknown(self.model, prompt, "metric.clip_view")
        texts = [f"{word} view of {prompt}" for word in WORDS]
        cosines = self.clip.similarity(turntable.rgb.detach(), texts, self.chunk)[order]
        curves: dict[str, Any] = {f"clip_{word}": cosines[:, i].tolist() for i, word in enumerate(WORDS)}
        margin = (cosines[:, 0] - cosines[:, 2]).double().numpy()
        words = classified(cosines, azimuth)
        return curves | words | harmonic(margin, azimuth.double().numpy(), words["clip_yaw_deg"])


def harmonic(margin: Float[np.ndarray, " V"], azimuth: Float[np.ndarray, " V"], yaw: float) -> dict[str, float]:
    """The first circular harmonic of a margin by azimuth: its amplitude, and the part along the yaw with its interval.

    Degrees; along the yaw is cos(azimuth + yaw).
    """
    radians = np.deg2rad(azimuth + yaw)
    waves = np.stack([np.cos(radians), np.sin(radians), np.ones_like(radians)], 1)

    def fitted(views: Float[np.ndarray, " n"]) -> Float[np.ndarray, "3"]:
        chosen = views.astype(int)
        return np.linalg.lstsq(waves[chosen], margin[chosen], rcond=None)[0]

    views, arc = np.arange(float(len(margin))), azimuth // ARC_DEG
    arcs = [views[arc == k] for k in np.unique(arc)]
    along = jackknife(arcs, lambda chosen: float(fitted(chosen)[0]))
    return {
        "clip_harmonic": float(np.linalg.norm(fitted(views)[:2])),
        "clip_margin": along.value,
        "clip_margin_low": along.low,
        "clip_margin_high": along.high,
    }


def classified(cosines: Float[Tensor, "V 3"], azimuth: Float[Tensor, " V"]) -> dict[str, float]:
    """How well the nearest of WORDS agrees with the azimuths (degrees) at the whole yaw where it agrees most.

    Of yaws that agree equally well, the one at which the right words are nearer.
    """
    nearest = cosines.argmax(1)
    right = _words(azimuth + torch.arange(360.0)[:, None])
    agrees = (right == nearest).float()
    recall = torch.stack([(agrees * (right == word)).sum(1) / (right == word).sum(1) for word in range(3)])
    accuracy = recall.nanmean(0)  # a word that no view should have, as of a turntable of few, is left out
    support = cosines.gather(1, right.T).mean(0)
    yaw = int(torch.where(accuracy == accuracy.max(), support, -torch.inf).argmax())
    back = right[yaw] == WORDS.index("back")
    called_front = (nearest == WORDS.index("front"))[back].float()
    return {
        "clip_yaw_deg": float(yaw),
        "clip_view_accuracy": float(accuracy[yaw]),
        "clip_janus_share": float(called_front.mean()) if len(called_front) else 0.0,
    }


def _words(azimuth: Float[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """The index of the right one of WORDS."""
    away = angle_between(azimuth, torch.zeros_like(azimuth)).abs()
    return (away > QUARTER_DEG).long() + (away > 180 - QUARTER_DEG)
