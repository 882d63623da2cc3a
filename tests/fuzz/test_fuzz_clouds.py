"""Clouds of strangers: all of their points are used, or a sentence says what is wrong."""

import traceback

import pytest
from fuzzing import HangError, at_most, fault, gathered, report
from made_clouds import cloud

from gsd.__main__ import main
from gsd.errors import GsdError
from gsd.init.point_cloud import PointCloudFile
from gsd.random import Stream
from gsd.rasterizer.ply import load_ply

pytestmark = pytest.mark.filterwarnings("ignore")
BY_COMMAND = 25  # one of so many through the program's own entry point, which takes half a second


def start(path, whole, rng):
    """A start from the file, which has all of its points inside the ball."""
    radius = rng.choice([0.6, 0.6, 3.0])
    made = PointCloudFile(str(path), radius=radius, yaw=rng.choice([0, 0, 77.0]))(Stream(0, "init"))
    assert made.xyz.isfinite().all()
    assert made.xyz.norm(dim=1).max() <= 1.001 * radius
    assert ((made.rgb >= 0) & (made.rgb <= 1)).all()
    if whole is not None:
        assert len(made.xyz) == whole
        assert whole == 1 or made.xyz.norm(dim=1).max() > 0.999 * radius


def ends_well(make, *arguments):
    try:
        with at_most():
            make(*arguments)
    except GsdError as error:
        return None if "\n" not in str(error) else f"several lines: {error}"
    except (Exception, HangError):
        return f"{make.__name__}\n{traceback.format_exc()[-1500:]}"
    return None


def tried(number, rng, tmp_path):
    """The faults of one case."""
    path, whole = cloud(rng, tmp_path)
    faults = [ends_well(start, path, whole, rng)]
    if path.suffix == ".ply":
        faults.append(ends_well(load_ply, path))
    if number % BY_COMMAND == 0:
        faults.append(fault(main, "init", "init=point_cloud", f"init.path={path}", "--out", tmp_path / "out.npz"))
    path.unlink()
    return [f"{path.name}: {text}" for text in faults if text]


@pytest.mark.parametrize("count", [50, pytest.param(500, marks=pytest.mark.slow)])
def test_clouds(count, tmp_path):
    found = gathered(tried, "clouds", count, tmp_path)
    assert not found, report(found)
