"""Which views of a turntable show a creature's face, and how many faces that makes."""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gsd.geometry import angle_between
from gsd.menagerie import Bank

FACE_DEG = 60.0  # a view within this angle of the front shows the face
FACE_CONTRAST = 0.03  # a pixel belongs to the face if removing the face changes it by more than this
FRONTAL_DEG = 30.0  # a misplaced face is searched for with its appearance within this angle of its front
FACE_SPAN_DEG = 160.0  # arc of views that can show one face: 125 for a true animal, the rest is slack
FLICKER_DEG = 6.0  # shorter runs of face or no face are smoothed away


def from_front(azimuth: Float[Tensor, "*n"], within: float = FACE_DEG) -> Bool[Tensor, "*n"]:
    """Whether azimuths lie within `within` degrees of the front."""
    return angle_between(azimuth, torch.zeros_like(azimuth)).abs() <= within


def shows_face(
    rgb: Float[Tensor, "K 3 R R"], bank: Bank, faceless: Float[Tensor, "F 3 R R"], distance: Float[Tensor, "K M"]
) -> Bool[Tensor, " K"]:
    """Which views show a face: those nearer to an image with a face than to any without.

    faceless: the bank's images from the front, of the creature without its face parts; distance: squared, from the
    views to the bank.
    """
    front = from_front(bank.azimuth)
    without = torch.cat([distance[:, ~front], squared_distances(rgb, faceless)], 1).amin(1)
    nearest = distance[:, front].amin(1)
    images, views = bank.rgb.flatten(1).float() / 255, rgb.flatten(1)
    for index, bare in zip(front.nonzero()[:, 0], faceless.flatten(1), strict=True):
        if not from_front(bank.azimuth[index], FRONTAL_DEG):
            continue
        region = ((images[index] - bare).abs().view(3, -1).amax(0) > FACE_CONTRAST).repeat(3)
        apart = bank.azimuth - bank.azimuth[index]
        misplaced = angle_between(apart, torch.zeros_like(apart)).abs() >= FACE_DEG
        bodies = (~front & misplaced & (bank.variant == bank.variant[index])).nonzero()[:, 0]
        seen = views[:, region]
        pasted = (seen - images[index, region]).square().sum(1, keepdim=True)
        covered = torch.cdist(seen, images[bodies][:, region]).square()
        nearest = torch.minimum(nearest, (distance[:, bodies] - covered + pasted).amin(1))
    return nearest < without


def squared_distances(rgb: Float[Tensor, "K 3 R R"], images: Float[Tensor, "N 3 R R"]) -> Float[Tensor, "K N"]:
    """|view - image|^2 with rgb in [0, 1], in float64."""
    images = images.flatten(1).double()
    centre = images.mean(0)  # differences from the mean lose fewer digits
    images, views = images - centre, rgb.flatten(1).double() - centre
    squared = views.square().sum(1)[:, None] + images.square().sum(1) - 2 * views @ images.T
    return squared.clamp(min=0)


def count_faces(face: Bool[Tensor, " K"]) -> int:
    """The smallest number of arcs of FACE_SPAN_DEG that cover all views that show a face, after smoothing."""
    views = len(face)
    reach = int(FLICKER_DEG * views / 360)
    votes = torch.stack([face.roll(shift) for shift in range(-reach, reach + 1)]).float().mean(0)
    smooth = (votes > 0.5).tolist()
    span = math.floor(FACE_SPAN_DEG * views / 360) + 1  # views in an arc, both ends included

    def arcs_from(start: int) -> int:
        count, offset = 0, 0
        while offset < views:
            shows = smooth[(start + offset) % views]
            count, offset = count + shows, offset + (span if shows else 1)
        return count

    return min((arcs_from(start) for start in range(views) if smooth[start]), default=0)
