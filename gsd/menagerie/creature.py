"""The creatures of creatures.yaml: how one is declared, and the coloured ellipsoids made from the declaration.

A part is an ellipsoid placed on another part, either `at` an offset from its centre or in a direction `dir` on its
surface. `mirror` gives a part and all that sits on it a twin on the other side (y -> -y). Creatures may be written in
any unit; they are centred and scaled to fit the default camera.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterable
from difflib import SequenceMatcher
from functools import cache, lru_cache
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import yaml
from jaxtyping import Bool, Float
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gsd.errors import GsdError, did_you_mean
from gsd.menagerie.ellipsoids import Ellipsoids

TYPING_ERROR = 0.7  # likeness of two words from which one may be the other, mistyped
FIT_RADIUS = 0.62  # leaves a margin in the default camera (40 degrees at distance 2.2)
CREATURES = Path(__file__).with_name("creatures.yaml")

Triple = tuple[float, float, float]
Length = Annotated[float, Field(gt=0)]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Part(_Spec):
    """One ellipsoid, or two with `mirror`. Lengths in the creature's own units, angles in degrees."""

    upon: str | None = None  # the part it sits on; none: the origin
    at: Triple = (0, 0, 0)  # centre, relative to the centre of `upon`
    dir: tuple[float, float] | None = None  # instead of `at`: azimuth, elevation on the surface of `upon`, facing out
    radii: Length | tuple[Length, Length, Length]  # along x (outwards, with `dir`), y and z
    turn: Triple = (0, 0, 0)  # about x, then y, then z; of this ellipsoid alone
    colour: str
    mirror: bool = False
    face: bool = False


class Variant(_Spec):
    """How one individual differs from the creature as declared."""

    colours: dict[str, str] = {}
    size: Annotated[float, Field(ge=0.5, le=1)] = 1.0
    pose: dict[str, Triple] = {}  # degrees about x, then y, then z; turns a part and all that sits on it
    hue: float = 0.0  # degrees, added to every colour
    value: Annotated[float, Field(gt=0, le=1.5)] = 1.0  # factor on every colour's value


class Creature(_Spec):
    """The declaration of a kind; `figure(i)` is its i-th individual."""

    name: str
    palette: dict[str, str]
    words: Annotated[tuple[str, ...], Field(min_length=1)]
    colours: dict[str, str] = {}
    variants: tuple[Variant, ...] = ()
    parts: Annotated[dict[str, Part], Field(min_length=1)]

    def figure(self, variant: int = 0) -> Ellipsoids:
        """The ellipsoids of an individual: 0 as declared, then the listed variants, then mild changes of 0."""
        return _figure(self, variant)

    def head(self) -> Bool[np.ndarray, " N"]:
        """Which ellipsoids of a figure are the limb with the face: on the first part, all that carries the face."""
        count: dict[str, int] = {}
        for name, part in self.parts.items():
            count[name] = 2 if part.mirror else count.get(part.upon or "", 1)
        faces = {self._limb(name) for name, part in self.parts.items() if part.face}
        return np.repeat([self._limb(name) in faces for name in self.parts], list(count.values()))

    def _limb(self, name: str) -> str:
        """The part from which this one branches off the first part."""
        while (parent := self.parts[name].upon) and self.parts[parent].upon:
            name = parent
        return name

    def __hash__(self) -> int:
        return hash(self.name)  # the other fields are dicts, which cannot be hashed

    def _individual(self, index: int) -> Variant:
        listed = (Variant(), *self.variants)
        if index < len(listed):
            return listed[index]
        golden = index * 0.618 % 1  # spreads any number of individuals evenly
        return Variant(hue=40 * golden - 20, value=1.1 - 0.35 * golden, size=1 - 0.25 * (index * 0.382 % 1))


@lru_cache(maxsize=1000)  # each evaluation of a metric needs the same ones again
def _figure(creature: Creature, variant: int) -> Ellipsoids:
    individual = creature._individual(variant)
    plain = _assemble(creature, Variant())
    low, high = plain.bounds()
    scale = FIT_RADIUS / plain.moved(-(low + high) / 2, 1.0).radius()
    return _assemble(creature, individual).moved(-(low + high) / 2, scale * individual.size)


class _Placed(NamedTuple):
    """A placed part: `frame` orients the parts that sit on it, `shape` the ellipsoid itself."""

    centre: Float[np.ndarray, "3"]
    frame: Float[np.ndarray, "3 3"]
    shape: Float[np.ndarray, "3 3"]
    radii: Float[np.ndarray, "3"]


def _assemble(creature: Creature, individual: Variant) -> Ellipsoids:
    """All parts in the creature's own units."""
    placed: dict[str, dict[int, _Placed]] = {}
    colours, face = [], []
    for name, part in creature.parts.items():
        parents = placed.get(part.upon or "", {1: _Placed(np.zeros(3), np.eye(3), np.eye(3), np.zeros(3))})
        sides = (1, -1) if part.mirror else tuple(parents)
        pose = individual.pose.get(name, (0, 0, 0))
        placed[name] = {side: _place(part, parents.get(side, parents[1]), pose, side) for side in sides}
        colours += [_colour(creature, individual, part.colour)] * len(sides)
        face += [part.face] * len(sides)
    ellipsoids = [p for twins in placed.values() for p in twins.values()]
    return Ellipsoids(
        np.stack([p.centre for p in ellipsoids]),
        np.stack([p.shape for p in ellipsoids]),
        np.stack([p.radii for p in ellipsoids]),
        np.array(colours),
        np.array(face),
    )


def _place(part: Part, parent: _Placed, pose: Triple, side: int) -> _Placed:
    """The part on its parent; side -1 is its mirror image (y -> -y)."""
    flip = np.array([1, side, 1])
    radii = np.broadcast_to(np.asarray(part.radii, float), (3,))
    turn = _rotation(np.array(part.turn, float) * (side, 1, side))
    frame = parent.frame @ _rotation(np.array(pose, float) * (side, 1, side))
    if part.dir is None:
        return _Placed(parent.centre + parent.frame @ (np.array(part.at) * flip), frame, frame @ turn, radii)
    azimuth, elevation = np.deg2rad(part.dir[0] * side), np.deg2rad(part.dir[1])
    direction = parent.frame @ np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    local = parent.shape.T @ direction
    offset = direction / np.linalg.norm(local / parent.radii)
    normal = parent.frame.T @ parent.shape @ (parent.shape.T @ offset / parent.radii**2)
    outwards = _facing(normal)
    return _Placed(parent.centre + offset, frame, frame @ outwards @ turn, radii)


def _facing(normal: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """The rotation with the x axis along `normal` and a horizontal y axis."""
    azimuth = np.rad2deg(np.arctan2(normal[1], normal[0]))
    elevation = np.rad2deg(np.arctan2(normal[2], np.hypot(normal[0], normal[1])))
    return _rotation(np.array([0, -elevation, azimuth]))


def _rotation(degrees: Float[np.ndarray, "3"]) -> Float[np.ndarray, "3 3"]:
    """Rotation about the fixed x axis, then y, then z; right-handed."""
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _colour(creature: Creature, individual: Variant, name: str) -> Triple:
    """rgb in [0, 1] of a colour given as a role of the creature, a palette name or #rrggbb."""
    name = individual.colours.get(name, creature.colours.get(name, name))
    name = creature.palette.get(name, name)
    red, green, blue = (int(name[i : i + 2], 16) / 255 for i in (1, 3, 5))
    if individual.hue == 0 and individual.value == 1:
        return red, green, blue
    hue, saturation, value = colorsys.rgb_to_hsv(red, green, blue)
    return colorsys.hsv_to_rgb((hue + individual.hue / 360) % 1, saturation, min(1.0, value * individual.value))


@cache
def load(path: Path = CREATURES) -> dict[str, Creature]:
    """Every creature of a yaml file, by name.

    Raises:
        GsdError: names the creature, part and field at fault.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise GsdError(f"{path}: cannot be read as yaml: {' '.join(str(error).split())}.") from None
    if not isinstance(content, dict) or not isinstance(content.get("creatures"), dict) or not content["creatures"]:
        raise GsdError(f"{path}: must hold `palette:` and `creatures:`, each a mapping.")
    palette = content.get("palette") or {}
    for name, code in palette.items():
        if not _is_code(code):
            raise GsdError(f'palette colour {name!r}: must be "#rrggbb" (quoted), got {code!r}.')
    return {str(name): _parse(str(name), entry, palette) for name, entry in content["creatures"].items()}


def _parse(name: str, entry: Any, palette: dict[str, str]) -> Creature:
    if not isinstance(entry, dict):
        raise GsdError(f"creature {name!r}: must be a mapping with words and parts, got {entry!r}.")
    try:
        creature = Creature(**entry, name=name, palette=palette)
    except (ValidationError, TypeError) as error:
        raise GsdError(_explain(name, error)) from None
    _check_names(creature)
    return creature


def _explain(name: str, error: ValidationError | TypeError) -> str:
    """One sentence about the first error."""
    if isinstance(error, TypeError):
        return f"creature {name!r}: has a field it must not have ({error})."
    first = error.errors()[0]
    location = [str(step) for step in first["loc"]]
    place = f"creature {name!r}"
    if location and location[0] == "parts" and len(location) > 1:
        place += f", part {location[1]!r}"
        location = location[2:]
    field = f", field {location[0]!r}" if location else ""
    return f"{place}{field}: {first['msg'][0].lower()}{first['msg'][1:]}, got {first['input']!r}."


def _check_names(creature: Creature) -> None:
    """Check that every colour and part named exists and that a part comes after the one it sits on."""
    known = {*creature.palette, *creature.colours}
    seen: list[str] = []

    def check_colour(place: str, colour: str) -> None:
        if colour not in known and not _is_code(colour):
            near = did_you_mean(colour, known)
            raise GsdError(f"creature {creature.name!r}, {place}: unknown colour {colour!r}{near or '.'}")

    for role, colour in creature.colours.items():
        check_colour(f"colours, field {role!r}", colour)
    for name, part in creature.parts.items():
        check_colour(f"part {name!r}, field 'colour'", part.colour)
        if part.upon is not None and part.upon not in seen:
            near = did_you_mean(part.upon, seen)
            raise GsdError(
                f"creature {creature.name!r}, part {name!r}, field 'upon': no part {part.upon!r} above it{near or '.'}"
            )
        if part.dir is not None and (part.upon is None or "at" in part.model_fields_set):
            raise GsdError(f"creature {creature.name!r}, part {name!r}, field 'dir': needs `upon` and excludes `at`.")
        seen.append(name)
    for number, individual in enumerate(creature.variants, 1):
        for role, colour in individual.colours.items():
            check_colour(f"variant {number}, field 'colours'", colour)
            if role not in creature.colours:
                raise GsdError(
                    f"creature {creature.name!r}, variant {number}, field 'colours': no colour {role!r} to replace"
                    f"{did_you_mean(role, creature.colours) or '.'}"
                )
        for part_name in individual.pose:
            if part_name not in seen:
                raise GsdError(
                    f"creature {creature.name!r}, variant {number}, field 'pose': no part {part_name!r}"
                    f"{did_you_mean(part_name, seen) or '.'}"
                )


def _is_code(colour: Any) -> bool:
    return isinstance(colour, str) and re.fullmatch("#[0-9a-fA-F]{6}", colour) is not None


def find(prompt: str) -> Creature:
    """The creature a prompt names, as whole words in any case. If it names several, the longest name wins.

    Raises:
        GsdError: lists the known creatures if it names none.
    """
    creatures = load()
    words = {word: creature for creature in creatures.values() for word in creature.words}
    found = [word for word in words if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", prompt, re.IGNORECASE)]
    if found:
        return words[max(found, key=len)]
    raise GsdError(
        f"The menagerie has no {prompt!r}{_mistyped(prompt, words) or '.'} It knows: {', '.join(creatures)}. "
        "For any other subject use prior=stable_diffusion."
    )


def _mistyped(prompt: str, words: Iterable[str]) -> str:
    """'; did you mean X?' for the word of which the prompt has a typing error, or ''.

    Those are rare in the first letter: a moose is no mistyped goose.
    """
    texts = (prompt.lower(), *re.findall(r"\w{3,}", prompt.lower()))
    pairs = [(text, word) for text in texts for word in words if text[:1] == word[0].lower()]
    likeness, word = max(((SequenceMatcher(None, *pair).ratio(), pair[1]) for pair in pairs), default=(0.0, ""))
    return f"; did you mean {word}?" if likeness > TYPING_ERROR else ""
