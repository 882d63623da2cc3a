"""Adjacent-view distances: what they reward, what they cannot see, and LPIPS with weights from a file."""

import dataclasses

import pytest
import torch
from torch.nn.functional import interpolate

from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError
from gsd.geometry import turntable
from gsd.menagerie import load, trace
from gsd.metric.a_lpips import ALpips
from gsd.metric.parts.lpips import Lpips
from gsd.metric.parts.similarity import ssim
from gsd.types import Context

CPU = torch.device("cpu")
CAMERAS = turntable(60, 64)


def measure(show, cameras=CAMERAS):
    return ALpips(Context(), resolution=64)(show, cameras, "")


def test_it_is_the_mean_over_the_circle():
    show = trace(load()["owl"].figure(0), turntable(5, 64))
    pairs = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 0)]
    mean = sum(1 - float(ssim(show.rgb[[i]], show.rgb[[j]])) for i, j in pairs) / 5
    order = torch.tensor([3, 0, 4, 2, 1])
    mixed = dataclasses.replace(show, rgb=show.rgb[order], alpha=show.alpha[order])
    for found in (measure(show, turntable(5, 64)), measure(mixed, turntable(5, 64)[order])):
        assert found["a_dssim"] == pytest.approx(mean, rel=1e-5)


@pytest.mark.parametrize("name", ["owl", "corgi", "elephant"])
def test_flicker_is_worse_blur_is_rewarded_and_a_second_face_is_not_seen(name):
    figure = load()[name].figure(0)
    show = trace(figure, CAMERAS)
    true, twin = measure(show), measure(trace(figure.two_faced(), CAMERAS))
    assert twin["a_dssim"] < 1.25 * true["a_dssim"]  # nothing that gives it away
    noise = 0.1 * torch.randn(show.rgb.shape, generator=torch.Generator().manual_seed(0)) * (show.alpha > 0)
    noisy = measure(dataclasses.replace(show, rgb=(show.rgb + noise).clamp(0, 1)))
    assert noisy["a_dssim"] > 1.3 * true["a_dssim"]
    soft = interpolate(interpolate(show.rgb, (8, 8), mode="area"), (64, 64), mode="bicubic")
    blurred = measure(dataclasses.replace(show, rgb=soft))
    assert blurred["a_dssim"] < true["a_dssim"]
    assert blurred["sharpness"] < 0.7 * true["sharpness"]  # which is why it stands beside
    empty = measure(dataclasses.replace(show, rgb=torch.ones_like(show.rgb), alpha=torch.zeros_like(show.alpha)))
    assert empty == {"a_dssim": 0, "sharpness": 0}  # the best there is


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A file as torchvision's, with other values: downloads are not for tests."""
    mend_torchvision()
    from torchvision.models import alexnet

    pytest.importorskip("lpips")
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "alexnet.pth"
    torch.save(alexnet(weights=None).state_dict(), path)
    return path


def test_lpips_is_its_definition(weights):
    """Unit features of five layers, their squared differences weighted by the package's linear layers, averaged."""
    import lpips

    state = torch.load(weights, weights_only=True)
    linear = torch.load(f"{lpips.__path__[0]}/weights/v0.1/alex.pth", weights_only=True, map_location="cpu")
    show = trace(load()["owl"].figure(0), turntable(3, 64)).rgb
    other = show.roll(-1, 0)
    shift, scale = torch.tensor([-0.030, -0.088, -0.188]), torch.tensor([0.458, 0.448, 0.450])
    distance = torch.zeros(3)
    stages = [("0", 4, 2, True), ("3", 1, 2, True), ("6", 1, 1, True), ("8", 1, 1, False), ("10", 1, 1, False)]
    features = [((2 * x - 1) - shift[:, None, None]) / scale[:, None, None] for x in (show, other)]
    for layer, (name, stride, padding, pool) in enumerate(stages):
        maps = []
        for x in features:
            kernel, bias = state[f"features.{name}.weight"], state[f"features.{name}.bias"]
            maps.append(torch.nn.functional.conv2d(x, kernel, bias, stride, padding).relu())
        one, two = (m / (m.square().sum(1, keepdim=True).sqrt() + 1e-10) for m in maps)
        distance += ((one - two).square() * linear[f"lin{layer}.model.1.weight"]).sum(1).mean((1, 2))
        features = [torch.nn.functional.max_pool2d(m, 3, 2) if pool and layer < 2 else m for m in maps]
    assert torch.allclose(Lpips(weights, CPU)(show, other), distance, rtol=1e-4)
    cameras = turntable(3, 64)
    found = ALpips(Context(), str(weights), resolution=64)(trace(load()["owl"].figure(0), cameras), cameras, "")
    assert found.keys() == {"a_lpips", "sharpness"}
    assert found["a_lpips"] == pytest.approx(float(distance.mean()), rel=1e-4)


def test_what_is_missing_is_named(weights, tmp_path, monkeypatch):
    with pytest.raises(GsdError, match=r"nowhere.pth: no such file; give torchvision's AlexNet"):
        Lpips("/nowhere.pth", CPU)
    (tmp_path / "text.pth").write_text("hello")
    torch.save({"a": torch.zeros(1)}, tmp_path / "other.pth")
    for name in ("text.pth", "other.pth"):
        with pytest.raises(GsdError, match=f"{name} holds no AlexNet"):
            Lpips(tmp_path / name, CPU)
    monkeypatch.setitem(__import__("sys").modules, "lpips", None)
    with pytest.raises(GsdError, match=r"pip install -e '\.\[lpips\]'"):
        Lpips(weights, CPU)
