"""W&B: what is logged offline is read back from its files; online, a small server takes what the client sends."""

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from launch import LIGHT, ROOT, config, crash, launch, shell, start
from offline import offline
from omegaconf import OmegaConf
from trackers import history, lines
from wandb_server import Server

from gsd.errors import GsdError
from gsd.identity import signature
from gsd.logger.wandb import Wandb
from gsd.results.provenance import commit
from gsd.runner.mirror import cloud

KEY = "a" * 40
SWEEP = (
    *("-m", *LIGHT, "experiment=sds", "steps=5", "images_every=2", "evaluate_every=2", "seed=0,1", "prior.view_bias=3"),
    *("metric=[truth,clip_view]", "logger=[files,wandb]"),
)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Two runs of a real sweep, without an account: [(run folder, what W&B has of it)], stderr."""
    cwd = tmp_path_factory.mktemp("sweep")
    code, _, err = shell(cwd, *SWEEP)
    assert code == 0, err
    assert sorted(path.name for path in cwd.iterdir()) == ["multirun"]
    folders = [path.parent for path in sorted(cwd.glob("multirun/sds/*/DONE"))]
    assert len(folders) == 2
    read = [offline(folder) for folder in folders]
    assert [len(each) for each in read] == [1, 1]
    return [(folder, each) for folder, (each,) in zip(folders, read, strict=True)], err


@pytest.fixture
def run(sweep):
    """The folder of one, and what W&B has of it."""
    return sweep[0][0]


@pytest.fixture
def account(monkeypatch):
    """account(url): a key for a W&B at that address, as wandb reads its environment when it starts."""
    import wandb

    def at(url):
        monkeypatch.delenv("WANDB_MODE")
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", url)
        wandb.teardown()

    yield at
    wandb.teardown()


def numbers(row):
    """Of a row as W&B has it, what is neither its own nor media."""
    media = ("pictures/", "noise/histogram", "turntable", "points", "clip_view", "_")
    return {key: value for key, value in row.items() if not key.startswith(media)}


def test_every_number_of_the_folder_is_in_the_history(sweep):
    for folder, found in sweep[0]:
        rows = history(folder)
        assert len(rows) == 5 + 4
        assert [numbers(row) for row in found.rows[:-1]] == rows
        assert [row["_step"] for row in found.rows] == list(range(len(rows) + 1))
        assert found.exit_code == 0
        summary = json.loads((folder / "summary.json").read_text())
        last = {"step": 5, "prior_calls": summary["prior_calls"], "seconds": summary["seconds"]}
        assert numbers(found.rows[-1]) == last


def test_step_is_the_axis_of_all(run):
    assert run[1].metrics["*"] == "step"
    assert {"step", "prior_calls", "seconds"} <= run[1].metrics.keys()


def test_runs_of_a_sweep_are_filed_together(sweep):
    runs = [found.run for _, found in sweep[0]]
    assert [run.run_id for run in runs] == [folder.name for folder, _ in sweep[0]]
    assert {(run.project, run.run_group, run.job_type) for run in runs} == {("gsd", "sds", "sds")}
    assert sorted(run.display_name for run in runs) == ["seed=0", "seed=1"]
    assert {tuple(run.tags) for run in runs} == {tuple(filter(None, ("sds", commit())))}
    assert all(run.resume for run in runs)
    assert not any(run.git.ByteSize() or run.notes for run in runs)


def test_options_are_flat_and_the_config_is_whole(run):
    folder, found = run
    whole = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    assert found.config["config"] == whole
    assert found.config["config"]["prior"]["view_bias"] == 3
    flat = {"experiment": "sds", "noising": "random", "loss": "none", "metric": "truth,clip_view", "guidance": "sds"}
    assert {key: found.config[key] for key in flat} == flat
    assert all(found.config[key] == whole[key] for key in ("prompt", "seed", "steps"))


def test_the_summary_has_the_final_numbers(run):
    folder, found = run
    summary = json.loads((folder / "summary.json").read_text())
    final = {k: v for k, v in summary.items() if isinstance(v, int | float) and k != "seed"}
    assert {"psnr_aligned", "janus", "clip_margin", "prior_calls", "seconds", "peak_memory_mb"} <= final.keys()
    assert {key: found.summary[key] for key in final} == final


def test_pictures_are_the_folders(run):
    folder, found = run
    strips, fronts = (
        {row["step"]: row for row in found.rows if f"pictures/{name}/path" in row} for name in ("strip", "front")
    )
    assert (sorted(strips), sorted(fronts)) == ([0, 2, 4], [0, 2, 4, 5])
    for name, rows, file in (("strip", strips, "strips"), ("front", fronts, "frames")):
        for step, row in rows.items():
            media = found.folder / "files" / row[f"pictures/{name}/path"]
            assert media.read_bytes() == (folder / file / f"{step:06d}.png").read_bytes()
    video = found.folder / "files" / found.rows[-1]["turntable/path"]
    assert video.read_bytes() == (folder / "turntable.mp4").read_bytes()


def test_histograms_are_the_folders(run):
    folder, found = run
    counts = {line["step"]: line["noise"] for line in lines(folder, "histograms.jsonl")}
    shown = {row["step"]: row for row in found.rows if "noise/histogram/values" in row}
    assert {step: row["noise/histogram/values"] for step, row in shown.items()} == counts
    assert sorted(counts) == [0, 2, 4]
    edges = shown[0]["noise/histogram/bins"]
    assert (edges[0], edges[-1], len(edges)) == (-5, 5, 51)


def test_points_are_the_scenes(run):
    folder, found = run
    points = json.loads((found.folder / "files" / found.rows[-1]["points/path"]).read_text())
    assert np.allclose(points, cloud(folder / "scene.ply"), atol=1e-5)


def test_the_curves_of_fig_12_are_a_chart(run):
    folder, found = run
    row, summary = found.rows[-1], json.loads((folder / "summary.json").read_text())
    table = json.loads((found.folder / "files" / row["clip_view_table/path"]).read_text())
    assert table["columns"] == ["azimuth", "view", "similarity"]
    azimuths = [45.0 * k for k in range(8)]
    expected = [
        [azimuth, f"{word} view", value]
        for word in ("front", "side", "back")
        for azimuth, value in zip(azimuths, summary[f"clip_{word}"], strict=True)
    ]
    assert table["data"] == expected
    chart = found.config["_wandb/visualize/clip_view"]["panel_config"]
    assert chart["panelDefId"] == "wandb/lineseries/v0"
    assert chart["fieldSettings"] == {"step": "azimuth", "lineKey": "view", "lineVal": "similarity"}
    assert "clip_view_table" in json.dumps(chart["userQuery"])


def test_the_artifact_holds_scene_config_and_summary(run):
    folder, found = run
    (scene,) = [each for each in found.artifacts if each.type == "scene"]
    assert scene.name == f"scene-{folder.name}"
    contents = {entry.path: entry for entry in scene.manifest.contents}
    assert sorted(contents) == ["config.yaml", "scene.ply", "summary.json"]
    for name, entry in contents.items():
        digest = hashlib.md5((folder / name).read_bytes()).digest()
        assert entry.digest == base64.b64encode(digest).decode()
        assert entry.local_path == str(folder / name)
    # what waits for wandb sync lies in the folder too
    waiting = [entry.local_path for each in found.artifacts for entry in each.manifest.contents]
    assert all(path.startswith(str(folder)) for path in waiting)


def test_offline_is_said_once_a_run_with_how_to_send_it(sweep):
    runs, err = sweep
    for folder, found in runs:
        (line,) = [line for line in err.splitlines() if "W&B" in line and folder.name in line]
        assert line.startswith("W&B: offline, since WANDB_MODE=offline; ")
        assert line.endswith(f"wandb sync {found.folder}")
    assert not [line for line in err.splitlines() if "wandb" in line and not line.startswith("W&B: ")]


def test_other_modes_of_the_environment_are_understood_or_refused(monkeypatch):
    for mode, taken in (("dryrun", "offline"), ("run", "online"), ("offline", "offline")):
        monkeypatch.setenv("WANDB_MODE", mode)
        assert Wandb().mode == taken
    for mode, said in (("disabled", "take logger=files"), ("shared", "set it to online or offline")):
        monkeypatch.setenv("WANDB_MODE", mode)
        with pytest.raises(GsdError, match=f"WANDB_MODE={mode} .*{said}"):
            Wandb()


def test_no_login_is_offline_and_mode_online_is_refused(monkeypatch, tmp_path, capsys):
    import wandb

    monkeypatch.delenv("WANDB_MODE")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    wandb.teardown()
    monkeypatch.setattr("builtins.input", lambda *args: pytest.fail("asked for a login"))
    tracker = Wandb()
    assert (tracker.mode, tracker.offline_reason) == ("offline", "there is no login")
    with pytest.raises(GsdError, match=r"mode=online needs a login .* run `wandb login`, set WANDB_API_KEY, or take"):
        launch(tmp_path / "run", *LIGHT, "logger=wandb", "logger.wandb.mode=online")
    assert not (tmp_path / "run/metrics.jsonl").exists()
    monkeypatch.setenv("WANDB_API_KEY", "short")
    with pytest.raises(GsdError, match="login to W&B is damaged: WANDB_API_KEY invalid"):
        Wandb()
    monkeypatch.delenv("WANDB_API_KEY")
    (tmp_path / "netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {KEY}\n")
    (tmp_path / "netrc").chmod(0o600)
    assert Wandb().mode == Wandb(mode="online").mode == "online"
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert Wandb().mode == "offline"
    assert Wandb(mode="online").mode == "online"
    wandb.teardown()


def test_a_crashed_run_goes_on_offline_in_one_directory(tmp_path, monkeypatch):
    options = (*LIGHT, "steps=10", "evaluate_every=3", "logger=wandb")
    mend = crash(monkeypatch, 6)
    with pytest.raises(RuntimeError):
        launch(tmp_path / "run", *options)
    (first,) = offline(tmp_path / "run")
    assert first.exit_code == 1
    mend()
    folder = launch(tmp_path / "run", *options)
    (second,) = offline(folder)
    assert [numbers(row) for row in second.rows[:-1]] == history(folder)
    assert [numbers(row) for row in first.rows] == history(folder)[: len(first.rows)]  # nothing was taken back
    assert (first.run.run_id, len(first.rows)) == (second.run.run_id, 4 + 2)
    assert second.exit_code == 0


@pytest.mark.slow
def test_a_killed_run_goes_on_offline_in_one_directory(tmp_path):
    """SIGKILL of a real process, and what its wandb had then."""
    arguments = (*LIGHT, "steps=400", "checkpoint_every=20", "logger=wandb")
    process = start(tmp_path, *arguments)
    while not list(tmp_path.glob("outputs/*/*/checkpoint.pt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    time.sleep(1)
    process.kill()
    process.wait()
    (folder,) = tmp_path.glob("outputs/*/*")
    assert not (folder / "DONE").exists()
    time.sleep(1)  # wandb's own process notices
    (first,) = offline(folder, ended=False)
    code, _, err = shell(tmp_path, *arguments)
    assert code == 0, err
    (second,) = offline(folder)
    assert [numbers(row) for row in second.rows[:-1]] == history(folder)
    assert [numbers(row) for row in first.rows] == history(folder)[: len(first.rows)]


def test_online_a_run_goes_on_where_it_was(tmp_path, monkeypatch, account):
    options = (*LIGHT, "steps=10", "evaluate_every=3", "images_every=4", "logger=wandb")
    with Server() as server:
        account(server.url)
        mend = crash(monkeypatch, 6)
        with pytest.raises(RuntimeError):
            launch(tmp_path / "run", *options)
        assert len(server.history) == 4 + 2  # the rows of the checkpoint at step 4
        mend()
        folder = launch(tmp_path / "run", *options)
    assert [numbers(row) for row in server.history[:-1]] == history(folder)
    assert [row["_step"] for row in server.history] == list(range(10 + 5 + 1))
    assert server.exit_codes == [1, 0]
    assert "CreateArtifact" in server.operations
    assert not offline(folder)
    assert {(run["name"], run["project"]) for run in server.runs} == {(signature(config(*options)), "gsd")}


@pytest.mark.parametrize("answers", ["refused", "mute"])
def test_without_a_network_the_run_is_offline(tmp_path, capsys, account, answers):
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        if answers == "mute":
            port.listen(50)  # connects, and never answers
        account(f"http://127.0.0.1:{port.getsockname()[1]}")
        began = time.monotonic()
        folder = launch(tmp_path / "run", *LIGHT, "steps=4", "logger=wandb", "logger.wandb.init_timeout=1")
        assert time.monotonic() - began < 30  # a second for the network; the rest is the run
    assert (folder / "DONE").exists()
    (found,) = offline(folder)
    assert [numbers(row) for row in found.rows[:-1]] == history(folder)
    err = capsys.readouterr().err
    assert "W&B: offline, since the run could not be opened at W&B (" in err
    assert f"wandb sync {found.folder}" in err


def test_a_network_that_dies_holds_up_the_end_no_longer_than_told(tmp_path, monkeypatch, capsys, account):
    """Here of a run that a signal stops."""

    def stop():
        server.__exit__()
        os.kill(os.getpid(), signal.SIGTERM)

    with Server() as server:
        account(server.url)
        crash(monkeypatch, 3, stop)
        with pytest.raises(SystemExit):
            launch(tmp_path / "run", *LIGHT, "steps=8", "logger=wandb", "logger.wandb.finish_timeout=1")
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "logger=wandb" in line]
    assert "TimeoutError: uploads were not done after 1 s; what is left is sent by: wandb sync" in line
    (unsent,) = (tmp_path / "run").glob("wandb/run-*")
    assert str(unsent) in line
    assert not (tmp_path / "run/FAILED").exists()


@pytest.mark.slow
def test_a_run_is_done_whose_network_has_died(tmp_path, monkeypatch, capsys, account):
    """An artifact asks the server for its type, for which wandb itself waits about 20 s."""
    with Server() as server:
        account(server.url)
        crash(monkeypatch, 3, server.__exit__)
        began = time.monotonic()
        folder = launch(tmp_path / "run", *LIGHT, "steps=8", "logger=wandb", "logger.wandb.finish_timeout=1")
        assert time.monotonic() - began < 60
    assert (folder / "DONE").exists()
    assert "logger=wandb has failed (" in capsys.readouterr().err


def children(parent, name):
    """Processes of that parent whose names begin so."""
    listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid=,comm="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    return [int(pid) for pid, owner, called in rows if int(owner) == parent and called.startswith(name)]


@pytest.mark.slow
def test_wandb_whose_process_dies_is_left_alone(tmp_path):
    arguments = (*LIGHT, "steps=400", "checkpoint_every=20", "logger=wandb")
    process = start(tmp_path, *arguments)
    while not list(tmp_path.glob("outputs/*/*/checkpoint.pt")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    (core,) = children(process.pid, "wandb-core")
    for pid in (core, *children(core, "wandb-")):  # which would keep our pipe open for a minute
        os.kill(pid, signal.SIGKILL)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0
    assert list(tmp_path.glob("outputs/*/*/DONE"))
    assert "logger=wandb has failed (" in err


def test_no_tracker_is_imported_that_is_not_asked_for():
    """Nor what imports one; scipy.stats takes a second or two itself."""
    code = (
        "import sys, gsd.experiment, gsd.runner.finish, gsd.runner.mirror, gsd.runner.recorder;"
        "assert not {'wandb', 'tensorboard', 'trackio', 'scipy.stats'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
