"""Distances of pictures against few-line twins and hand-made cases."""

import numpy as np
import pytest
import torch
from scipy.ndimage import prewitt
from torch.nn.functional import interpolate

from gsd.geometry import turntable
from gsd.menagerie import load, trace
from gsd.metric.parts.similarity import gmsd, psnr, sharpness, ssim


def noise(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def owls():
    return trace(load()["owl"].figure(0), turntable(6, 64))


def test_psnr():
    assert psnr(torch.tensor([1.0, 0.01, 0.0])).tolist() == [0, pytest.approx(20), pytest.approx(100)]


def test_gmsd_equals_its_definition():
    """The deviation, over pixels, of the similarity of Prewitt gradient magnitudes at half the resolution."""
    a, b = noise(3, 3, 20, 24), noise(3, 3, 20, 24, seed=1)
    for x, y, value in zip(a.numpy(), b.numpy(), gmsd(a, b).tolist(), strict=True):
        magnitudes = []
        for picture in (x, y):
            grey = 0.299 * picture[0] + 0.587 * picture[1] + 0.114 * picture[2]
            grey = grey.reshape(10, 2, 12, 2).mean((1, 3))
            magnitudes.append(np.hypot(*(prewitt(grey, axis, mode="nearest") / 3 for axis in (0, 1))))
        m, n = magnitudes
        similarity = (2 * m * n + 170 / 255**2) / (m**2 + n**2 + 170 / 255**2)
        assert value == pytest.approx(similarity.std(), abs=1e-6)


def test_ssim_of_a_shift_in_brightness():
    """Only the first factor is not 1 where a flat picture is brightened: (2 m n + c) / (m^2 + n^2 + c)."""
    a, b = torch.full((1, 3, 32, 32), 0.5), torch.full((1, 3, 32, 32), 0.7)
    assert ssim(a, b).tolist() == [pytest.approx((2 * 0.35 + 1e-4) / (0.25 + 0.49 + 1e-4), abs=1e-5)]


@pytest.mark.parametrize("spoil", ["noise", "blur", "shift"])
def test_both_say_equal_of_equals_and_grow_with_the_error(spoil):
    rgb = owls().rgb
    assert ssim(rgb, rgb).tolist() == [1.0] * 6
    assert gmsd(rgb, rgb).tolist() == [0.0] * 6

    def spoilt(amount):
        if spoil == "noise":
            return (rgb + 0.05 * amount * (noise(*rgb.shape) - 0.5)).clamp(0, 1)
        if spoil == "shift":
            return rgb.roll(amount, -1)
        return interpolate(interpolate(rgb, (64 // 2**amount,) * 2, mode="area"), (64, 64), mode="bilinear")

    worse = [spoilt(amount) for amount in (1, 2, 3)]
    similar, apart = [ssim(x, rgb).mean() for x in worse], [gmsd(x, rgb).mean() for x in worse]
    assert 1 > similar[0] > similar[1] > similar[2]
    assert 0 < apart[0] < apart[1] < apart[2] < 0.4


def test_sharpness_is_the_slope_on_the_object():
    ramp = 0.02 * torch.arange(32.0).expand(1, 3, 32, 32)
    inside = torch.zeros(1, 1, 32, 32)
    inside[..., 8:20, 8:20] = 1
    noisy = torch.where(inside > 0.5, ramp, noise(1, 3, 32, 32))
    core = torch.zeros_like(inside)
    core[..., 9:19, 9:19] = 1  # the slope at the border is not the ramp's
    assert float(sharpness(noisy, core)) == pytest.approx(0.02, abs=1e-6)
    assert float(sharpness(noisy, torch.zeros_like(core))) == 0
    show = owls()
    blurred = interpolate(interpolate(show.rgb, (16, 16), mode="area"), (64, 64), mode="bilinear")
    assert sharpness(blurred, show.alpha) < 0.7 * sharpness(show.rgb, show.alpha)
