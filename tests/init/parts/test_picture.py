"""Pictures that starts are made of: what is object, what is drawn, and where it is kept."""

import sys
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from PIL import Image

from gsd.backend.images import png
from gsd.errors import GsdError
from gsd.init.parts import matting
from gsd.init.parts.matting import FRAME, PLAIN, TOLERANCE, border
from gsd.init.parts.picture import Drawn, Picture, over_white
from gsd.prior.menagerie import Menagerie
from gsd.protocols import Prior
from gsd.random import Stream
from gsd.types import Context

CORGI = Context("a corgi", prior_identity="the prior")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))


def disc(ground, colour, hole=False, size=64):
    """A disc in the middle, with a spot of the ground's colour inside; and where the disc is."""
    y, x = torch.meshgrid(*[torch.arange(size) - size / 2 + 0.5] * 2, indexing="ij")
    inside = x**2 + y**2 < (size / 4) ** 2
    spot = x**2 + y**2 < (size / 12) ** 2
    shown = inside & ~spot if hole else inside
    rgb = torch.where(shown, torch.tensor(colour)[:, None, None], torch.tensor(ground)[:, None, None])
    return rgb, inside


@pytest.mark.parametrize("ground", [(1.0, 1.0, 1.0), (0.1, 0.5, 0.2)])
@pytest.mark.parametrize("hole", [False, True])
def test_a_plain_ground_goes_and_its_colour_inside_the_object_stays(ground, hole):
    rgb, inside = disc(ground, (0.8, 0.3, 0.6), hole)
    noise = 0.02 * torch.randn(rgb.shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(border(rgb + noise), inside.float())


def flooded(rgb):
    """The twin: background spreads from the frame, pixel by pixel."""
    _, height, width = rgb.shape
    edge = max(1, round(FRAME * min(height, width)))
    frame = [(y, x) for y in range(height) for x in range(width)
             if min(y, x, height - 1 - y, width - 1 - x) < edge]  # fmt: skip
    colour = torch.stack([rgb[:, y, x] for y, x in frame]).median(0).values

    def near(y, x):
        return float((rgb[:, y, x] - colour).square().mean().sqrt()) < TOLERANCE

    alpha, waiting = torch.ones(height, width), [(y, x) for y, x in frame if near(y, x)]
    while waiting:
        y, x = waiting.pop()
        if not (0 <= y < height and 0 <= x < width) or alpha[y, x] == 0 or not near(y, x):
            continue
        alpha[y, x] = 0
        waiting += [(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)]
    return alpha


def test_the_border_test_is_a_flood():
    generator = torch.Generator().manual_seed(1)
    for _ in range(5):
        rgb = torch.nn.functional.interpolate(torch.rand(1, 3, 6, 7, generator=generator), (24, 28), mode="nearest")[0]
        rgb[:, :3], rgb[:, -3:], rgb[:, :, :3], rgb[:, :, -3:] = 0.5, 0.5, 0.5, 0.5
        rgb = torch.where(torch.rand(24, 28, generator=generator) < 0.3, torch.full_like(rgb, 0.5), rgb)
        alpha = border(rgb)
        assert torch.equal(alpha, flooded(rgb))
        assert 0.05 < alpha.mean() < 0.95


def test_a_ground_that_is_not_plain_stays_and_is_told(caplog):
    rgb, _ = disc((1.0, 1.0, 1.0), (0.2, 0.2, 0.2))
    rgb[:, : int((1 - PLAIN) * 64) + 6] = torch.rand(3, 1, 64)
    assert border(rgb).min() == 1
    assert "init.picture.matting=rembg" in caplog.text


def test_rembg_is_asked_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(matting, "find_spec", lambda _: None)
    with pytest.raises(GsdError, match=r"needs the package rembg: pip install .*or set init.picture.matting=border"):
        Drawn(Picture(matting="rembg"), CORGI)
    monkeypatch.setattr(matting, "find_spec", lambda _: True)
    asked = []

    def remove(picture, only_mask, session):
        asked.append((picture.size, picture.getpixel((0, 0)), only_mask, session))
        return Image.fromarray(np.full((4, 6), 51, np.uint8))

    monkeypatch.setitem(sys.modules, "rembg", SimpleNamespace(remove=remove, new_session=str.upper))
    alpha = matting.by_rembg(torch.tensor([1.0, 0.0, 0.2])[:, None, None].expand(3, 4, 6))
    assert torch.allclose(alpha, torch.full((4, 6), 0.2))
    assert asked == [((6, 4), (255, 0, 51), True, "U2NET")]
    for error in (OSError("no network"), SystemExit(1)):  # the package leaves the program where it lacks onnxruntime
        monkeypatch.setattr(sys.modules["rembg"], "new_session", Mock(side_effect=error))
        with pytest.raises(GsdError, match=rf"the package failed \({error}\); it needs onnxruntime"):
            matting.by_rembg(torch.zeros(3, 4, 6))


def test_the_picture_is_the_prior_s_and_is_drawn_once():
    drawn = Drawn(Picture(resolution=32), CORGI)
    assert drawn.text == "a corgi, front view"
    drawn.prior = Menagerie(Context("a corgi"), variants=1, azimuths=12, elevations=(15.0,), view_words=20.0)
    picture = drawn(Stream(3, "x"))
    assert picture.shape == (4, 32, 32)
    assert 0.02 < picture[3].mean() < 0.5
    shown = torch.from_numpy(np.array(over_white(picture), np.float32) / 255).permute(2, 0, 1)
    front = drawn.prior._images(("corgi",), 32)[0]
    one, bank = torch.zeros(1, 12, dtype=torch.float64), torch.zeros(1, 3 * 32 * 32)
    one[0, 0] = 1.0
    front.add_mean(one, bank)
    assert (shown - (bank.view(3, 32, 32) + 1) / 2).abs().max() < TOLERANCE * 3**0.5 + 0.01  # that of the front
    drawn.prior = None  # not asked again
    assert torch.equal(drawn(Stream(3, "x")), picture)
    with pytest.raises(AssertionError):
        drawn(Stream(4, "x"))


@pytest.mark.parametrize("other", [{"steps": 31}, {"matting": "none"}, {"prompt": "{prompt}"}, {"guidance_scale": 2.0}])
def test_whatever_decides_on_a_picture_is_in_its_key(other):
    key = Drawn(Picture(), CORGI).key
    assert key == Drawn(Picture(), CORGI).key
    assert key != Drawn(Picture(**other), CORGI).key
    assert key != Drawn(Picture(), Context("a corgi", prior_identity="another")).key
    assert key != Drawn(Picture(), Context("an owl", prior_identity="the prior")).key


class Blank(Prior):
    """Which sees white in everything."""

    guidance_scale = 1.0

    def encode(self, rgb):
        return 2 * rgb - 1

    def decode(self, z):
        return (z + 1) / 2

    def denoise(self, x, sigma, condition):
        return torch.ones_like(x)


def test_a_picture_of_nothing_is_refused():
    drawn = Drawn(Picture(resolution=16), CORGI)
    drawn.prior = Blank()
    with pytest.raises(GsdError, match=r"'a corgi, front view' shows nothing before its background; try another seed"):
        drawn(Stream(0, "x"))


def test_files_keep_alpha(tmp_path):
    picture = torch.rand(4, 5, 6)
    (tmp_path / "a.png").write_bytes(png(picture))
    read = torch.from_numpy(np.array(Image.open(tmp_path / "a.png"), np.float32) / 255).permute(2, 0, 1)
    assert (read - picture).abs().max() < 0.5 / 255 + 1e-6
