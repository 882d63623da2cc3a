"""trackio's database, read back by SQLite."""

import json
import os
import sqlite3
import sys
from pathlib import Path

import pytest
from launch import LIGHT, crash, launch
from trackers import history, lines

from gsd.errors import GsdError
from gsd.logger.trackio import Trackio


def test_a_crashed_run_is_there_once_and_whole(tmp_path, monkeypatch, capfd):
    pytest.importorskip("trackio")
    options = (*LIGHT, "steps=10", "images_every=3", "evaluate_every=3", "logger=trackio", "logger.trackio.project=p")
    mend = crash(monkeypatch, 6)
    with pytest.raises(RuntimeError):
        launch(tmp_path / "run", *options)
    mend()
    folder = launch(tmp_path / "run", *options)
    captured = capfd.readouterr()
    assert [line for line in captured.out.splitlines() if "rackio" in line] == [
        "trackio: to look at the run: trackio show --project p"
    ] * 2
    assert "rackio" not in captured.err
    place = Path(os.environ["TRACKIO_DIR"])
    with sqlite3.connect(place / "p.db") as database:
        found = database.execute("SELECT step, metrics FROM metrics ORDER BY id")
        rows = [(step, json.loads(row)) for step, row in found]
        ((config,),) = database.execute("SELECT config FROM configs").fetchall()
        ((name,),) = database.execute("SELECT DISTINCT run_name FROM metrics").fetchall()
    *told, (last, final) = rows
    numbers = [{"step": step} | {k: v for k, v in row.items() if not isinstance(v, dict)} for step, row in told]
    assert numbers == history(folder)
    assert name.endswith(")")
    assert json.loads(config)["noising"] == "consistent"

    cells = [(step, key, value) for step, row in told for key, value in row.items() if "file_path" in str(value)]
    media = {(step, key): place / "media" / value["file_path"] for step, key, value in cells}
    files = {("pictures/strip", "strips"): (0, 3, 6, 9), ("pictures/front", "frames"): (0, 3, 6, 9, 10)}
    assert sorted(media) == sorted((step, key) for (key, _), steps in files.items() for step in steps)
    for (key, folder_name), steps in files.items():
        for step in steps:
            assert media[step, key].read_bytes() == (folder / folder_name / f"{step:06d}.png").read_bytes()
    counts = {line["step"]: line["noise"] for line in lines(folder, "histograms.jsonl")}
    assert {step: row["noise/histogram"]["values"] for step, row in told if "noise/histogram" in row} == counts

    summary = json.loads((folder / "summary.json").read_text())
    assert last == 10
    assert final["psnr_aligned"] == summary["psnr_aligned"]
    scene, video = (place / "media" / final[key]["file_path"] for key in ("scene", "turntable"))
    assert video.read_bytes() == (folder / "turntable.mp4").read_bytes()
    assert scene.suffix == ".ply"


def test_without_the_package_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(GsdError, match=r"needs trackio: pip install -e '\.\[trackio\]'"):
        Trackio()
