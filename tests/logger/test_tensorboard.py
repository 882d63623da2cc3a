"""TensorBoard's event files, read back by its own reader."""

import io
import json
import sys

import numpy as np
import pytest
from launch import LIGHT, crash, launch
from PIL import Image
from trackers import history, lines

from gsd.errors import GsdError
from gsd.logger.tensorboard import TensorBoard

pytest.importorskip("tensorboard")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run that has crashed and gone on, and its events."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    options = ("steps=10", "images_every=3", "evaluate_every=3", "metric=[truth,clip_view]", "logger=tensorboard")
    with pytest.MonkeyPatch.context() as patch:
        crash(patch, 6)
        folder = tmp_path_factory.mktemp("tensorboard") / "run"
        with pytest.raises(RuntimeError):
            launch(folder, *LIGHT, *options)
    launch(folder, *LIGHT, *options)
    (place,) = (folder / "tensorboard").iterdir()
    assert place.name.endswith("steps=10")
    events = EventAccumulator(str(place), size_guidance={"scalars": 0, "images": 0, "histograms": 0})
    return folder, events.Reload()


def test_every_number_is_there_once(run):
    folder, events = run
    rows = history(folder)
    names = {name for row in rows for name in row} - {"step", "prior_calls", "seconds"}
    told = {tag for tag in events.Tags()["scalars"] if not tag.startswith(("final/", "clip_view/"))}
    assert told == names
    for name in names:
        expected = [(row["step"], row["seconds"], np.float32(row[name])) for row in rows if name in row]
        assert [(e.step, e.wall_time, np.float32(e.value)) for e in events.Scalars(name)] == expected


def test_pictures_and_histograms_are_the_folders(run):
    folder, events = run
    for tag, place, steps in (("strip", "strips", [0, 3, 6, 9]), ("front", "frames", [0, 3, 6, 9, 10])):
        shown = events.Images(f"pictures/{tag}")
        assert [each.step for each in shown] == steps
        for each in shown:
            ours = np.asarray(Image.open(folder / place / f"{each.step:06d}.png"))
            assert np.array_equal(np.asarray(Image.open(io.BytesIO(each.encoded_image_string))), ours)
    counts = {line["step"]: line["noise"] for line in lines(folder, "histograms.jsonl")}
    assert {each.step: each.histogram_value.bucket for each in events.Histograms("noise/histogram")} == counts


def test_final_numbers_curves_and_options(run):
    folder, events = run
    summary = json.loads((folder / "summary.json").read_text())
    for name in ("psnr_aligned", "janus", "prior_calls", "peak_memory_mb"):
        (event,) = events.Scalars(f"final/{name}")
        assert (event.step, np.float32(event.value)) == (10, np.float32(summary[name]))
    curve = events.Scalars("clip_view/back view")
    assert [each.step for each in curve] == [0, 45, 90, 135, 180, 225, 270, 315]
    assert np.allclose([each.value for each in curve], summary["clip_back"])
    content = b"".join(events.PluginTagToContent("hparams").values())
    assert b"noising" in content
    assert b"consistent" in content


def test_without_the_package_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(GsdError, match=r"needs TensorBoard: pip install -e '\.\[tensorboard\]'"):
        TensorBoard()
