"""gsd evaluate on real runs, stopped runs and what is no run at all."""

import json
import shutil
import sys

import pytest
import torch
import yaml
from launch import LIGHT, launch

from gsd.results.folder import RunFolder
from gsd.results.runs import Run
from gsd.tools.evaluate import main

FEW = (*LIGHT, "steps=4")


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("runs") / "run", *FEW)


@pytest.fixture
def folder(original, tmp_path):
    return shutil.copytree(original, tmp_path / "sweep" / "one")


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["gsd.tools.evaluate", *(str(a) for a in arguments)])
    main()


def refusal(monkeypatch, *arguments):
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, *arguments)
    return str(stopped.value)


def test_by_default_it_says_again_what_the_run_said(folder, monkeypatch, capsys):
    before = (folder / "summary.json").read_bytes()
    said = Run(folder).summary
    command(monkeypatch, folder.parent)
    table = capsys.readouterr().out
    assert "psnr aligned" in table
    assert "sweep/one" in table
    assert (folder / "summary.json").read_bytes() == before
    found = json.loads((folder / "evaluation.json").read_text())
    assert found["step"] == 4
    truth = found["metrics"]["truth"]
    assert (truth["views"], truth["resolution"]) == (8, 16)
    assert truth["numbers"] == {key: said[key] for key in truth["numbers"]}
    assert len(truth["numbers"]) > 10
    assert Run(folder).summary == said | {"evaluated": {"truth": {"views": 8, "resolution": 16}}}


def test_other_metrics_turntables_and_settings_are_added(folder, monkeypatch):
    said = Run(folder).summary
    command(monkeypatch, folder, "metric=reprojection,a_lpips", "metric.reprojection.tolerance=0.2", "--views", 12)
    added = Run(folder).summary
    assert added["psnr_aligned"] == said["psnr_aligned"]
    assert {"photometric_error", "see_through", "a_dssim", "sharpness"} <= added.keys() - said.keys()
    command(monkeypatch, "metric.truth.resolution=32", folder, "--resolution", 48)
    both = Run(folder).summary
    assert both["psnr_aligned"] != said["psnr_aligned"]
    assert both["photometric_error"] == added["photometric_error"]
    assert both["evaluated"] == {
        "reprojection": {"views": 12, "resolution": 16},
        "a_lpips": {"views": 12, "resolution": 16},
        "truth": {"views": 8, "resolution": 48},
    }


def test_what_was_measured_of_an_earlier_checkpoint_goes(folder, monkeypatch):
    command(monkeypatch, folder, "metric=reprojection")
    state = RunFolder(folder).read_checkpoint()
    RunFolder(folder).save_checkpoint(state | {"step": 3})
    command(monkeypatch, folder, "metric=a_lpips")
    assert list(Run(folder).evaluated["metrics"]) == ["a_lpips"]
    (folder / "DONE").unlink()
    assert Run(folder).summary == {}  # of a run that goes on there is no summary
    launch(folder, *FEW)
    assert not (folder / "evaluation.json").exists()
    assert "a_dssim" not in Run(folder).summary


def test_every_particle_is_measured(tmp_path, monkeypatch):
    folder = launch(tmp_path / "run", *FEW, "particles=2")
    said = Run(folder).summary
    command(monkeypatch, folder)
    again = Run(folder).summary
    assert again["psnr_aligned"] == said["psnr_aligned"]
    assert again["particles"] == said["particles"]
    assert said["particles"][0] != said["particles"][1]


def test_damaged_runs_are_named_and_passed_over(folder, monkeypatch, capsys):
    home = folder.parent
    for name in ("missing", "nonsense", "other", "no_config", "bicycle", "yaml"):
        shutil.copytree(folder, home / name)
    (home / "missing" / "checkpoint.pt").unlink()
    (home / "nonsense" / "checkpoint.pt").write_bytes(b"nonsense")
    torch.save({"step": 4}, home / "other" / "checkpoint.pt")
    (home / "other" / "checkpoint.digest").unlink()
    (home / "no_config" / "config.yaml").unlink()
    (home / "yaml" / "config.yaml").write_text("a: [")
    config = home / "bicycle" / "config.yaml"
    config.write_text(config.read_text().replace("a full body of a cat with a hat", "a bicycle"))
    command(monkeypatch, home)
    out, err = capsys.readouterr()
    assert "sweep/one" in out
    for name, words in {
        "missing": "has no checkpoint yet",
        "nonsense": "checkpoint.pt is damaged",
        "other": "does not fit its config.yaml (KeyError",
        "no_config": "config.yaml is missing",
        "bicycle": "has no 'a bicycle'",
        "yaml": "config.yaml cannot be read",
    }.items():
        (line,) = [x for x in err.splitlines() if x.startswith(str(home / name))]
        assert words in line
        assert line.endswith("Left out.")
        assert not (home / name / "evaluation.json").exists()
    assert (folder / "evaluation.json").exists()
    assert "no run could be evaluated" in refusal(monkeypatch, home / "missing")


def test_mistakes_are_refused(folder, tmp_path, monkeypatch):
    assert "does not exist" in refusal(monkeypatch, tmp_path / "nowhere")
    assert "No folder is given" in refusal(monkeypatch, "metric=truth")
    assert "did you mean truth?" in refusal(monkeypatch, folder, "metric.truht.variants=1")
    assert "did you mean variants?" in refusal(monkeypatch, folder, "metric.truth.variant=1")
    assert "did you mean reprojection?" in refusal(monkeypatch, folder, "metric=reprojektion")
    assert "--views 3: must be from 8 to 3600" in refusal(monkeypatch, folder, "--views", 3)
    refusal(monkeypatch, folder, "metric=none")
    assert not (folder / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("turntable", "said"),
    [
        ({"views": 10**8}, "turntable.views=100000000: input should be less than or equal to 3600"),
        ({"fov": 1e6}, "turntable.fov=1000000.0"),
        ({"views": 3600, "resolution": 4096}, "GB; give fewer by --views and --resolution."),
    ],
)
def test_a_turntable_that_a_foreign_config_asks_for_is_bounded(folder, tmp_path, monkeypatch, capsys, turntable, said):
    copied = shutil.copytree(folder, tmp_path / "run")
    config = yaml.safe_load((copied / "config.yaml").read_text())
    config["turntable"] |= turntable
    (copied / "config.yaml").write_text(yaml.safe_dump(config))
    assert "no run could be evaluated" in refusal(monkeypatch, copied, "metric=reprojection")
    assert said in capsys.readouterr().err
