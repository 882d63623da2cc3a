import sys

import pytest

from gsd.__main__ import main
from gsd.cli.folders import VARIABLE


@pytest.fixture
def gsd(monkeypatch, tmp_path, capsys):
    """gsd ARGUMENTS, in an empty folder of this process: exit code or error, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "")
    monkeypatch.setattr(sys, "path", [*sys.path])

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["gsd", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return call
