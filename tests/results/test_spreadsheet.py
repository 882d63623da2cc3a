"""Tables for a spreadsheet: what was typed stays text."""

import csv
import io

from gsd.results.spreadsheet import table


def test_texts_are_no_formulas_and_numbers_stay_numbers():
    rows = [["prompt", "@x"], ["=1+1", -1.5], ["+cmd|' /C calc'!A0", 2], ["an owl, looking = up\n", None], ["-1", True]]
    read = list(csv.reader(io.StringIO(table(rows))))
    assert read == [
        *(["prompt", "'@x"], ["'=1+1", "-1.5"], ["'+cmd|' /C calc'!A0", "2"]),
        *(["an owl, looking = up\n", ""], ["'-1", "True"]),
    ]
