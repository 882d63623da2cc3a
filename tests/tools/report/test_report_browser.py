"""The page in a browser, opened from a file: it shows, sorts, plays and turns, without a request or an error."""

import io
import json
import shutil
import time

import imageio.v2 as imageio
import numpy as np
import pytest
from launch import LIGHT, launch
from made_runs import CONSISTENT, blobs, make, record
from PIL import Image

from gsd.rasterizer.ply import save_ply
from gsd.tools.report import write

HOSTILE = "a cat </script><script>window.hostile = 1</script> \"and\" 'more' <img src=x onerror='hostile=1'>"
RUNS = ("noising=random seed=0", "noising=random seed=1", "noising=consistent seed=0", "noising=consistent seed=1")
SIZE = ("steps=6", "images_every=3", "turntable.views=60", "turntable.resolution=32")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of four real runs and one that failed, with evaluations as a later command adds them."""
    folder = tmp_path_factory.mktemp("report") / "sweep"
    for k, overrides in enumerate(RUNS):
        run = launch(folder / f"run{k}", *LIGHT, *SIZE, *overrides.split(), filmed=True)
        lines = [record(step, psnr=20.0 + k + step) for step in (0, 3, 5)]
        (run / "evaluations.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.copytree(folder / "run0", folder / "failed")
    for name in ("DONE", "summary.json", "turntable.mp4", "scene.ply", "evaluations.jsonl"):
        (folder / "failed" / name).unlink()
    (folder / "failed" / "FAILED").write_text("Traceback (most recent call last):\nRuntimeError: out of memory\n")
    return write([folder], folder / "report.html")


@pytest.fixture
def shown(page, new_tab):
    tab = new_tab(reduced_motion="reduce")  # or the turntables turn at once
    tab.page.goto(page.as_uri())
    yield tab
    assert not tab.problems
    assert tab.requests == [page.as_uri()]


def cells(tab, title):
    """The texts of a column of the table of runs. title: a setting, or a metric by its key."""
    heads = tab.page.locator("#runs thead th").all()
    at = [head.get_attribute("title") or head.text_content() for head in heads].index(title)
    return tab.page.locator(f"#runs tbody tr > :nth-child({at + 1})").all_text_contents()


def pixels(locator):
    return np.asarray(Image.open(io.BytesIO(locator.screenshot())).convert("RGB"), np.float32)


def unfold(tab, section):
    """What is folded away is shown."""
    tab.page.click(f"#{section} > details:not([open]) > summary")


def test_it_opens_with_pictures_then_the_result_and_the_rest_is_folded(shown):
    titles = shown.page.locator("section:visible h2").all_inner_texts()
    assert titles == [
        "Turntables", "Result", "Runs", "All metrics", "Curves", "Settings and metrics", "Pictures by step",
        "Gaussians in 3D", "Noise", "Cost", "Configs",
    ]  # fmt: skip
    folded = shown.page.locator("main > section:not([hidden]):has(> details:not([open])) h2").all_inner_texts()
    assert folded == titles[2:]
    shown.page.click("nav a:has-text('Runs')")
    assert shown.page.inner_text(".facts").startswith("5 runs: 4 done, 1 failed · 4 done but empty · commit ")
    assert "RuntimeError: out of memory" in shown.page.inner_text("#runs .failed")
    assert cells(shown, "noising") == ["consistent", "consistent", "random", "random", "random"]


def test_a_click_on_a_column_sorts(shown):
    unfold(shown, "runs")
    head = shown.page.locator("#runs th[title=chamfer]")
    for direction in ("ascending", "descending"):
        head.locator("button").click()
        found = [float(text) if text != "–" else None for text in cells(shown, "chamfer")]
        assert head.get_attribute("aria-sort") == direction
        assert found[-1] is None  # the run that failed has none: last either way
        assert found[:-1] == sorted(found[:-1], reverse=direction == "descending")
        assert len(set(found)) > 2
    shown.page.fill("#runs input[type=search]", "seed=1")
    assert cells(shown, "seed") == ["1", "1"]


def test_groups_show_the_means(shown):
    runs = json.loads(shown.page.locator("#data").text_content())["runs"]
    done = [run for run in runs if run["metrics"] and run["config"]["noising"] == "random"]
    random = [run["metrics"]["psnr_aligned"] for run in done]
    row = shown.page.locator("#result tbody tr", has_text="random")
    assert row.locator("[data-metric=psnr_aligned] > :first-child").inner_text() == f"{np.mean(random):.1f}"
    assert "of 3" in row.inner_text()  # two of three runs are done
    assert shown.page.locator("#result svg circle:not(.run)").count() == 2
    assert shown.page.locator("#result svg circle.run").count() == 4
    shown.page.select_option("#result .measure select", "janus")
    assert "Janus, %" in shown.page.text_content("#result svg .axis")


def test_curves_choose_quantity_axis_and_runs(shown):
    def axis():
        return shown.page.locator("#curves svg text.axis").all_text_contents()

    def lines():
        return shown.page.locator("#curves svg path.line").count()

    unfold(shown, "curves")
    assert axis() == ["step", "evaluation/psnr"]
    assert lines() == 4  # each run: two have no interval worth a band
    shown.page.select_option("#curves label:text-matches('^over') select", "prior_calls")
    shown.page.select_option("#curves label:has-text('quantity') select", "loss/score")
    assert axis() == ["prior calls", "loss/score"]
    assert lines() == 5  # the run that failed got as far as this
    shown.page.select_option("#curves label:has-text('show') select", label="mean and interval")
    assert lines() == 2
    assert shown.page.locator("#curves svg path.band").count() == 0
    shown.page.locator("#curves .legend button").first.click()
    assert lines() == 1
    shown.page.locator("#curves svg").hover()
    assert "loss/score" not in shown.page.inner_text("#curves .read-out")
    assert "noising=random" in shown.page.inner_text("#curves .read-out")


def test_metrics_of_views_are_drawn_around_the_turn(tmp_path, tab):
    """A colour for each group, a dash for each metric; not among the curves over steps."""
    for seed in range(3):
        for noising in (CONSISTENT, {"_target_": "gsd.noising.random.Random"}):
            views = {f"clip_{word}": [0.1 * k + seed, 0.5, 0.7, 0.2] for k, word in enumerate(("front", "back"))}
            folder = tmp_path / f"{noising['_target_'][-6:]}{seed}"
            make(folder, {"noising": noising, "seed": seed}, {"psnr": 1.0} | views, [record(0, loss=1.0)])
    tab.page.goto(write([tmp_path], tmp_path / "page.html").as_uri())
    unfold(tab, "turns")

    def lines(of="line"):
        drawn = tab.page.locator(f"#turns svg.line-plot path.{of}").all()
        return {(line.get_attribute("stroke"), line.get_attribute("stroke-dasharray")) for line in drawn}, len(drawn)

    assert tab.page.locator("#turns svg text.axis").all_text_contents() == ["azimuth, degrees", "value of the view"]
    styles, count = lines()
    assert count == len(styles) == 4
    assert len({colour for colour, _ in styles}) == len({dash for _, dash in styles}) == 2
    assert lines("band")[1] == 0
    tab.page.select_option("#turns label:has-text('metric') select", "clip_back")
    assert lines()[1] == lines("band")[1] == 2
    tab.page.select_option("#turns label:has-text('show') select", label="each run")
    assert lines()[1] == 6
    options = tab.page.locator("#curves label:has-text('quantity') option").all_text_contents()
    assert options == ["loss"]
    assert not tab.problems


def test_pictures_come_when_they_are_seen(shown):
    filled = "[...document.querySelectorAll('#pictures .tile')].filter((t) => t.style.backgroundImage).length"
    shown.page.locator("#pictures").scroll_into_view_if_needed()
    shown.page.wait_for_timeout(200)
    assert shown.page.evaluate(filled) == 0
    unfold(shown, "pictures")
    shown.page.locator("#pictures .note").scroll_into_view_if_needed()
    shown.until(f"{filled} === 6")  # two runs at steps 0, 3 and 5
    assert shown.page.locator("#pictures thead th").all_inner_texts() == ["run", "step 0", "step 3", "step 5"]
    assert pixels(shown.page.locator("#pictures .tile").first).std() > 5
    unfold(shown, "runs")
    shown.page.locator("#runs tbody input").nth(1).check()
    shown.page.locator("#pictures .note").scroll_into_view_if_needed()
    shown.until(f"{filled} === 9")
    shown.page.select_option("#pictures select", "whole strip")
    shown.until("[...document.querySelectorAll('#pictures img')].every((i) => i.naturalWidth === 512)")


def test_turntables_play_and_scrub_in_step(shown):
    unfold(shown, "runs")
    for box in shown.page.locator("#runs tbody input").all()[:4]:
        box.check()
    shown.page.locator("#turntables").scroll_into_view_if_needed()
    ready = "[...document.querySelectorAll('#turntables video')].filter((v) => v.readyState >= 2 && !v.seeking).length"
    turns = "[...document.querySelectorAll('#turntables video')].map((v) => v.currentTime / v.duration)"
    shown.until(f"{ready} >= 3")
    assert shown.page.evaluate(turns) == [0] * shown.page.locator("#turntables video").count()
    shown.page.click("#turntables .play")
    shown.until("document.querySelector('#turntables input').value > 60")
    playing = np.array(shown.page.evaluate(turns))
    assert np.ptp(playing) < 0.06  # of a turn, on a busy machine; they are put right beyond 0.02
    assert playing.min() > 0.05
    shown.page.click("#turntables .play")
    shown.page.fill("#turntables input", "90")
    count = shown.page.locator("#turntables video").count()
    shown.until(f"{ready} === {count}")
    np.testing.assert_allclose(shown.page.evaluate(turns), 0.25, atol=1e-3)
    assert shown.page.evaluate("[...document.querySelectorAll('#turntables video')].every((v) => v.paused)")
    assert shown.page.inner_text("#turntables output") == "90°"


@pytest.fixture(scope="module")
def landmarks(tmp_path_factory):
    """A scene that says where the world's axes are: red at +x, the front, green at +y, blue at +z, the top."""
    folder = make(tmp_path_factory.mktemp("landmarks") / "axes")
    where = [[0.5, 0.0, 0.0], [0.0, 0.6, 0.0], [0.0, 0.0, 0.6]]
    save_ply(folder / "scene.ply", blobs(3, where, [[1.0, 0, 0], [0, 0.8, 0], [0, 0, 1.0]]))
    make(folder.parent / "field", {"seed": 1})
    return write([folder.parent], folder.parent / "report.html")


def test_gaussians_are_seen_from_the_front_and_turn(landmarks, tab):
    tab.page.goto(landmarks.as_uri())
    unfold(tab, "scene")
    canvas = tab.page.locator("#scene canvas")
    canvas.scroll_into_view_if_needed()

    def places():
        """Of red, green and blue once the canvas rests: x and y in it, from -1 (left, top) to 1; nan if not seen."""
        tab.page.wait_for_timeout(1500)
        image = pixels(canvas)
        found = []
        for k in range(3):
            seen = np.argwhere(image[..., k] > np.delete(image, k, 2).max(2) + 60)  # row, column
            centre = 2 * seen.mean(0) / image.shape[:2] - 1 if len(seen) > 50 else [np.nan] * 2
            found.append(centre[::-1])
        return np.array(found)

    red, green, blue = places()
    assert abs(red[0]) < 0.05
    assert red[1] > 0  # the camera is above the horizon and sees what is near below the middle
    assert green[0] > 0.4  # +y is at the right of who looks against +x
    assert abs(green[1]) < 0.1
    assert abs(blue[0]) < 0.05
    assert blue[1] < -0.4

    box = canvas.bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.page.mouse.move(*middle)
    tab.page.mouse.down()
    tab.page.mouse.move(middle[0] + 120, middle[1], steps=6)
    tab.page.mouse.up()
    turned = places()
    assert turned[0, 0] > 0.2  # what is near follows the pointer to the right
    assert abs(turned[2, 0]) < 0.05  # about the axis that points up
    tab.page.click("#scene button")
    np.testing.assert_allclose(places(), [red, green, blue], atol=0.03)
    assert "(no Gaussians)" in tab.page.inner_text("#scene select")
    assert not tab.problems
    assert tab.requests == [landmarks.as_uri()]


def test_the_gaussians_of_a_run_look_as_its_turntable(page, shown):
    unfold(shown, "scene")
    canvas = shown.page.locator("#scene canvas")
    canvas.scroll_into_view_if_needed()
    shown.page.wait_for_timeout(1500)
    drawn = Image.fromarray(pixels(canvas)[4:-4, 4:-4].astype(np.uint8)).resize((32, 32), Image.Resampling.BOX)
    name = shown.page.evaluate("runs[Number(document.querySelector('#scene select').value)].name")
    first = imageio.mimread(page.parent / name / "turntable.mp4")[0]
    difference = np.abs(np.asarray(drawn, np.float32) - first).mean()
    assert difference < 12  # of 255: another rasteriser, and the film's compression
    assert np.abs(255.0 - first).mean() > 24  # twice what they may differ: not both are white


def test_configs_show_what_differs(shown):
    unfold(shown, "configs")
    keys = shown.page.locator("#configs tbody th").all_inner_texts()
    assert "noising" in keys
    assert "noising.kernel" in keys
    assert "camera.views" not in keys
    shown.page.check("#configs input")
    assert "camera.views" in shown.page.locator("#configs tbody th").all_inner_texts()


def test_what_runs_say_does_not_run(tmp_path, tab):
    for seed in (0, 1):
        make(tmp_path / f"h{seed}", {"prompt": HOSTILE, "seed": seed}, {HOSTILE: seed}, [record(0, **{HOSTILE: 1.0})])
    make(tmp_path / "plain", {"noising": CONSISTENT})
    (make(tmp_path / "failed", {"seed": 2}, status="FAILED") / "FAILED").write_text(HOSTILE)
    tab.page.goto(write([tmp_path], tmp_path / "page.html").as_uri())
    assert HOSTILE in cells(tab, "prompt")
    assert HOSTILE in tab.page.text_content("#runs .failed")
    assert tab.page.evaluate("window.hostile") is None
    assert tab.page.locator("img").count() == 0
    assert not tab.problems


@pytest.mark.parametrize("kind", ["single", "failed", "damaged", "many"])
def test_odd_reports_open(kind, tmp_path, tab):
    if kind == "many":
        for seed in range(250):
            make(tmp_path / f"{seed}", {"seed": seed}, {"psnr": seed % 9})
    else:
        folder = make(tmp_path / "a", metrics={"psnr": 1.0}, status="FAILED" if kind == "failed" else "DONE")
        if kind == "damaged":
            (folder / "summary.json").write_text("{")
    tab.page.goto(write([tmp_path], tmp_path / "page.html").as_uri())
    rows = tab.page.locator("#runs tbody tr")
    assert rows.count() == {"many": 200, "damaged": 0}.get(kind, 1)
    if kind == "many":
        unfold(tab, "runs")
        tab.page.click("text=show all 250")
        assert rows.count() == 250
    if kind == "damaged":
        assert "1 thing could not be read" in tab.page.inner_text("details")
    assert not tab.problems


@pytest.mark.slow
def test_forty_runs_of_default_size(tmp_path, tab):
    """Built in 10 s, below 30 MB, open in 2 s: turntables of 120 views of 256 pixels, 3000 Gaussians, 600 steps."""
    first = launch(tmp_path / "sweep" / "0", "threads=1", "steps=20", "images_every=3", "metric=none")
    lines = [record(step, **{f"number/{k}": k * step / 7 for k in range(14)}) for step in range(600)]
    (first / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = (first / "config.yaml").read_text()
    for seed in range(1, 40):
        shutil.copytree(first, tmp_path / "sweep" / f"{seed}")
        (tmp_path / "sweep" / f"{seed}" / "config.yaml").write_text(config.replace("\nseed: 0\n", f"\nseed: {seed}\n"))
    began = time.process_time()  # of one core: the wall clock of a busy machine says nothing
    page = write([tmp_path / "sweep"], tmp_path / "page.html")
    assert time.process_time() - began < 10
    assert page.stat().st_size < 30e6
    tab.page.goto(page.as_uri())
    assert tab.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") < 2000
    assert tab.page.locator("#runs tbody tr").count() == 40
    data = json.loads(tab.page.locator("#data").text_content())
    assert all({"strips", "turntable", "scene", "curves"} <= set(run) for run in data["runs"])
    assert {run["scene"][1] for run in data["runs"]} == {3000}
