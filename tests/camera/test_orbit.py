import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from gsd.camera.orbit import Orbit
from gsd.config import make
from gsd.errors import GsdError
from gsd.geometry import angle_between
from gsd.protocols import Camera
from gsd.random import Stream
from gsd.schedule import Step
from gsd.types import Context


@given(st.integers(1, 4), st.integers(1, 6), st.floats(0.5, 60), st.integers(0, 1000))
def test_groups_are_neighbours_that_share_everything_else(groups, views, delta, step):
    orbit = Orbit(groups=groups, views=views, delta_deg=delta, elevation=(-10, 40), fov=(30, 60), distance=(1.5, 3))
    cams = orbit(Stream(0, "camera", step))
    assert cams.group.tolist() == [g for g in range(groups) for _ in range(views)]
    expected = torch.tensor([[0, 1, -1, 2, -2, 3][i] * delta for i in range(views)])
    for g in range(groups):
        mine = cams[cams.group == g]
        assert torch.allclose(angle_between(mine.azimuth, mine.azimuth[:1] + expected), torch.zeros(views), atol=1e-3)
        for shared in (mine.elevation, mine.distance, mine.Ks[:, 0, 0]):
            assert (shared == shared[0]).all()
    assert ((cams.elevation >= -10) & (cams.elevation <= 40)).all()
    assert ((cams.distance >= 1.5) & (cams.distance <= 3)).all()


def test_stratified_anchors_cover_the_circle():
    anchors = Orbit(groups=8, views=1)(Stream(1, "camera")).azimuth.sort().values
    gaps = torch.diff(torch.cat([anchors, anchors[:1] + 360]))
    assert gaps.max() < 90  # neighbouring sectors of 45 degrees


def test_anchors_of_a_list_are_its_members_without_repetition():
    azimuths = (0.0, 20.0, 90.0, -40.0, 200.0)
    orbit, seen = Orbit(groups=3, views=3, azimuth=azimuths), []
    for step in range(200):
        cams = orbit(Stream(0, "camera", step))
        anchors = cams.azimuth[::3]
        apart = angle_between(anchors[:, None].expand(3, 5), torch.tensor(azimuths).expand(3, 5)).abs()
        assert (apart.amin(1) < 1e-4).all()
        which = apart.argmin(1)
        assert len(which.unique()) == 3
        seen.append(which)
        assert torch.allclose(angle_between(cams.azimuth[1::3], anchors), torch.full((3,), 5.0), atol=1e-3)
    counts = torch.cat(seen).bincount(minlength=5)
    assert ((counts - 120) ** 2 / 120).sum() < 18.5  # chi-square, 4 degrees of freedom, p = 0.001
    with pytest.raises(GsdError, match=r"camera.groups=6 is more than the 5 azimuths in camera.azimuth"):
        Orbit(groups=Step(kind="step", values=[2, 6], at=[5]), azimuth=azimuths)


def test_groups_and_pixels_follow_their_schedules():
    orbit = Orbit(
        resolution=Step(kind="step", values=[64, 256], at=[5]), groups=Step(kind="step", values=[2, 1], at=[5]), views=4
    )
    for step, groups, pixels in ((4, 2, 64), (5, 1, 256)):
        cams = orbit(Stream(0, "camera", step))
        assert (len(cams), int(cams.group.max()) + 1, cams.width, cams.height) == (4 * groups, groups, pixels, pixels)


@pytest.mark.parametrize("azimuth", ["stratified", "random"])
def test_anchors_are_uniform_over_steps(azimuth):
    orbit = Orbit(groups=2, views=1, azimuth=azimuth)
    angles = torch.cat([orbit(Stream(0, "camera", s)).azimuth for s in range(600)])
    counts = torch.histc(angles, 12, 0, 360)
    assert ((counts - 100) ** 2 / 100).sum() < 31.3  # chi-square, 11 degrees of freedom, p = 0.001


WRONG = [
    *({"azimuth": "north"}, {"azimuth": []}, {"azimuth": [400]}, {"elevation": (30, 10)}, {"fov": (0, 40)}),
    *({"distance": (-1, 2)}, {"elevation": (0, 95)}, {"groups": 0}),
]


@pytest.mark.parametrize("wrong", WRONG, ids=str)
def test_ranges_are_checked(wrong):
    with pytest.raises(GsdError, match=next(iter(wrong))):
        make(OmegaConf.create({"_target_": "gsd.camera.orbit.Orbit", **wrong}), "camera", Context(), Camera)
