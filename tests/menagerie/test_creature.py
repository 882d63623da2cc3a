"""Creatures: the shipped ones are sound, the format means what it says, mistakes are named."""

from pathlib import Path

import numpy as np
import pytest

from gsd.errors import GsdError
from gsd.menagerie import find, load

TINY = """
palette: {red: "#ff0000", blue: "#0000ff"}
creatures:
  blob:
    words: [blob]
    colours: {skin: red}
    variants: [{size: 0.8, colours: {skin: blue}}, {pose: {head: [0, 0, 90]}}]
    parts:
      body: {radii: 1, colour: skin}
      head: {upon: body, at: [2, 0, 0], radii: [0.5, 0.4, 0.3], colour: skin}
      eye: {upon: head, mirror: true, dir: [30, 0], radii: 0.1, colour: blue, face: true}
      pupil: {upon: eye, at: [0.1, 0.05, 0], radii: 0.02, turn: [10, 20, 30], colour: blue, face: true}
"""


def _load(tmp_path: Path, text: str):
    path = tmp_path / "creatures.yaml"
    path.write_text(text)
    return load(path)


@pytest.mark.parametrize("name", load())
def test_every_creature_fits_faces_forward_and_varies(name):
    creature = load()[name]
    figures = [creature.figure(i) for i in range(6)]
    assert figures[0].radius() == pytest.approx(0.62, rel=1e-6)
    assert max(f.radius() for f in figures) < 0.68, "sticks out of the default camera"
    for figure in figures:
        face = figure.centres[figure.face]
        assert face[:, 0].mean() > figure.centres[~figure.face][:, 0].mean() + 0.03
        assert abs(np.rad2deg(np.arctan2(*(face.mean(0) - figure.centres.mean(0))[[1, 0]]))) < 40
    for one in range(6):
        for other in range(one):
            assert np.abs(figures[one].colours - figures[other].colours).max() > 0.02


def test_the_papers_subjects_are_known_and_words_are_unambiguous():
    prompts = {
        "a full body of a cat with a hat": "cat with a hat",
        "a goose made out of gold": "goose made out of gold",
        "a turtle": "turtle",
        "a cute meercat": "meercat",
        "a MEERKAT, side view": "meercat",
        "an owl": "owl",
        "a corgi": "corgi",
        "a big elephant": "elephant",
        "a teddy bear": "teddy bear",
        "an owl beside a cat with a hat": "cat with a hat",
    }
    assert {prompt: find(prompt).name for prompt in prompts} == prompts
    words = [word for creature in load().values() for word in creature.words]
    assert len(words) == len(set(words))
    assert len(load()) >= 14


def test_words_match_whole_and_unknown_subjects_are_refused_with_help():
    with pytest.raises(GsdError, match=r"caterpillar.*owl.*prior=stable_diffusion"):
        find("a caterpillar")
    for mistyped, meant in (("an elefant in a room", "elephant"), ("two Pengins", "penguin")):
        with pytest.raises(GsdError, match=f"did you mean {meant}"):
            find(mistyped)


@pytest.mark.parametrize("subject", ["a moose", "a wooden chair", "a mouse", "a house", "a log", "x"])
def test_what_is_no_typing_error_is_not_taken_for_one(subject):
    """A moose is one letter from a goose, but the first, in which people rarely err."""
    with pytest.raises(GsdError, match=f"The menagerie has no '{subject}'. It knows: ") as refused:
        find(subject)
    assert "did you mean" not in str(refused.value)


def test_places_mirrors_and_scales_parts(tmp_path):
    figure = _load(tmp_path, TINY)["blob"].figure()
    scale = figure.radii[0, 0]
    assert figure.radius() == pytest.approx(0.62)
    body, head = figure.centres[0], figure.centres[1]
    np.testing.assert_allclose(head - body, [2 * scale, 0, 0], atol=1e-12)
    low, high = figure.bounds()
    np.testing.assert_allclose(low + high, 0, atol=1e-12)
    # On the surface: 1 / sqrt((cos / .5)^2 + (sin / .4)^2) in the direction (cos, sin).
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    reach = scale / np.hypot(c / 0.5, s / 0.4)
    np.testing.assert_allclose(figure.centres[2] - head, [c * reach, s * reach, 0], atol=1e-12)
    normal = np.array([c / 0.25, s / 0.16, 0])
    np.testing.assert_allclose(figure.rotations[2][:, 0], normal / np.linalg.norm(normal), atol=1e-12)
    for left, right in ((2, 3), (4, 5)):
        np.testing.assert_allclose(figure.centres[left] * [1, -1, 1], figure.centres[right], atol=1e-12)
        mirror = np.diag([1.0, -1.0, 1.0])
        np.testing.assert_allclose(mirror @ figure.shapes()[left] @ mirror, figure.shapes()[right], atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(figure.rotations), 1)
    assert figure.face.tolist() == [False, False, True, True, True, True]


def test_variants_change_what_they_say(tmp_path):
    blob = _load(tmp_path, TINY)["blob"]
    plain, small, turned = (blob.figure(i) for i in range(3))
    np.testing.assert_allclose(small.centres, 0.8 * plain.centres)
    np.testing.assert_allclose(small.colours[0], [0, 0, 1])
    np.testing.assert_allclose(plain.colours[0], [1, 0, 0])
    quarter = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(turned.centres[1], plain.centres[1])
    np.testing.assert_allclose(
        turned.centres[2:] - turned.centres[1], (plain.centres[2:] - plain.centres[1]) @ quarter.T
    )
    np.testing.assert_array_equal(blob.figure(9).centres, blob.figure(9).centres)
    assert np.abs(blob.figure(9).colours - blob.figure(8).colours).max() > 0.01


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("radii: 1,", "radii: -1,", "creature 'blob', part 'body', field 'radii'.*greater than 0.*-1"),
        ("radii: 1,", "", "creature 'blob', part 'body', field 'radii'.*required"),
        ("radii: 1,", "radius: 1,", "creature 'blob', part 'body', field 'radii'"),
        ("at: [2, 0, 0]", "at: [2, 0]", "creature 'blob', part 'head', field 'at'"),
        ("upon: head", "upon: haed", "part 'eye', field 'upon': no part 'haed' above it; did you mean head"),
        ("upon: body", "upon: pupil", "part 'head', field 'upon': no part 'pupil' above it"),
        ("dir: [30, 0]", "dir: [30, 0], at: [1, 0, 0]", "part 'eye', field 'dir': .*excludes"),
        (
            "colour: blue, face",
            "colour: bleu, face",
            "part 'eye', field 'colour': unknown colour 'bleu'; did you mean blue",
        ),
        ("{skin: red}", "{skin: rouge}", "colours, field 'skin': unknown colour 'rouge'"),
        ("{skin: blue}", "{scale: blue}", "variant 1, field 'colours': no colour 'scale'"),
        ("{head: [0, 0, 90]}", "{neck: [0, 0, 90]}", "variant 2, field 'pose': no part 'neck'"),
        ("size: 0.8", "size: 3", "creature 'blob', field 'variants'"),
        ("words: [blob]", "words: []", "creature 'blob', field 'words'"),
        ('"#ff0000"', '"red"', "palette colour 'red'"),
        ("creatures:", "creature:", "`palette:` and `creatures:`"),
        ("creatures:", "creatures: [", "cannot be read as yaml"),
    ],
)
def test_mistakes_are_named_in_one_sentence(tmp_path, before, after, message):
    assert before in TINY
    with pytest.raises(GsdError, match=message) as caught:
        _load(tmp_path, TINY.replace(before, after, 1))
    assert "\n" not in str(caught.value)


def test_a_two_faced_figure_is_its_own_mirror_image():
    figure = load()["owl"].figure().two_faced()
    faces = figure.centres[figure.face]
    mirrored = faces * [-1, 1, 1]
    nearest = np.linalg.norm(faces[:, None] - mirrored, axis=2).min(1)
    np.testing.assert_allclose(nearest, 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(figure.rotations), 1)
