"""Options in a folder outside the repository: the one that docs/add-a-method.md shows, copied elsewhere."""

import json
import os
import shutil
import subprocess
import textwrap

import pytest
from forked import take_over
from launch import ROOT, SMALL, shell

from gsd.cli.folders import VARIABLE
from gsd.cli.hydra import compose
from gsd.errors import GsdError
from gsd.experiment import build
from gsd.results.sweep_folder import SweepFolder
from gsd.tools.sweep.control import retry

EXAMPLE = ROOT / "docs" / "example"
OPTIONS = ("noising=shared", "guidance=unit", "loss=[consistency,smooth_depth]")
WAYS = {  # arguments and GSD_CONF
    "--config-dir FOLDER": (["--config-dir", "{}"], ""),
    "--config-dir=FOLDER": (["--config-dir={}"], ""),
    "GSD_CONF": ([], "{}"),
    "hydra.searchpath": (["hydra.searchpath=[file://{}]"], ""),
}
MORE = {  # what the example has not
    "more.py": """
        import torch
        from gsd.types import PointCloud

        class Corner:
            def __call__(self, rng):
                return PointCloud(torch.full((7, 3), 0.25), torch.zeros(7, 3))

        class Brightness:
            def __init__(self, times: float = 1.0):
                self.times = times

            def __call__(self, turntable, cameras, prompt):
                return {"brightness": self.times * float(turntable.rgb.mean())}
    """,
    "init/corner.yaml": "# Points in a corner\n_target_: more.Corner\n",
    "metric/brightness.yaml": (
        "# @package metric.brightness\n# Mean of all pixels\n_target_: more.Brightness\ntimes: 1.0\n"
    ),
}


def write(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    return folder


@pytest.fixture
def mine(tmp_path_factory):
    """The example, outside the repository."""
    return shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("elsewhere") / "mine")


@pytest.mark.parametrize("way", WAYS)
def test_a_run_and_its_help_find_them(way, gsd, mine, tmp_path, monkeypatch):
    arguments, variable = WAYS[way]
    monkeypatch.setenv(VARIABLE, variable.format(mine))
    arguments = [argument.format(mine) for argument in arguments]
    assert "shared             One noise map for all views" in gsd(*arguments, "--help")[1]
    code, _, err = gsd(*SMALL, *OPTIONS, "steps=2", "metric=none", *arguments)
    assert code == 0, err
    (done,) = tmp_path.glob("outputs/*/*/DONE")
    config = (done.parent / "config.yaml").read_text()
    for target in ("mine.Shared", "mine.Unit", "mine.SmoothDepth"):
        assert f"_target_: {target}" in config
    assert "loss/smooth_depth" in (done.parent / "metrics.jsonl").read_text()
    code, _, _ = gsd("noising=shered", *arguments)
    assert code.endswith("did you mean shared?")


def test_programs_that_compose_find_them(gsd, mine, tmp_path):
    code, out, _ = gsd("noising-check", "noising=shared", "noising.fresh=0.5", "--draws", 20, "--config-dir", mine)
    assert code == 0
    assert "shared noising.fresh=0.5: claims unit, white" in out
    write(mine, MORE)
    code, out, err = gsd("--config-dir", mine, "init", "init=corner", "--out", "cloud.ply")
    assert code == 0, err
    assert (code, out.splitlines()[-1][:8]) == (0, "7 points")
    assert gsd(*SMALL, *OPTIONS, "steps=1", "metric=none", f"--config-dir={mine}")[0] == 0
    (run,) = tmp_path.glob("outputs/*/*")
    code, out, err = gsd("evaluate", run, "metric=brightness", "metric.brightness.times=2", f"--config-dir={mine}")
    assert code == 0, err
    assert 0 < json.loads((run / "evaluation.json").read_text())["metrics"]["brightness"]["numbers"]["brightness"] <= 2


def test_python_finds_them(gsd, mine):
    """`gsd` is asked for, since it puts the environment back."""
    cfg = compose(*SMALL, *OPTIONS, f"hydra.searchpath=[file://{mine}]")
    assert type(build(cfg).noising).__name__ == "Shared"


def test_a_retry_from_another_shell_and_its_workers_find_them(mine, tmp_path, monkeypatch, capfd):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="pip install -e '.[cluster]'")
    sweep = ["-m", *SMALL, *OPTIONS[1:], "steps=1", "noising=shared,random", "metric=none"]
    code, out, err = shell(tmp_path, "--config-dir", os.path.relpath(mine, tmp_path), *sweep)
    assert code == 0, err
    assert out.endswith("2 runs: 2 done.\n")
    folder = tmp_path / "multirun/noising"
    (recorded,) = SweepFolder(folder).sweeps
    assert recorded.folders == [str(mine)]
    shutil.rmtree(next(folder.glob("*/DONE")).parent)
    with pytest.raises(GsdError, match=f"sweep.json asks for the config folder '{mine}', .* --config-dir {mine}"):
        retry(SweepFolder(folder), [])
    with monkeypatch.context() as patch:
        take_over(patch)
        patch.setenv("GSD_CONF", str(mine))
        assert retry(SweepFolder(folder), ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]) == 0
    assert capfd.readouterr().out.endswith("2 runs: 2 done.\n")


def test_a_tick_finds_them(gsd, mine, tmp_path):
    settings = [*SMALL, *OPTIONS, "experiment=nightly_ablation", "logger=files", "seed=0", "steps=1", "metric=none"]
    settings += ["name=n"]
    code, _, err = gsd("sweep", "schedule", *settings, "--config-dir", mine, "--every", "0 2 * * *")
    assert code == 0, err
    done = subprocess.run(
        [tmp_path / "multirun/n/tick.sh"], cwd="/", env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = tmp_path.glob("multirun/n/*/*/DONE")
    assert "_target_: mine.Shared" in (run.parent / "config.yaml").read_text()
    (recorded,) = SweepFolder(run.parents[1]).sweeps
    assert recorded.overrides == settings
    assert recorded.folders == [str(mine)]


@pytest.mark.parametrize("command", [[], ["init", "--out", "x.ply"], ["noising-check"], ["sweep", "retry", "x"]])
def test_folders_that_cannot_be_meant_are_refused_before_any_work(gsd, mine, tmp_path, command):
    nowhere = tmp_path / "nowhere"
    missing = f"error: The config folder {nowhere} does not exist; --config-dir and GSD_CONF take folders."
    assert gsd(*command, "--config-dir", nowhere)[0] == missing
    assert gsd(*command, f"hydra.searchpath=[file://{nowhere}]")[0] == missing
    assert gsd(*command, "--config-dir")[0] == "error: --config-dir needs a folder: --config-dir FOLDER."
    third = write(tmp_path / "third", {"mine.py": "", "noising/third.yaml": "# Another\n_target_: mine.Third\n"})
    same = f"error: mine.py is both in {mine} and in {third}; rename one."
    assert gsd(*command, "--config-dir", mine, "--config-dir", third)[0] == same
    other = write(tmp_path / "other", {"guidance/unit.yaml": "# Another\n_target_: other.Unit\n"})
    twice = f"error: The option guidance/unit is both in {mine} and in {other}; rename one."
    assert gsd(*command, "--config-dir", mine, "--config-dir", other)[0] == twice
    ours = write(tmp_path / "ours", {"noising/random.yaml": "# Another\n_target_: other.Random\n"})
    assert gsd(*command, "--config-dir", ours)[0].startswith("error: The option noising/random is both in ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "ours", "third"]


def test_a_class_that_is_not_there_is_named(gsd, mine):
    code, _, _ = gsd(*SMALL, "noising=shared", "noising._target_=mine.Shred", "--config-dir", mine)
    assert code.startswith(
        "error: noising._target_=mine.Shred does not name a class that can be imported: module 'mine' has no attribute "
        "'Shred'. "
    )
    assert code.count("\n") == 0
    code, _, _ = gsd(*SMALL, "noising=random", "noising._target_=nowhere.Shared")
    assert "No module named 'nowhere'. Your own modules are found in the folders of --config-dir and GSD_CONF" in code


def test_the_page_shows_the_files_as_they_are():
    page = (ROOT / "docs" / "add-a-method.md").read_text()
    files = [path for path in EXAMPLE.rglob("*.*") if "__pycache__" not in path.parts]
    assert len(files) == 4
    for path in files:
        assert path.read_text() in page


def test_a_folder_that_is_refused_is_not_kept(tmp_path, monkeypatch):
    """In a notebook the next config is composed as if it had not been named."""
    monkeypatch.delenv("GSD_CONF", raising=False)
    with pytest.raises(GsdError, match="does not exist"):
        compose("--config-dir", str(tmp_path / "misspelt"))
    assert compose("seed=5").seed == 5
