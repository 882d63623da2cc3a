"""What a run says while it runs: a bar on a terminal, lines elsewhere, a table at the end, and nothing on stderr."""

import os
import pty
import re
import sys

import pytest
from hydra.types import RunMode
from launch import ROOT, SMALL, config, launch, shell
from quick_config import SMALLEST

from gsd.results.folder import RunFolder
from gsd.runner import progress
from gsd.runner.result import rows
from gsd.runner.run import run

LINE = r"step (\d+)/40, [\d.e+]+ steps/s(?:, [\dhmins ]+ left)?: consistency [-\d.e+]+"


def test_without_a_terminal_there_is_a_line_for_each_twentieth_of_the_run(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(progress, "LEAST_S", 0.0)
    folder = launch(tmp_path / "run", *SMALLEST, "steps=40", "metric=none")
    out = capfd.readouterr().out
    steps = [int(number) for number in re.findall(f"^{LINE}$", out, re.MULTILINE)]
    assert steps == list(range(2, 41, 2))
    logged = (folder / "run.log").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in logged] == [x for x in out.splitlines() if x.startswith("step")]


def test_lines_are_some_time_apart(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(progress, "LEAST_S", 1e9)
    monkeypatch.setattr(progress, "LINE_S", 1e9)
    launch(tmp_path / "run", *SMALLEST, "steps=20", "metric=none")
    assert re.findall("^step [^ ,]+", capfd.readouterr().out, re.MULTILINE) == ["step 20/20"]


def test_without_losses_a_line_ends_with_the_time_left(tmp_path, capfd, monkeypatch):
    """The score's number says nothing."""
    monkeypatch.setattr(progress, "LEAST_S", 0.0)
    launch(tmp_path / "run", *SMALLEST, "steps=40", "metric=none", "loss=none")
    lines = [line for line in capfd.readouterr().out.splitlines() if line.startswith("step ")]
    assert len(lines) == 20
    for line in lines:
        assert re.fullmatch(r"step \d+/40, [\d.e+]+ steps/s(, [\dhmins ]+ left)?", line)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (3900, "1 h 05 min")]
)
def test_time_left_is_readable(seconds, text):
    assert progress._duration(seconds) == text


def test_a_good_run_writes_nothing_to_standard_error(tmp_path):
    code, out, err = shell(tmp_path, *SMALL, "steps=3")
    assert (code, err) == (0, "")
    assert "PSNR to the true animal" in out


def test_on_a_terminal_there_is_a_bar_and_no_warning(tmp_path):
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(tmp_path)
        os.environ |= {"PYTHONPATH": str(ROOT), "TERM": "xterm", "COLUMNS": "120"}
        os.execv(sys.executable, [sys.executable, "-m", "gsd", *SMALL, "steps=300"])
    shown = b""
    while True:
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # the program has ended
            break
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    text = shown.decode()
    assert "steps/s" in text
    assert re.search(r"\d s left", text)
    assert "score" not in text
    assert "Warning" not in text
    assert "Done: " in text


TRUTH = {"psnr_aligned": 21.25, "empty": 0.0, "janus": 1.0, "face_count": 3.0, "front_count": 2.0, "fog": 0.0625}


def test_the_table_names_quality_faces_verdict_cost_and_files(tmp_path):
    folder = RunFolder(launch(tmp_path / "run", *SMALL, "steps=3")).path
    summary = TRUTH | {"view_error_deg": 40.0, "seconds": 12.34, "prior_calls": 80}
    table = dict(rows(summary, folder))
    assert table["PSNR to the true animal"] == "21.2 dB"
    assert table["faces (1 is right)"] == "3.0"
    assert table["alpha outside the animal"] == "0.062"
    assert table["verdict"] == "Janus: 3 fronts"
    assert table["time"] == "12.3 s, 80 images denoised"
    assert table["open"] == f"turntable.mp4, turntable_dark.mp4, scene.ply in {folder}"
    coherent = summary | {"janus": 0.0, "face_count": 1.0, "front_count": 1.0, "view_error_deg": 4.0}
    assert dict(rows(coherent, folder))["verdict"] == "coherent: 1 face"


def test_a_run_that_is_done_shows_its_table_again_and_runs_of_a_sweep_do_not(tmp_path, capfd):
    launch(tmp_path / "run", *SMALL, "steps=3")
    first = capfd.readouterr().out.splitlines()
    launch(tmp_path / "run", *SMALL, "steps=3")
    again = capfd.readouterr().out.splitlines()
    assert again[-1] == f"Already done: {tmp_path / 'run'}"
    assert again[:-1] == first[-len(again) : -1]
    assert [line[:7] for line in again] == [*(line[:7] for line in again[:-3]), "time   ", "open   ", "Already"]
    cfg = config(*SMALL, "steps=3", hydra=True)
    cfg.hydra.mode = RunMode.MULTIRUN
    run(cfg, tmp_path / "run")
    assert capfd.readouterr().out == f"Already done: {tmp_path / 'run'}\n"
