"""Cells of a stranger's prompt run nothing in a spreadsheet."""

import csv

from made_runs import make

from gsd.results import spreadsheet
from gsd.results.groups import tally
from gsd.results.table import read
from gsd.tools.sweep.summary import write


def test_formulas_are_text_and_numbers_are_numbers():
    cells = ["=HYPERLINK(1)", "+1+cmd", "-x", "@SUM", "\t=1", "\r", "-1e-3", "+4", -2.5, "an owl", "", None]
    made = [spreadsheet.harmless(cell) for cell in cells]
    assert made == [*(f"'{cell}" for cell in cells[:6]), *cells[6:]]
    assert [spreadsheet.plain(cell) for cell in made[:8]] == cells[:8]
    assert spreadsheet.plain("'tis") == "'tis"


def test_what_has_become_of_runs_is_counted(tmp_path):
    folder = tmp_path / "sweep"
    for seed, metrics in enumerate([{"psnr": 20.0}, {"psnr": float("nan")}, {"psnr": 22.0, "empty": 1.0}]):
        make(folder / f"d{seed}", {"seed": seed, "prompt": "-2+3"}, metrics)
    for seed, told in ((3, "Traceback (most recent call last):\nKeyError: 1\n"), (4, "steps=0: at least 1.\n")):
        (make(folder / f"f{seed}", {"seed": seed, "prompt": "=1"}, status="FAILED") / "FAILED").write_text(told)
    make(folder / "u", {"seed": 5, "prompt": "=1"}, status="")
    assert tally(read([folder]).rows) == {
        "runs": 6, "done": 3, "failed": 1, "refused": 1, "unfinished": 1, "empty": 1, "without a number": 1
    }  # fmt: skip
    table, text, _ = write(folder)
    rows = list(csv.DictReader(table.open()))
    assert {row["prompt"] for row in rows} == {"'-2+3", "'=1"}
    told = text.read_text()
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in told.splitlines() if line.startswith("|")]
    assert lines[2][1:] == ["3", "3", "0", "0", "0", "1", "1"]
    assert lines[3][1:] == ["3", "0", "1", "1", "1", "0", "0"]
    psnr = told.split("## psnr")[1]
    assert "| 2 of 3 |" in psnr
