"""A dashboard has the panels for which its sweep has data, and groups them by what was swept."""

import pytest
from launch import LIGHT, launch
from made_runs import CONSISTENT, make, record
from made_sweep import grid, run
from specs import BARS, LINES, MEDIA, chapters, of_kind, panels, sections, sent

from gsd.errors import GsdError
from gsd.results.runs import find_runs
from gsd.tools.dashboard.content import content
from gsd.tools.dashboard.panels import MANY_SEEDS

RUNS = ("noising=random loss=none", "noising=consistent loss=consistency")
SIZE = ("steps=4", "images_every=2", "evaluate_every=2", "metric=[truth,clip_view]")
TIMES = {"step", "prior_calls", "seconds"}


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A sweep of two real runs with all that a run can leave."""
    folder = tmp_path_factory.mktemp("dashboard") / "real"
    for k, overrides in enumerate(RUNS):
        launch(folder / f"run{k}", *LIGHT, *SIZE, *overrides.split())
    return folder


def numbers(record):
    return {key for key, value in record.items() if isinstance(value, int | float)}


def test_every_key_is_one_that_a_run_logs_and_none_is_forgotten(real):
    """Under the names that gsd.logger promises."""
    history = {"noise/histogram"}
    summary, options = set(), set()
    for made in find_runs([real]):
        history |= {key for each in made.records() for key in each}
        history |= {f"eval/{key}" for each in made.evaluations() for key in numbers(each)}
        summary |= numbers(made.summary)
        options |= set(made.summary["options"])
    found = panels(sent(real))
    measured = {key for each in of_kind(found, LINES) for key in each["metrics"] if not key.startswith("system/")}
    unsaid = {"yaw_deg", "variant", "clip_yaw_deg"}  # no mean of them says anything
    assert measured == history - TIMES - {"loss/score"} - {f"eval/{key}" for key in TIMES | unsaid}
    assert {key for each in of_kind(found, BARS) for key in each["metrics"]} == summary - {"seed"} - unsaid
    assert {key for each in of_kind(found, MEDIA) for key in each["mediaKeys"]} == {
        "pictures/strip", "pictures/front", "turntable", "points",
    }  # fmt: skip
    groups = {each["groupBy"] for each in of_kind(found, BARS) + of_kind(found, LINES) if "groupBy" in each}
    assert groups == {"noising.value", "loss.value"}
    assert {"noising", "loss"} <= options


def test_the_sections_are_those_of_an_ablation(real):
    single = [
        "Pictures by step and run", "Turntables", "Gaussians in 3D", "Views by CLIP", "Settings and metrics",
        "What differs", "Noise", "Cost",
    ]  # fmt: skip
    spec = sent(real)

    def grouped(by):
        return [f"Results {by}", f"Curves {by}", f"Curves {by}, against prior calls", f"Optimisation {by}"]

    assert list(sections(spec)) == ["Headline", *grouped("by loss"), *grouped("by noising"), *single]
    assert list(chapters(spec)) == grouped("by loss, noising") + single
    stored = spec["workspace"]["spec"]["section"]["panelBankConfig"]["sections"]
    assert [each["isOpen"] for each in stored] == [True] + [False] * (len(stored) - 1)


def test_the_workspace_opens_with_six_panels_that_answer_the_question(real):
    first = sections(sent(real))["Headline"]
    bars = of_kind(first, BARS)
    assert [(each["metrics"], each["groupBy"]) for each in bars] == [
        (["psnr_aligned"], "loss.value"), (["psnr_aligned"], "noising.value"),
        (["coherent"], "loss.value"), (["coherent"], "noising.value"), (["janus"], "loss.value"),
    ]  # fmt: skip
    assert bars[0]["chartTitle"] == "PSNR to the true animal, dB\u00a0↑ by loss"
    assert bars[2]["chartTitle"] == "coherent, fraction\u00a0↑ by loss"
    assert [each["mediaKeys"] for each in of_kind(first, MEDIA)] == [["turntable"]]
    assert len(first) == 6


def test_each_panel_is_of_the_right_kind(real):
    found = sections(sent(real))
    (bars,) = {panel["viewType"] for panel in found["Results by loss"]}
    assert bars == BARS
    how = {(each["groupAgg"], each["groupArea"]) for each in of_kind(found["Results by loss"], BARS)}
    assert how == {("mean", "stderr")}
    for title, x in {"Curves by loss": "step", "Curves by loss, against prior calls": "prior_calls"}.items():
        curves = of_kind(found[title], LINES)
        assert {each["xAxis"] for each in curves} == {x}
        assert ["eval/psnr_aligned"] in [each["metrics"] for each in curves]
    pictures = of_kind(found["Pictures by step and run"], MEDIA)
    assert [each["mediaKeys"] for each in pictures] == [["pictures/strip"], ["pictures/front"]]
    assert all(each["gridSettings"] == {"xAxis": "step", "yAxis": "run"} for each in pictures)
    parallel, importance = found["Settings and metrics"]
    assert [column["accessor"] for column in parallel["config"]["columns"]] == [
        "config:loss.value", "config:noising.value", "config:seed.value", "summary:psnr_aligned",
    ]  # fmt: skip
    assert importance["viewType"] == "Parameter Importance"
    assert importance["config"]["targetKey"] == "psnr_aligned"
    (comparer,) = found["What differs"]
    assert (comparer["viewType"], comparer["config"]) == ("Run Comparer", {"diffOnly": "split"})
    (clip,) = of_kind(found["Views by CLIP"], "Vega2")
    assert clip["fieldSettings"] == {"step": "azimuth", "lineKey": "view", "lineVal": "similarity"}
    (asked,) = clip["userQuery"]["queryFields"]
    arguments = [argument for field in asked["fields"] for argument in field.get("args", [])]
    assert {"name": "tableKey", "value": "clip_view_table"} in arguments
    assert [each["metrics"][0] for each in of_kind(found["Noise"], LINES)] == ["noise/histogram", "noise/std", "sigma"]
    assert "system/gpu.0.memoryAllocatedBytes" in [each["metrics"][0] for each in of_kind(found["Cost"], LINES)]


def test_the_report_groups_its_runs_by_all_settings_where_a_panel_is_of_means(real):
    found = chapters(sent(real))
    for title, (_, runs) in found.items():
        means = "by loss, noising" in title
        assert [key["name"] for key in runs["grouping"]] == (["loss.value", "noising.value"] if means else [])
        assert "project" not in runs  # that of the report
    curves = of_kind(found["Curves by loss, noising"][0], LINES)
    assert {each.get("groupBy") for each in curves} == {None}
    assert {each["groupArea"] for each in curves} == {"minmax"}


def test_panels_of_the_report_do_not_lie_on_each_other(real):
    for found, _ in chapters(sent(real)).values():
        cells = [
            (x, y)
            for at in (panel["layout"] for panel in found)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        ]
        assert len(set(cells)) == len(cells)
        assert max(x for x, _ in cells) < 24


def test_the_same_sweep_is_the_same_specification(real):
    assert sent(real) == sent(real)
    for each in (sections(sent(real)).values(), [found for found, _ in chapters(sent(real)).values()]):
        ids = [panel["__id__"] for found in each for panel in found]
        assert len(set(ids)) == len(ids)


def guided(folder, names, seeds=2, **config):
    """A sweep over guidances, made by hand, without evaluations or pictures."""
    for name in names:
        for seed in range(seeds):
            whole = {"guidance": {"_target_": f"gsd.guidance.{name}.Guidance"}, "seed": seed, **config}
            steps = [record(k, **{"loss/consistency": 1.0, "noise/std": 1.0}) for k in range(3)]
            make(folder / f"{name}{seed}", whole, {"psnr_aligned": 20.0 + seed}, steps, {"guidance": name})
    return folder


def test_a_sweep_over_guidances_is_grouped_by_guidance(tmp_path):
    found = sections(sent(guided(tmp_path / "a", ["sds", "csd"])))
    assert list(found) == [
        "Headline", "Results by guidance", "Curves by guidance, against prior calls", "Optimisation by guidance",
        "Settings and metrics", "What differs", "Noise", "Cost",
    ]  # fmt: skip
    grouped = [each for panel in found.values() for each in of_kind(panel, LINES) + of_kind(panel, BARS)]
    assert {each["groupBy"] for each in grouped if not each["metrics"][0].startswith("system/")} == {"guidance.value"}
    curves = of_kind(found["Curves by guidance, against prior calls"], LINES)
    assert [each["metrics"] for each in curves] == [["loss/consistency"]]


def test_a_setting_within_a_group_is_found_in_the_whole_config(tmp_path):
    """Among the flat keys there are only the groups' options and prompt, seed and steps."""
    for k, (kernel, particles) in enumerate([("box", 1), ("tent", 2), ("tent", 1)]):
        noising = CONSISTENT | {"kernel": kernel}
        make(tmp_path / "a" / str(k), {"noising": noising, "particles": particles, "steps": 10 + k}, {"psnr": 1.0})
    spec = sent(tmp_path / "a")
    keys = {key: f"config.value.{key}" for key in ("noising.kernel", "particles")} | {"steps": "steps.value"}
    for setting, key in keys.items():
        assert {each["groupBy"] for each in of_kind(sections(spec)[f"Results by {setting}"], BARS)} == {key}
    ((_, runs),) = [each for title, each in chapters(spec).items() if title.startswith("Results")]
    assert {key["name"] for key in runs["grouping"]} == set(keys.values())
    (parallel,) = of_kind(sections(spec)["Settings and metrics"], "Parallel Coordinates Plot")
    assert {f"config:{key}" for key in keys.values()} < {column["accessor"] for column in parallel["columns"]}


def test_runs_that_differ_in_the_seed_alone_are_one_group(tmp_path):
    spec = sent(guided(tmp_path / "a", ["sds"]))
    assert {each["groupBy"] for each in of_kind(sections(spec)["Results of all runs"], BARS)} == {"group"}
    assert chapters(spec)["Results of all runs"][1]["grouping"] == [{"section": "run", "name": "group"}]
    assert {each["groupBy"] for each in of_kind(sections(spec)["Cost"], BARS)} == {"group"}
    assert "Settings and metrics" not in sections(spec)


@pytest.mark.parametrize(("seeds", "area"), [(MANY_SEEDS - 1, "minmax"), (MANY_SEEDS, "stddev")])
def test_the_band_is_a_deviation_where_there_are_seeds_for_one(seeds, area, tmp_path):
    found = sections(sent(guided(tmp_path / "a", ["sds", "csd"], seeds)))
    assert {each["groupArea"] for each in of_kind(found["Optimisation by guidance"], LINES)} == {area}


def test_every_group_is_drawn(tmp_path):
    """W&B would draw ten."""
    names = [f"g{k}" for k in range(13)]
    found = sections(sent(guided(tmp_path / "a", names, seeds=1)))
    assert {each["limit"] for each in of_kind(found["Optimisation by guidance"], LINES)} == {13}
    assert {each["barLimit"] for each in of_kind(found["Results by guidance"], BARS)} == {13}


def test_a_sweep_of_which_nothing_is_done_has_curves_already(tmp_path):
    for noising in ("random", "consistent"):
        run(tmp_path / "a" / noising, noising, 0, status="")
    spec = sent(tmp_path / "a")
    assert not of_kind(panels(spec), BARS)
    assert "Optimisation by noising" in sections(spec)
    assert "Settings and metrics" not in sections(spec)
    assert any("No finished run" in note for note in content(tmp_path / "a").notes)


def test_the_main_metric_comes_first(tmp_path):
    for seed in range(2):
        run(tmp_path / "a" / str(seed), "random", seed, psnr=1.0, janus=0.0, yaw_deg=5.0)
        run(tmp_path / "a" / f"c{seed}", "consistent", seed, psnr=1.0, janus=0.0, yaw_deg=5.0)
    found = sections(sent(tmp_path / "a", "janus"))
    assert [each["metrics"] for each in of_kind(found["Results by noising"], BARS)] == [["janus"], ["psnr"]]
    assert found["Settings and metrics"][1]["config"]["targetKey"] == "janus"
    with pytest.raises(GsdError, match=r"--metric pnsr: .* have psnr, janus; did you mean psnr\?"):
        content(tmp_path / "a", "pnsr")


@pytest.mark.parametrize("name", ["ablation", "lr=1 <or> 'two' \"three\"", "Größe ✂"])
def test_only_the_runs_of_the_sweep_are_shown_whatever_its_name(name, tmp_path):
    spec = sent(grid(tmp_path / name, {"random": [1.0], "consistent": [2.0]}))
    sets = spec["workspace"]["spec"]["section"]["runSets"] + [runs for _, runs in chapters(spec).values()]
    for runs in sets:
        (only,) = runs["filters"]["filters"]
        assert (only["key"], only["op"], only["value"]) == ({"section": "run", "name": "group"}, "=", name)
    assert spec["report"]["displayName"] == f"gsd: {name}"
    assert spec["workspace"]["displayName"].startswith("gsd: ")


def test_a_folder_of_several_sweeps_is_refused(tmp_path):
    for name in ("a", "b"):
        grid(tmp_path / name, {"random": [1.0]})
    with pytest.raises(GsdError, match=r"is not the folder of one sweep: runs lie in .*/[ab]; give a folder such as"):
        content(tmp_path)


def test_what_is_damaged_is_told_and_left_out(tmp_path):
    grid(tmp_path / "a", {"random": [1.0], "consistent": [2.0]})
    (tmp_path / "a" / "consistent0" / "summary.json").write_text("{")
    (tmp_path / "a" / "random0" / "metrics.jsonl").write_text("nonsense\n")
    notes = content(tmp_path / "a").notes
    assert sum("summary.json" in note or "metrics.jsonl" in note for note in notes) == 2


def test_project_and_entity_are_those_the_runs_were_logged_to(tmp_path):
    assert content(guided(tmp_path / "a", ["sds"])).logged == {}
    assert any("logger=wandb" in note for note in content(tmp_path / "a").notes)
    logger = {"wandb": {"_target_": "gsd.logger.wandb.Wandb", "project": "mine", "entity": None}}
    found = content(guided(tmp_path / "b", ["sds"], logger=logger))
    assert found.logged == {"project": "mine"}
    assert not found.notes
