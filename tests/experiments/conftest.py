"""Scripts outside the package are imported by their name, and called as from a command line."""

import sys

import pytest
from launch import ROOT

sys.path[:0] = [str(ROOT / "experiments" / folder) for folder in ("figures", "benchmarks", "tiny")]


@pytest.fixture
def call(monkeypatch):
    """call(script, arguments): its main()."""

    def call(script, *arguments):
        monkeypatch.setattr(sys, "argv", [script.__name__, *map(str, arguments)])
        script.main()

    return call
