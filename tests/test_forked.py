"""The programs of the tests are forks; what they do is what `python -m gsd` does."""

import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack

import pytest
from forked import Program
from launch import ROOT, SMALL, same, start


def real(cwd, *arguments):
    """As `launch.start`, but a process that imports everything itself, under another seed of hashes."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-m", "gsd", *arguments], cwd=cwd, env=environment, **pipes)


def without_clock(text):
    """Less the lines whose number and text depend on the time."""
    return re.sub(r"^(step|time) .*\n", "", text, flags=re.MULTILINE)


@pytest.mark.parametrize(
    "arguments", [[*SMALL, "steps=5", "images_every=2"], [*SMALL, "noising=consistant"], ["reprot"]]
)
def test_a_fork_says_and_leaves_what_the_real_program_does(tmp_path, arguments):
    said = []
    for how in (real, start):
        (tmp_path / how.__name__).mkdir()
        process = how(tmp_path / how.__name__, *arguments)
        out, err = process.communicate(timeout=300)
        said.append((process.returncode, without_clock(out.replace(f"/{how.__name__}/", "/")), err))
    assert said[0] == said[1]
    for one in tmp_path.glob("real/outputs/*/*"):
        other = tmp_path / "start" / one.relative_to(tmp_path / "real")
        same(one, other)
        files = [sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in (one, other)]
        assert files[0] == files[1]


def test_a_fork_is_a_process(tmp_path):
    """Its pid takes signals, its end is told by number, and what it was given is closed with it."""
    with ExitStack() as entered:
        forks = [entered.enter_context(start(tmp_path, *SMALL, "steps=100000", f"seed={k}")) for k in range(2)]
        assert [fork.poll() for fork in forks] == [None, None]
        with pytest.raises(subprocess.TimeoutExpired):
            forks[0].wait(0.01)
        os.kill(forks[0].pid, signal.SIGKILL)
        assert forks[0].wait(60) == -signal.SIGKILL
        assert forks[0].stdout.read() == ""
        forks[1].terminate()
        assert forks[1].wait(60) in (-signal.SIGTERM, 128 + signal.SIGTERM)  # before, or after, it listens


def test_a_fork_has_the_pipes_the_folder_and_the_environment_that_it_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("GSD_CONF", "missing")
    with (tmp_path / "said").open("w") as file:
        assert Program(["x=1"], cwd=tmp_path, stdout=file, stderr=subprocess.STDOUT).wait(60) == 1
    assert f"The config folder {tmp_path}/missing does not exist" in (tmp_path / "said").read_text()
