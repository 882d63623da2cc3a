"""Damaged run and sweep folders through every program that reads them: a result or a sentence, and nothing lost."""

import csv
import hashlib
import os
import shutil
import traceback
from pathlib import Path

import pytest
import torch
from damage import hurt
from fuzzing import HangError, at_most, fault, gathered, report
from launch import SMALL, config, launch
from made_sweep import sweep

from gsd.__main__ import main
from gsd.errors import GsdError
from gsd.results.sweep_folder import SweepFolder
from gsd.runner.run import run
from gsd.tools.view.followed import Followed

pytestmark = pytest.mark.filterwarnings("ignore")
SIZE = (*SMALL, "steps=2", "images_every=1", "evaluate_every=1", "checkpoint_every=1", "metric=reprojection")
GONE_ON = (*SIZE, "seed=1")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """Two finished runs and one that was stopped, which a sweep has asked for."""
    folder = tmp_path_factory.mktemp("fuzz") / "sweep"
    launch(folder / "run0", *SIZE)
    shutil.copytree(folder / "run0", folder / "run1")
    for name, before, after in (("config.yaml", "seed: 0", "seed: 1"), ("summary.json", '"seed": 0', '"seed": 1')):
        file = folder / "run1" / name
        file.write_text(file.read_text().replace(before, after))
    shutil.copytree(folder / "run1", folder / "stopped")
    for name in ("DONE", "summary.json", "turntable.mp4"):
        (folder / "stopped" / name).unlink()
    SweepFolder(folder).begin(sweep({name: [f"seed={k}"] for k, name in enumerate(("run0", "run1", "stopped"))}))
    return folder


def commands(rng, folder, template, out):
    """The cheap ones always, and one of those that take longer."""
    one = folder / "run1"
    yield "sweep", "status", folder
    yield "sweep", "summary", folder
    yield "dashboard", folder, "--dry-run"
    yield rng.choice(
        [
            ("evaluate", one, "metric=reprojection", "--views", 8, "--resolution", 8),
            ("evaluate", folder, "--views", 8, "--resolution", 8),
            ("export", one, "--format", "ply", "--out", out / "a.ply"),
            ("export", one, "--format", "glb", "--resolution", 8, "--out", out / "a.glb"),
            ("report", one, "--out", out / "a.html"),
            ("study", "make", folder, template, "--out", out / "study"),
        ]
    )


def seen(folder):
    """What gsd view and a resumed run make of it, without a browser."""
    followed = Followed(folder, 0, torch.device("cpu"))
    return followed.status, followed.numbers, followed.new_records(), followed.strips, followed.prompt


def ends_well(make, *arguments):
    try:
        with at_most():
            make(*arguments)
    except GsdError:
        return None
    except (Exception, HangError):
        return f"{make.__name__}\n{traceback.format_exc()[-1500:]}"
    return None


def digests(folder: Path):
    return {path: hashlib.sha256(path.read_bytes()).digest() for path in sorted(folder.rglob("*")) if path.is_file()}


def lost(folder: Path, before):
    """What a program that only reads has changed, and whether the whole run is still among the results."""
    changed = [str(path) for path, digest in before.items() if digests(folder / "run0").get(path) != digest]
    table = folder / "summary.csv"
    if table.is_file():
        rows = [row for row in csv.DictReader(table.open(encoding="utf-8")) if row["run"].endswith("run0")]
        changed += [] if [row["status"] for row in rows] == ["done"] else ["run0 is missing in summary.csv"]
    return changed and "lost\n" + ", ".join(changed)


def tried(number, rng, template, tmp_path):
    """The faults of one case."""
    folder, out = tmp_path / f"{number}/sweep", tmp_path / f"{number}/out"
    shutil.copytree(template, folder)
    out.mkdir()
    what = hurt(rng, rng.choice([folder / "run1", folder / "run1", folder / "stopped", folder]))
    whole = (folder / "run0/summary.json").is_file() and "run0" not in what
    before = digests(folder / "run0") if whole else {}
    faults = [fault(main, *command) for command in commands(rng, folder, template, out)]
    faults.append(ends_well(seen, folder / "run1"))
    if "stopped" in what and rng.random() < 0.5:
        faults.append(ends_well(run, config(*GONE_ON, hydra=True), folder / "stopped"))
    faults.append(lost(folder, before) if whole else None)
    shutil.rmtree(tmp_path / f"{number}", ignore_errors=True)
    return [f"{what}: {each}" for each in faults if each]


@pytest.mark.parametrize("name", ["config.yaml", "metrics.jsonl", "checkpoint.pt", "summary.json", "DONE", ".lock"])
@pytest.mark.parametrize("kind", ["a pipe", "/dev/zero"])
def test_what_gives_no_end_is_no_file(template, tmp_path, name, kind):
    """A pipe in somebody else's folder would be waited for, and a device read until memory is full."""
    folder = shutil.copytree(template, tmp_path / "sweep")
    (folder / "run1" / name).unlink()
    os.mkfifo(folder / "run1" / name) if kind == "a pipe" else (folder / "run1" / name).symlink_to(kind)
    (tmp_path / "out").mkdir()
    out = tmp_path / "out"
    for command in (
        ("sweep", "summary", folder),
        ("report", folder, "--out", out / "a.html"),
        ("export", folder / "run1", "--format", "ply", "--out", out / "a.ply"),
    ):
        assert fault(main, *command) is None
    assert ends_well(seen, folder / "run1") is None
    assert ends_well(run, config(*GONE_ON, hydra=True), folder / "run1") is None


@pytest.mark.parametrize("count", [3, pytest.param(500, marks=pytest.mark.slow)])
def test_damaged_folders(count, template, tmp_path):
    found = gathered(tried, "folders", count, template, tmp_path)
    assert not found, report(found)
