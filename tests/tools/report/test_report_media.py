"""What goes into the page is what the run left, within its share of bytes."""

import io
from dataclasses import replace

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
from made_runs import blobs, strip
from PIL import Image

from gsd.errors import GsdError
from gsd.rasterizer.ply import save_ply
from gsd.tools.export.splat import LAYOUT
from gsd.tools.report import media

PLENTY = 10**7


def test_steps_are_chosen_evenly_with_both_ends(tmp_path):
    for step in range(0, 210, 10):
        strip(tmp_path, step)
    (tmp_path / "strips" / "notes.png").write_bytes(b"not a step")
    found = media.pictures(tmp_path / "strips", PLENTY)
    assert len(found) == media.STEPS
    assert (found[0].step, found[-1].step) == (0, 200)
    assert [p.rows for p in found] == [2] * media.STEPS
    image = Image.open(io.BytesIO(found[0].file))
    assert image.size == (64, 32)
    assert np.abs(np.subtract(image.getpixel((8, 16)), (255, 0, 0))).max() < 16  # JPEG's loss


def test_pictures_shrink_to_their_share(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (512, 1024, 3), np.uint8)
    (tmp_path / "strips").mkdir()
    Image.fromarray(noise).save(tmp_path / "strips" / "000000.png")
    (large,) = media.pictures(tmp_path / "strips", PLENTY)
    (small,) = media.pictures(tmp_path / "strips", 30_000)
    assert len(large.file) > 100_000
    assert len(small.file) <= 30_000
    assert small.rows == 2


def test_noise_is_exact(tmp_path):
    strip(tmp_path, 0)
    strip(tmp_path, 5, colours=("red", "green", (1, 2, 3), "white"))
    noise = media.noise(tmp_path / "strips", PLENTY)
    image = Image.open(io.BytesIO(noise.file))
    assert (noise.step, image.size) == (5, (16, 32))
    assert image.getcolors() == [(512, (1, 2, 3))]
    assert media.noise(tmp_path / "absent", PLENTY) is None


def test_a_turntable_is_kept_or_made_smaller(tmp_path):
    frames = np.random.default_rng(0).integers(0, 255, (20, 300, 300, 3), np.uint8)
    imageio.mimwrite(tmp_path / "t.mp4", frames, fps=30, quality=8, macro_block_size=1)
    whole = (tmp_path / "t.mp4").read_bytes()
    assert media.turntable(tmp_path / "t.mp4", PLENTY) == whole
    small = media.turntable(tmp_path / "t.mp4", len(whole) // 4)
    assert len(small) <= len(whole) // 4
    (tmp_path / "small.mp4").write_bytes(small)
    shown = imageio.mimread(tmp_path / "small.mp4", memtest=False)
    assert (len(shown), shown[0].shape) == (20, (256, 256, 3))
    with pytest.raises(GsdError, match="too long for a report"):
        media.turntable(tmp_path / "t.mp4", 100)


def test_gaussians_beyond_the_share_are_the_least_visible(tmp_path):
    count = 100
    sizes = torch.linspace(-4, -2, count)
    save_ply(tmp_path / "scene.ply", replace(blobs(count), log_scales=sizes[:, None].expand(count, 3)))
    whole = media.gaussians(tmp_path / "scene.ply", PLENTY)
    assert (whole.count, whole.total, len(whole.splat)) == (100, 100, 3200)
    part = media.gaussians(tmp_path / "scene.ply", 1000)
    assert (part.count, part.total) == (31, 100)
    kept = np.frombuffer(part.splat, LAYOUT)["scale"][:, 0]
    np.testing.assert_allclose(kept, sizes.exp().flip(0)[:31], rtol=1e-6)


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("t.mp4", media.turntable),
        ("scene.ply", media.gaussians),
        ("strips/000001.png", lambda file, share: media.pictures(file.parent, share)),
        ("strips/000001.png", lambda file, share: media.noise(file.parent, share)),
    ],
)
@pytest.mark.parametrize("content", [b"", b"ply\nnonsense", b"\x89PNG\r\n\x1a\n broken"])
def test_damage_is_told_by_name(tmp_path, name, read, content):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(content)
    with pytest.raises(GsdError, match=name):
        read(file, PLENTY)
