"""The figure and the benchmark of the noisings, on next to nothing."""

import json
import sys

import torch


def test_fig5_measures_a_row_once_and_draws_it(tmp_path, monkeypatch, capsys):
    import fig5_noise

    command = ["fig5_noise", "none: noising=random", "noising=consistent", "--draws", "3", "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", command)
    fig5_noise.main()
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert (tmp_path / "figure.pdf").exists()
    random, consistent = json.loads((tmp_path / "result.json").read_text())["rows"]
    assert random["label"] == "none"
    assert abs(random["figures"]["near 5"]) < 0.05
    assert consistent["figures"]["near 5"] > 0.5
    assert "| (b) | noising=consistent |" in (tmp_path / "table.md").read_text()
    monkeypatch.setattr(fig5_noise, "measure", None)  # would raise if it were called again
    fig5_noise.main()
    assert "(b)" in capsys.readouterr().out


def test_patches_of_both_views_show_the_same_place(monkeypatch):
    import fig5_noise

    from gsd.noising.check.reference import cameras, visible_in_both

    here, there = fig5_noise.squares()
    coords, both = visible_in_both(cameras(0.0, 5.0, size=fig5_noise.SIZE))
    assert both[here].all()
    centre = coords[0][here].mean((0, 1))
    wanted = torch.tensor([(there[1].start + there[1].stop) / 2, (there[0].start + there[0].stop) / 2])
    assert (centre - wanted).abs().max() <= 0.51


def test_benchmark_tables(monkeypatch):
    import noising as benchmark
    import noising_report

    jobs = {
        name: benchmark.job(benchmark.configured([f"noising={name}"]), 50, 16, "cpu") for name in ("random", "nearest")
    }
    times = benchmark.alternate(jobs, 0.0)
    assert all(0 < entry["min"] <= entry["median"] for entry in times.values())
    cases = {str(n): {"job": {"median": 0.5 * n**2, "min": 0.0}} for n in (10, 100, 1000)}
    assert abs(noising_report.exponent(cases, "job") - 2) < 1e-9
    memory = {"consistent": {"1000": 1.0, "2000": 18_000 * 10 / 2**20}}
    assert noising_report.table({"memory": memory}).endswith("| 10 |\n")
