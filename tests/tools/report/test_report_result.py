"""The table that answers the question of a sweep: names, the best, intervals, outcomes; on a phone and on paper."""

import imageio.v2 as imageio
import numpy as np
import pytest
from made_runs import CONSISTENT, make, record

from gsd.tools.report import write

# psnr_aligned and the number of fronts of three seeds; a scene without a front is empty
BETTER, WORSE = ([26.0, 25.0, 27.5], [1, 1, 2]), ([24.0, 23.5, 24.0], [2, 2, 0])


def truth(psnr, fronts, **numbers):
    judged = {"face_count": float(fronts), "front_count": float(fronts), "janus": float(fronts > 1)}
    return {"psnr_aligned": psnr, **judged, "empty": float(fronts == 0), **numbers}


def sweep(folder, seeds=3, groups=(BETTER, WORSE), names=({"noising": CONSISTENT}, {})):
    for config, (psnrs, fronts) in zip(names, groups, strict=True):
        for seed in range(seeds):
            run = folder / f"{len(list(folder.iterdir())) if folder.exists() else 0}"
            share = [0.0, 0.1, 1.0][seed]
            measured = truth(psnrs[seed], fronts[seed], face_fraction=share, view_error_deg=170.0 * share)
            make(run, dict(config) | {"seed": seed}, measured, [record(0, loss=1.0), record(1, loss=2.0)])
    return folder


@pytest.fixture(scope="module")
def filmed(tmp_path_factory):
    """The report of two groups with long names, with turntables of a grey level for each ground."""
    folder = tmp_path_factory.mktemp("filmed")
    names = [{"noising": CONSISTENT | {"kernel": "a kernel with quite a long name"}}, {"prompt": "an owl" * 30}]
    for run in sweep(folder / "s", names=names).iterdir():
        for name, level in (("turntable", 250), ("turntable_dark", 60)):
            frames = np.full((24, 64, 64, 3), level, np.uint8)
            imageio.mimwrite(run / f"{name}.mp4", frames, fps=12, macro_block_size=1)
    return write([folder / "s"], folder / "page.html")


def cell(tab, row, metric):
    return tab.page.locator("#result tbody tr", has_text=row).locator(f"[data-metric={metric}]")


def test_the_best_is_bold_and_names_have_units_and_arrows(tmp_path, tab):
    tab.page.goto(write([sweep(tmp_path / "s")], tmp_path / "page.html").as_uri())
    heads = tab.page.locator("#result thead th").all_inner_texts()
    assert heads[:2] == ["noising", "runs"]
    assert "PSNR to the true animal, dB\u00a0↑" in heads
    assert "view error, degrees\u00a0↓" in heads
    assert "time, s\u00a0↓" in heads
    assert cell(tab, "consistent", "psnr_aligned").locator("b").inner_text() == "26.2"
    assert cell(tab, "random", "psnr_aligned").locator("b").count() == 0
    assert tab.page.locator("[data-metric=view_error_deg] b").count() == 0  # both are equal
    assert not tab.problems


def test_the_answer_is_of_paired_differences(tmp_path, tab):
    """Differences of 2, 1.5 and 3.5 dB: a mean of 2.33 within [-0.25, 4.92]."""
    tab.page.goto(write([sweep(tmp_path / "s")], tmp_path / "page.html").as_uri())
    answer = tab.page.inner_text("#result .answer")
    assert answer.startswith(
        "Best in PSNR to the true animal: noising=consistent, 26.2 dB. Next is noising=random: 2.33 dB worse"
    )
    assert "3 pairs" in answer
    assert "[−0.25, 4.92] dB. The interval contains 0" in answer


def test_every_run_has_one_of_four_outcomes(tmp_path, tab):
    """Two of three runs of one group are Janus, the third is empty: neither right nor Janus."""
    tab.page.goto(write([sweep(tmp_path / "s")], tmp_path / "page.html").as_uri())
    shares = [cell(tab, "random", name).inner_text().split()[0] for name in ("coherent", "janus", "empty")]
    assert shares == ["0", "67", "33"]
    assert tab.page.locator("#result [data-metric=turned]").count() == 0  # no run has come to it
    outcomes = tab.page.locator("#runs tbody tr td:nth-child(5)").all_text_contents()
    assert outcomes[3:] == ["Janus: 2 fronts", "Janus: 2 fronts", "empty: nothing that could have a face"]


def test_a_group_of_nothing_is_not_the_best(tmp_path, tab):
    """Nothing has no second face and no fog; nor is the only group that shows something the best for that."""
    groups = {"nothing": (0, 0.0, {"noising": CONSISTENT}), "janus": (2, 0.3, {})}
    third = {"more fog": (2, 0.4, {"noising": CONSISTENT | {"kernel": "tent"}})}
    for folder, some in (("two", groups), ("three", groups | third)):
        for name, (fronts, fog, config) in some.items():
            for seed in range(3):
                measured = truth(20.0, fronts, foggy_fraction=fog)
                make(tmp_path / folder / f"{name}{seed}", config | {"seed": seed}, measured)
    bold = "#result [data-metric=foggy_fraction] b"
    tab.page.goto(write([tmp_path / "two"], tmp_path / "two.html").as_uri())
    tab.page.select_option("#result .measure select", "foggy_fraction")
    assert tab.page.inner_text("#result .answer") == ""
    assert tab.page.locator(bold).count() == 0
    tab.page.goto(write([tmp_path / "three"], tmp_path / "three.html").as_uri())
    tab.page.select_option("#result .measure select", "foggy_fraction")
    assert tab.page.locator(bold).all_inner_texts() == ["30.0"]
    assert (
        "noising=random, 30.0 %. Next is noising=consistent noising.kernel=tent: 10 points worse"
        in tab.page.inner_text("#result .answer")
    )
    assert not tab.problems


@pytest.mark.parametrize(("seeds", "small"), [(1, ""), (2, "0 and 17"), (3, "[0, 180]")])
def test_intervals_are_possible_and_need_three_runs(seeds, small, tmp_path, tab):
    """View errors of 0, 17 and 170 degrees: Student's interval would begin at -170."""
    tab.page.goto(write([sweep(tmp_path / "s", seeds)], tmp_path / "page.html").as_uri())
    assert cell(tab, "random", "view_error_deg").locator("small").inner_text() == small
    tab.page.select_option("#result .measure select", "view_error_deg")
    assert tab.page.locator("#result .interval-plot g line").count() == (6 if seeds == 3 else 0)
    inside = """[...document.querySelectorAll('#result .interval-plot g > :not(title)')].every((each) => {
        const box = each.getBoundingClientRect(), plot = each.closest('svg').getBoundingClientRect();
        return box.left >= plot.left && box.right <= plot.right && box.top >= plot.top && box.bottom <= plot.bottom;
    })"""
    assert tab.page.evaluate(inside)


def test_turntables_change_their_ground_and_turn_by_themselves(filmed, tab):
    tab.page.goto(filmed.as_uri())
    tab.until("document.querySelector('#turntables input').value > 20")
    for ground in ("dark", "light"):
        tab.page.select_option("#turntables label:has-text('ground') select", ground)
        names = "[...document.querySelectorAll('#turntables video')].map((film) => film.className)"
        assert tab.page.evaluate(names) == [ground] * 2
        tab.until("[...document.querySelectorAll('#turntables video')].every((film) => film.readyState >= 2)")
        level = """(() => {
            const canvas = document.createElement('canvas').getContext('2d');
            canvas.drawImage(document.querySelector('#turntables video'), 0, 0);
            return canvas.getImageData(20, 20, 1, 1).data[0];
        })()"""
        assert (tab.page.evaluate(level) > 128) == (ground == "light")
    assert not tab.problems


@pytest.mark.parametrize("width", [390, 1440])
def test_nothing_is_wider_than_the_window(width, filmed, new_tab):
    tab = new_tab(width=width, height=900)
    tab.page.goto(filmed.as_uri())
    tab.page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    assert tab.page.evaluate("document.documentElement.scrollWidth") == width
    assert not tab.problems


def test_paper_has_light_ground_whole_tables_and_no_controls(filmed, new_tab):
    tab = new_tab(width=1030, height=700, color_scheme="dark")  # A4 across
    tab.page.goto(filmed.as_uri())
    tab.page.emulate_media(media="print", color_scheme="dark")
    tab.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    shown = tab.page.locator("section:visible h2").all_inner_texts()
    assert shown == ["Turntables", "Result", "Runs", "Curves"]
    assert tab.page.locator("nav:visible, .controls:visible, select:visible").count() == 0
    clipped = "(box) => box.offsetParent && box.scrollWidth > box.clientWidth"
    assert not tab.page.evaluate(f"[...document.querySelectorAll('.scroll')].some({clipped})")
    tab.page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert tab.page.locator("details[open]").count() == 0
