"""Malformed command lines through the program's own entry point: a run or a sentence, soon and in little memory."""

import resource

import pytest
from fuzzing import fault, gathered, report
from made_commands import command

from gsd.__main__ import main

pytestmark = pytest.mark.filterwarnings("ignore")
MORE = 6 * 2**30  # bytes of address space beyond what the process has: a command that asks for more is refused instead


@pytest.fixture(autouse=True)
def _little_memory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as statm:
        taken = int(statm.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MORE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def tried(number, rng, tmp_path):
    found = fault(main, f"hydra.run.dir=run{number}", f"hydra.sweep.dir=sweep{number}", *command(rng))
    return [found] if found else []


@pytest.mark.parametrize("count", [6, pytest.param(2000, marks=pytest.mark.slow)])
def test_command_lines(count, tmp_path):
    found = gathered(tried, "commands", count, tmp_path)
    assert not found, report(found)
