"""gsd view: a run folder in the browser, finished or not."""

import shutil
import signal

import pytest
import torch
from launch import LIGHT, crash, launch, start
from onlookers import free_port, opened, problems, seen, shows, until

from gsd.tools.view.__main__ import main
from gsd.tools.view.followed import Followed

CPU = torch.device("cpu")
SIZE = (*LIGHT, "steps=6", "images_every=3", "representation.opacity=0.9")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("runs") / "run", *SIZE)


@pytest.mark.slow
def test_a_finished_run_opens_and_ends_with_ctrl_c(folder, new_tab):
    pytest.importorskip("viser")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    tab, port = new_tab(width=900, height=560), free_port()
    process = start(folder.parent, "view", folder, "--port", port)
    page = opened(tab, port)
    shows(page, "Step 6 of 6, done")
    shows(page, "Step 5: rgb, depth, noise, gradient")
    page.locator(".uplot canvas").first.wait_for()
    until(page, lambda: seen(page) > 0.3)
    assert not problems(tab)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (0, "")
    assert out == f"http://127.0.0.1:{port} shows {folder} after 6 steps; Ctrl+C ends this.\n"
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_run_is_followed_to_its_end(tmp_path, monkeypatch):
    mend = crash(monkeypatch, 5)
    with pytest.raises(RuntimeError):
        launch(tmp_path / "run", *SIZE)
    run = Followed(tmp_path / "run", 0, CPU)
    assert (run.step, run.status, run.numbers) == (4, "Step 4 of 6, failed", {})
    assert [record["step"] for record in run.metrics.new()] == [0, 1, 2, 3]
    assert [path.stem for path in run.strips] == ["000000", "000003"]
    assert not run.is_newer()
    mend()
    launch(tmp_path / "run", *SIZE)
    assert run.is_newer()
    run.reload()
    assert (run.step, run.status) == (6, "Step 6 of 6, done")
    assert run.numbers["psnr_aligned"] > 0
    assert [record["step"] for record in run.metrics.new()] == [4, 5]


def test_refusals(folder, tmp_path, refusal, monkeypatch):
    assert "is no run folder: it has no config.yaml" in refusal(main, tmp_path / "absent")
    assert "--port 0 must be from 1 to 65535" in refusal(main, folder, "--port", 0)
    assert "--particle 1: this run has 1" in refusal(main, folder, "--particle", 1)
    shutil.copy(folder / "config.yaml", tmp_path)
    assert "has no checkpoint yet; let the run go on" in refusal(main, tmp_path)
    monkeypatch.setattr("gsd.browser.server.find_spec", lambda name: None)
    assert refusal(main, folder) == "error: gsd view needs viser: pip install -e '.[viewer]' in a checkout."
