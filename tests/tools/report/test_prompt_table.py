"""The table of papers: its numbers beside a slow account of them, and its three forms."""

import csv
import io
import json
import re
import sys

import numpy as np
import pytest
from made_runs import CONSISTENT, make
from made_sweep import sweep
from scipy import stats

from gsd.results.sweep_folder import SweepFolder
from gsd.results.table import read
from gsd.tools.report.__main__ import main
from gsd.tools.report.prompt_table import ALL, prompt_table, sets_of

SETS = {"single": ["a cat, asleep", "an owl", "a fox & hen"], "surr": ["an owl in 50% snow", "a_b", "a fox", "a hare"]}
PROMPTS = [text for each in SETS.values() for text in each]
METHODS = ("random", "consistent")


def value(method, prompt, seed, metric):
    """A number of its own for each."""
    drawn = np.random.default_rng([METHODS.index(method), PROMPTS.index(prompt), seed, len(metric)]).random()
    return {"hps": 20 + 5 * drawn + (method == "consistent"), "janus": float(drawn < 0.5)}[metric]


@pytest.fixture
def folder(tmp_path):
    """Two methods on seven prompts in two sets, two seeds each; one run failed, one is on a prompt of neither set."""
    path = tmp_path / "multirun/yard"
    for m, method in enumerate(METHODS):
        for p, prompt in enumerate(PROMPTS):
            for seed in range(2):
                config = {"prompt": prompt, "seed": seed} | ({"noising": CONSISTENT} if m else {})
                failed = (m, p, seed) == (0, 0, 1)
                numbers = {metric: value(method, prompt, seed, metric) for metric in ("hps", "janus")}
                make(path / f"{m}{p}{seed}", config, numbers, status="FAILED" if failed else "DONE")
    record = sweep({f"{m}{p}0": [] for m in range(2) for p in range(7)})
    SweepFolder(path).begin(record.__class__(**{**record.__dict__, "prompts": SETS}))
    return path


def slowly(method, prompts, metric):
    """The mean of the prompts' means, and Student's interval over the prompts."""
    means = []
    for prompt in prompts:
        seeds = (0,) if (method, prompt) == ("random", PROMPTS[0]) else (0, 1)
        means.append(np.mean([value(method, prompt, seed, metric) for seed in seeds]))
    half = stats.t.ppf(0.975, len(means) - 1) * np.std(means, ddof=1) / len(means) ** 0.5
    return np.mean(means), np.mean(means) - half, np.mean(means) + half


def test_numbers_are_means_of_prompts_with_intervals_over_them(folder):
    table = read([folder])
    sets, damaged = sets_of(table)
    assert (sets, damaged) == (SETS, [])
    found = prompt_table(table, sets)
    assert found.methods == ["noising=consistent", "noising=random"]
    assert found.sets == ["single", "surr", ALL]
    for method in METHODS:
        for name, prompts in {**SETS, ALL: PROMPTS}.items():
            part = found.parts[f"noising={method}", name]
            each = part.numbers["hps"]
            assert (each.value, each.low, each.high) == pytest.approx(slowly(method, prompts, "hps"))
            assert part.numbers["janus"].value == pytest.approx(slowly(method, prompts, "janus")[0])
            assert 0 <= part.numbers["janus"].low <= part.numbers["janus"].high <= 1
            assert part.prompts == len(prompts)
    assert [(p.runs, p.asked) for p in (found.parts[f"noising={m}", ALL] for m in METHODS)] == [(13, 14), (14, 14)]
    best = max(METHODS, key=lambda m: slowly(m, SETS["single"], "hps")[0])
    assert {m for m in METHODS if "hps" in found.parts[f"noising={m}", "single"].best} == {best}


def test_one_set_has_a_column_per_metric_and_other_prompts_are_not_lost(folder):
    table = read([folder])
    (head, _, *rows) = prompt_table(table, {}).markdown().splitlines()
    assert [cell.strip() for cell in head.strip("|").split("|")] == ["method", "Janus, %\u00a0↓", "HPS\u00a0↑", "runs"]
    assert len(rows) == 2
    assert prompt_table(table, {"single": SETS["single"]}).sets == ["single", ALL]
    assert prompt_table(table, {"everything": PROMPTS}).sets == ["everything"]


def test_the_csv_has_every_number(folder):
    table = read([folder])
    found = prompt_table(table, SETS)
    lines = list(csv.DictReader(io.StringIO(found.csv())))
    assert len(lines) == 2 * 3 * 2
    for line in lines:
        each = found.parts[line["method"], line["prompts"]].numbers[line["metric"]]
        assert [float(line[key]) for key in ("mean", "low", "high")] == pytest.approx([each.value, each.low, each.high])


def test_the_latex_is_whole_and_escaped(folder):
    text = prompt_table(read([folder]), {"a_b & 50%": SETS["single"], "surr": SETS["surr"]}).latex()
    assert r"a\_b \& 50\%" in text
    assert r"HPS~$\uparrow$" in text
    assert r"Janus, \%~$\downarrow$" in text
    assert text.count(r"\textbf{") == 2 * 3  # one in each column
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    cells = {len(re.findall(r"(?<!\\)&", row)) for row in rows}
    assert cells == {1 + 2 * 3}
    assert r"\begin{tabular}{l" + 6 * "c" + "r}" in text


def test_the_command_prints_it_and_writes_it(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gsd report", str(folder), "--metrics", "hps"])
    main()
    out = capsys.readouterr().out
    assert "| noising=random" in out
    assert "single" in out
    assert "Janus" not in out
    assert out.splitlines()[-1] == f"{folder}/report.csv {folder}/report.tex"
    assert "noising=random" in (folder / "report.csv").read_text()
    assert r"\toprule" in (folder / "report.tex").read_text()
    monkeypatch.setattr(sys, "argv", ["gsd report", str(folder), "--metrics", "hsp"])
    with pytest.raises(SystemExit, match=r"error: --metrics hsp: no run has it; choose .*; did you mean hps\?"):
        main()


def test_without_several_prompts_there_is_none(tmp_path, monkeypatch, capsys):
    for seed in range(2):
        make(tmp_path / str(seed), {"seed": seed}, {"hps": 20.0})
    assert prompt_table(read([tmp_path]), {}) is None
    monkeypatch.setattr(sys, "argv", ["gsd report", str(tmp_path)])
    main()
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert not (tmp_path / "report.csv").exists()
    make(tmp_path / "other", {"prompt": "an owl"})  # several prompts, of which nothing is measured
    for seed in range(2):
        (tmp_path / str(seed) / "summary.json").write_text(json.dumps({"prompt": "a cat", "seconds": 1.0}))
    assert prompt_table(read([tmp_path]), {}) is None


def test_a_damaged_record_is_named_and_the_table_stays(folder, monkeypatch, capsys):
    (folder / "sweep.json").write_text(json.dumps([{"prompts": 3}]))
    monkeypatch.setattr(sys, "argv", ["gsd report", str(folder)])
    main()
    captured = capsys.readouterr()
    assert "sweep.json is damaged" in captured.err
    assert "| noising=random" in captured.out
