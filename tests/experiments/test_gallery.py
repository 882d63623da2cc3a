"""Figures of several methods: they launch what is missing, show the right runs and compare pair by pair."""

import json
import os
import sys

import pytest
from launch import ROOT, SMALL
from PIL import Image

sys.path.insert(0, str(ROOT / "experiments"))

import fig6_gaussians
import fig7_threefuse
import fig8_multiview
import fig10_ablation
import gallery

from gsd.cli import CONF
from gsd.errors import GsdError
from gsd.runs import find_runs

TWO = gallery.Gallery(
    name="two",
    title="Two",
    methods={"random": "noising=random loss=none", "GSD": "noising=consistent loss=consistency"},
    prompts=("an owl", "a corgi"),
    common=tuple(item for item in SMALL if not item.startswith("threads")),
)


def call(monkeypatch, figure, *arguments):
    monkeypatch.setattr(sys, "argv", ["figure", *arguments])
    gallery.main(figure, "doc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A figure from nothing: two prompts, two methods, two seeds, in processes as a user's."""
    place = tmp_path_factory.mktemp("figure")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("PYTHONPATH", str(ROOT))
        call(patch, TWO, "--run", "--seeds", "2", "steps=3")
    return place


def test_from_nothing_to_a_figure_and_a_table(folder):
    out = folder / "outputs" / "two"
    assert len(find_runs([folder / "multirun" / "two"])) == 8
    each = json.loads((out / "result.json").read_text())
    assert len(each) == 8
    assert {row["prior_calls"] for row in each} == {6}
    table = (out / "table.md").read_text().splitlines()
    assert len(table) == 4
    random, gsd = ([cell.strip() for cell in line.split("|")[1:-1]] for line in table[2:])
    assert (random[0], random[1], gsd[0]) == ("random", "4", "GSD")
    by_method = {m: {(r["prompt"], r["run"]): r["psnr_aligned"] for r in each if r["method"] == m} for m in TWO.methods}
    difference = sum(by_method["GSD"].values()) / 4 - sum(by_method["random"].values()) / 4
    assert float(gsd[-2].split()[0]) == pytest.approx(difference, rel=0.01)
    with Image.open(out / "figure.png") as picture:
        assert picture.width > picture.height > 100
    assert (out / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_what_is_missing_is_named(folder, monkeypatch):
    monkeypatch.chdir(folder)
    runs = find_runs(["multirun/two"])
    with pytest.raises(GsdError, match=r"no run of random for 'a penguin'; add --run"):
        gallery.select(runs, TWO, ["a penguin"])
    assert not os.path.exists("multirun/elsewhere")
    with pytest.raises(SystemExit, match="add --run to launch"):
        call(monkeypatch, TWO, "--name", "elsewhere")


@pytest.mark.parametrize("module", [fig6_gaussians, fig7_threefuse, fig8_multiview, fig10_ablation])
def test_figures_name_options_that_exist(module):
    for name, method in module.FIGURE.methods.items():
        for group, options in (item.split("=") for item in method.split() if "." not in item):
            assert all((CONF / group / f"{option}.yaml").exists() for option in options.strip("[]").split(","))
        assert module.FIGURE.baseline(name) in module.FIGURE.methods


@pytest.mark.slow
@pytest.mark.parametrize("module", [fig6_gaussians, fig7_threefuse, fig8_multiview])
def test_figures_of_presets_at_laptop_scale(module, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    call(monkeypatch, module.FIGURE, "--run", "--prompts", "an owl", "scale=laptop", "steps=20")
    assert (tmp_path / "outputs" / module.FIGURE.name / "figure.png").exists()
