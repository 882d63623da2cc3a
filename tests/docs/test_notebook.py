"""docs/gsd.ipynb runs as it stands. `jupyter execute --inplace docs/gsd.ipynb` renews its outputs."""

import os

import nbformat
from launch import LIGHT, ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "docs" / "gsd.ipynb"
SIZE = 'size = ["steps=300", "evaluate_every=50", "turntable.resolution=128", "turntable.views=24"]'
TINY = [*LIGHT, "steps=4", "evaluate_every=2"]


def test_every_cell_runs(tmp_path, monkeypatch):
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    (cell,) = [cell for cell in notebook.cells if SIZE in cell.source]
    cell.source = cell.source.replace(SIZE, f"size = {TINY}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    place = {"metadata": {"path": tmp_path}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=place).execute()  # raises as a cell does
    assert len(list(tmp_path.glob("outputs/notebook_sweep/*/DONE"))) == 2
    printed = "".join(output.text for output in notebook.cells[-2].outputs)  # sent in any number of parts
    assert "random" in printed


def test_its_outputs_are_kept_whole_and_small():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert len([output for output in outputs if "image/png" in output.get("data", {})]) == 3
    assert NOTEBOOK.stat().st_size < 2**20
