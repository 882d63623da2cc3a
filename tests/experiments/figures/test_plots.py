"""What figures say where their library is missing."""

import importlib
import sys

import pytest


def test_without_matplotlib_one_sentence_names_the_fix(monkeypatch):
    importlib.import_module("plots")  # as it is, to be put back
    monkeypatch.delitem(sys.modules, "plots")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit, match=r"matplotlib, which is not installed: pip install -r requirements-dev\.txt"):
        importlib.import_module("plots")
