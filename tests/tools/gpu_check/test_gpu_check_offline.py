"""gsd gpu-check where little is installed: what tools/collect_wheels.py leaves out is not imported."""

import os
import subprocess
import sys

import pytest
from launch import ROOT, SMALL

sys.path.append(str(ROOT / "tools"))
import collect_wheels

NEEDED = ("hydra-core", "omegaconf", "antlr4-python3-runtime", "pydantic", "diffusers", "gsplat", "plyfile", "rich")
ABSENT = """
import sys

for module in {absent}:
    sys.modules[module] = None  # which an import refuses, and a look whether it is there does not find

import gsd
from gsd.tools.gpu_check.stages import STAGES

"""
STEP = """
for state in gsd.optimise(gsd.build(gsd.compose({overrides}))):
    print(float(state.terms["score"]))
"""


def run_without_what_is_left_out(code):
    """What a Python prints that has none of the packages which are not collected."""
    code = ABSENT.format(absent=list(collect_wheels.LEFT_OUT.values())) + code
    command = [sys.executable, "-c", code]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_left_out_is_not_imported():
    assert run_without_what_is_left_out("print(len(STAGES), gsd.compose().prompt)").startswith("12 a full body")


@pytest.mark.slow
def test_a_diffusion_model_needs_nothing_of_it():
    overrides = [*SMALL, "steps=1", "prior=tiny", "metric=none"]
    assert float(run_without_what_is_left_out(STEP.format(overrides=", ".join(map(repr, overrides))))) != 0


def test_the_wheels_are_what_is_missing():
    names = collect_wheels.missing(collect_wheels.HAVE)
    assert set(NEEDED) <= set(names)
    assert not {*collect_wheels.HAVE, *collect_wheels.LEFT_OUT, "gsd-lab", "numpy"} & set(names)
    assert "scipy" in names
    assert "scipy" not in collect_wheels.missing([*collect_wheels.HAVE, "scipy"])


def test_a_failed_download_ends_in_a_sentence(tmp_path, call):
    with pytest.raises(SystemExit, match=r"error: pip download has failed"):
        collect_wheels._pip("download", "--no-index", "-d", str(tmp_path), "no-such-package")
