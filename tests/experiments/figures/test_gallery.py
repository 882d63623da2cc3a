"""Figures of several methods: they launch what is missing, show the right runs and compare pair by pair."""

import argparse
import json
import os
import sys

import fig6_gaussians
import fig7_threefuse
import fig8_multiview
import fig9_convergence
import fig10_ablation
import fig11_around
import fig12_clip
import gallery
import plots
import pytest
import torch
from launch import LIGHT, ROOT, config
from made_figure_runs import make
from PIL import Image
from quick_config import quick

from gsd.cli.folders import options
from gsd.errors import GsdError
from gsd.experiment import build
from gsd.results.runs import Run, find_runs

TWO = gallery.Gallery(
    name="two",
    title="Two",
    methods={"random": "noising=random loss=none", "GSD": "noising=consistent loss=consistency"},
    prompts=("an owl", "a corgi"),
    common=tuple(item for item in LIGHT if not item.startswith("threads")),
)
MODULES = (fig6_gaussians, fig7_threefuse, fig8_multiview, fig10_ablation, fig11_around)
SETUPS = (*fig9_convergence.SETUPS.values(), *fig12_clip.SETUPS.values())
FIGURES = [*(module.FIGURE for module in MODULES), *SETUPS]


def program(figure):
    return lambda: gallery.main(figure, "doc")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A figure from nothing: two prompts, two methods, two seeds, in processes as a user's."""
    place = tmp_path_factory.mktemp("figure")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("PYTHONPATH", str(ROOT))
        patch.setattr(sys, "argv", ["figure", "--run", "--seeds", "2", "steps=3"])
        gallery.main(TWO, "doc")
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
    assert float(gsd[-1].split()[0]) == pytest.approx(difference, rel=0.01)
    assert table[0].split("|")[-2].strip() == "PSNR difference"  # of two prompts there is no p
    with Image.open(out / "figure.png") as picture:
        assert picture.width > picture.height > 100
    assert (out / "figure.pdf").read_bytes().startswith(b"%PDF")


def test_what_is_missing_is_named(folder, call, monkeypatch):
    monkeypatch.chdir(folder)
    runs = find_runs(["multirun/two"])
    with pytest.raises(GsdError, match=r"no run of random for 'a penguin'; add --run"):
        gallery.select(runs, TWO, ["a penguin"])
    assert not os.path.exists("multirun/elsewhere")
    with pytest.raises(SystemExit, match="add --run to launch"):
        call(program(TWO), "--name", "elsewhere")


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_every_method_of_a_figure_can_be_built(figure):
    """A preset as it is has its own test, at this scale."""
    for name, method in figure.methods.items():
        settings = method.split()
        preset = next((item for item in settings if item.startswith("experiment=")), None)
        if preset is None:
            build(quick(*settings))
        elif len(settings) > 1:
            build(config(*settings, "scale=laptop"))
        else:
            assert preset.removeprefix("experiment=") in options("experiment")
        assert figure.baseline(name) in figure.methods


def test_settings_may_follow_a_prompt():
    options = gallery.parser("", TWO)
    args = options.parse_args(["--run", "--prompt", "an owl", "--prompt", "a corgi", "steps=3", "scale=laptop"])
    assert (args.prompts, args.overrides) == (["an owl", "a corgi"], ["steps=3", "scale=laptop"])
    assert options.parse_args(["steps=3"]).prompts is None  # those of the figure


def test_a_run_is_of_the_method_of_which_it_has_most(tmp_path):
    """A method may be another one with a setting more."""
    figure = gallery.Gallery(
        "nested", "", {"plain": "noising=consistent", "tent": "noising=consistent noising.kernel=tent"}
    )
    paths = [make(tmp_path, method, "an owl", seed) for method in figure.methods.values() for seed in (1, 0)]
    chosen = gallery.select([Run(path) for path in paths], figure, ["an owl"])
    assert [run.path for run in chosen["plain", "an owl"]] == paths[1::-1]
    assert [run.path for run in chosen["tent", "an owl"]] == paths[:1:-1]


def test_each_method_is_compared_with_its_own_baseline(tmp_path):
    methods = {"a": "x=1", "a + GSD": "x=2", "b": "x=3", "b + GSD": "x=4"}
    figure = gallery.Gallery("two", "", methods, against={"b": "b", "b + GSD": "b"})
    runs = {
        name: [
            Run(make(tmp_path, text, "an owl", seed, {"psnr_aligned": 20.0 + k + k * seed, "janus": 0.0}))
            for seed in (0, 1)
        ]
        for k, (name, text) in enumerate(methods.items())
    }
    rows = [gallery.row(name, each, figure.baseline(name), runs[figure.baseline(name)]) for name, each in runs.items()]
    assert [row["compared with"] for row in rows] == ["", "a", "", "b"]
    assert [row["PSNR difference"].split()[0] for row in rows[1::2]] == ["1.5", "1.5"]
    assert rows[0]["Janus"] == "0"  # of two seeds there is no interval


@pytest.mark.parametrize(("prompts", "p"), [(5, ""), (6, f"{2 / 2**6:.2g}")])
def test_a_p_that_cannot_be_small_is_left_out(tmp_path, prompts, p):
    """GSD is better on every prompt, by seeds that do not count: the prompts are the units."""
    better, worse = (
        [
            Run(make(tmp_path, method, f"animal {k}", seed, {"psnr_aligned": psnr + k * psnr / 100}))
            for k in range(prompts)
            for seed in (0, 1)
        ]
        for method, psnr in (("x=1", 26.0), ("x=2", 20.0))
    )
    assert gallery.row("a", better, "b", worse)["p"] == p
    alone = [run for run in better if run.summary["prompt"] == "animal 0"]
    assert gallery.row("a", alone, "b", worse)["p"] == ""  # two seeds


def test_what_is_typed_replaces_a_common_setting_and_what_lies_below_it(monkeypatch):
    launched = []
    monkeypatch.setattr(gallery.sweeps, "launch", lambda name, overrides, seeds, jobs: launched.append(overrides))
    figure = gallery.Gallery("x", "", {"sds": "noising=random"}, common=("prior.view_bias=4", "images_every=0"))
    args = argparse.Namespace(name="x", overrides=["prior=tiny", "steps=3"], seeds=1, jobs=1)
    gallery.launch(figure, ['a "big" owl'], args)
    assert launched == [["noising=random", "images_every=0", "prior=tiny", "steps=3", 'prompt="a \\"big\\" owl"']]


def test_pictures_are_cut_to_what_any_of_them_shows(tmp_path):
    run = make(tmp_path, "x=1", "an owl", 0)
    (run / "views").mkdir()
    for view, box in enumerate([(30, 40, 50, 60), (20, 50, 40, 80), None, (30, 50, 40, 70)]):
        alpha = Image.new("RGB", (100, 100))
        if box:
            alpha.paste("white", box)
        alpha.save(run / "views" / f"{3 * view:03d}_alpha.png")  # of twelve views
    left, top, right, bottom = gallery.window([Run(run)])
    assert (top, bottom) == pytest.approx((0.39, 0.81))  # rows 40 to 80 and a margin
    assert ((left + right) / 2, right - left) == pytest.approx((0.35, 0.42))
    assert gallery.cropped(Image.new("RGB", (200, 200)), (left, top, right, bottom)).size == (84, 84)


def test_the_front_is_where_the_truth_finds_it(tmp_path):
    """The view at azimuth a shows what a true animal shows from a + yaw."""
    for yaw, shown in ((None, 30), (0.0, 30), (170.0, 220), (-40.0, 70)):
        run = make(tmp_path / str(yaw), "x=1", "an owl", 0, {} if yaw is None else {"yaw_deg": yaw})
        (run / "views").mkdir()
        for view in range(12):
            Image.new("RGB", (1, 1), (30 * view // 2, 0, 0)).save(run / "views" / f"{view:03d}_rgb.png")
        assert gallery.picture(Run(run), 30.0).getpixel((0, 0))[0] == round(shown / 30) * 30 // 2


def test_a_window_is_square_and_holds_what_is_seen():
    alpha = torch.zeros(2, 256, 256)
    alpha[0, 100:141, 60:81] = 1.0
    alpha[1, 120:161, 70:91] = 0.5
    left, top, right, bottom = plots.window(alpha)
    assert (top, bottom) == pytest.approx((100 / 256 - 0.01, 161 / 256 + 0.01))
    assert right - left == pytest.approx(bottom - top)
    assert left < 60 / 256 < 91 / 256 < right
    assert plots.window(torch.zeros(1, 256, 256)) == (0, 0, 1, 1)


@pytest.mark.slow
@pytest.mark.parametrize("module", [fig6_gaussians, fig7_threefuse, fig8_multiview])
def test_figures_of_presets_at_laptop_scale(module, place, call):
    call(program(module.FIGURE), "--run", "--prompt", "an owl", "scale=laptop", "steps=20")
    out = place / "outputs" / module.FIGURE.name
    assert (out / "figure.png").exists()
    calls = {row["method"]: row["prior_calls"] for row in json.loads((out / "result.json").read_text())}
    for method, count in calls.items():
        if method.endswith("+ GSD") and module is not fig8_multiview:  # which compares with another prior
            assert count == calls[module.FIGURE.baseline(method)]


@pytest.mark.slow
def test_the_ablation_from_nothing(place, call):
    """Ten methods, each with runs of its own, all at the same prior calls."""
    small = ("steps=10", "init.points=500", "turntable.views=8", "checkpoint_every=1000")
    call(program(fig10_ablation.FIGURE), "--run", "--prompt", "an owl", "--seeds", "1", *small)
    each = json.loads((place / "outputs" / "fig10" / "result.json").read_text())
    assert [row["method"] for row in each] == list(fig10_ablation.FIGURE.methods)
    assert len({row["run"] for row in each}) == 10
    assert {row["prior_calls"] for row in each} == {20}
    with Image.open(place / "outputs" / "fig10" / "figure.png") as picture:
        assert picture.height > picture.width  # ten rows of four views


@pytest.mark.slow
def test_a_full_turn_and_its_noise_from_nothing(place, call):
    call(fig11_around.main, "--run", "--prompt", "an owl", "scale=laptop", "steps=20")
    out = place / "outputs" / "fig11"
    near, far = json.loads((out / "result.json").read_text())["correlation of views apart by"].values()
    assert abs(near["random noise"]) < 0.05  # ten thousand values
    assert near["the run's noise"] > far["the run's noise"] + 0.1 > 0.15
    with Image.open(out / "figure.png") as picture:
        assert picture.width > picture.height
