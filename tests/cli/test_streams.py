"""Nothing that is printed decides how a program ends."""

import os
import subprocess
import sys

import pytest
from forked import ROOT
from launch import SMALL, start

PRINTS = """
import sys
from gsd.cli.streams import endure
endure()
print("Zoë " * 50_000)
print("ünï", file=sys.stderr)
open(sys.argv[1], "w").write("not the standard output of anybody")
sys.exit(7)
"""
FATES = {
    "nobody reads": "| true",
    "closed": ">&-",
    "both closed": ">&- 2>&-",
    "stdin closed too": "<&- >&- 2>&-",
    "full": "> /dev/full 2>&1",
    "ascii": "> out.txt 2>&1",
}


@pytest.mark.parametrize("fate", FATES)
def test_the_exit_code_is_the_programs(tmp_path, fate):
    command = f'set -o pipefail; "$0" -c "$1" kept.txt {FATES[fate]}'
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    program = ["bash", "-c", command, sys.executable, PRINTS]
    done = subprocess.run(program, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (7, "")
    assert "Error" not in done.stderr
    assert (tmp_path / "kept.txt").read_text() == "not the standard output of anybody"
    if fate == "ascii":
        assert (tmp_path / "out.txt").read_text().startswith(r"Zo\xeb ")


def test_a_sweep_that_nobody_listens_to_tells_of_its_failure_all_the_same(tmp_path):
    ours, its = os.pipe()
    os.close(ours)
    arguments = ("-m", "seed=3,4", "init=point_cloud", "init.path='Münster.ply'", *SMALL[1:], "name='é'")
    process = start(tmp_path, *arguments, stdout=its, stderr=subprocess.DEVNULL)
    os.close(its)
    assert process.wait(timeout=120) == 1
    assert len(list(tmp_path.glob("multirun/é/*/FAILED"))) == 2
