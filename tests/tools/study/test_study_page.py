"""A rater in a real browser, from consent to thanks."""

import sqlite3
import statistics

import pytest
from studies import NAMES

from gsd.tools.study.analysis import read
from gsd.tools.study.make import Options, make
from gsd.tools.study.simulate import served
from gsd.tools.study.study import load


@pytest.fixture(scope="module")
def shared(sets, tmp_path_factory):
    """The folder and the address of a study for all tests that do not look at its votes."""
    folder = tmp_path_factory.mktemp("page") / "study"
    make(sets, folder, Options(seed=3, broken=1, names=NAMES))
    with served(folder) as (url, _):
        yield folder, url


@pytest.fixture(scope="module")
def url(shared):
    return shared[1]


@pytest.fixture
def own_url(folder):
    with served(folder) as (url, _):
        yield url


def begin(page, url):
    page.goto(url)
    assert page.is_disabled("#start")
    page.check("#agree")
    page.click("#start")
    ready(page, 1)


def ready(page, number):
    """The trial of this number can be answered. (The page's policy forbids wait_for_function, which evaluates text.)"""
    page.wait_for_selector(f"#count >> text=/^{number} of /")
    page.wait_for_selector("#questions button:enabled")


def test_from_consent_to_thanks(folder, own_url, tab):
    """By mouse, by keyboard, with a reload in between, and once more after it is over."""
    page = tab.page
    begin(page, own_url)
    assert page.inner_text("#count") == "1 of 5"
    assert page.inner_text("#prompt") == "“a full body of a cat with a hat”"
    assert page.is_disabled("#next")
    page.click("#question-geometry .left")
    page.click("#question-prompt .right")
    page.click("#question-overall .left")
    page.click("#question-overall .right")  # the last one counts
    page.click("#next")

    ready(page, 2)
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp", "ArrowRight", "ArrowRight"):  # the second one is changed
        page.keyboard.press(key)
    page.keyboard.press("Enter")

    ready(page, 3)
    page.keyboard.press("ArrowRight")
    page.reload()  # an answer begun is forgotten, those sent are not
    ready(page, 3)
    assert page.is_disabled("#next")
    for number in (3, 4, 5):
        ready(page, number)
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
    page.wait_for_selector("#thanks:visible")
    page.reload()
    page.wait_for_selector("#thanks:visible")
    assert not tab.problems
    assert all(request.startswith(own_url) for request in tab.requests)

    votes, _ = read(folder, load(folder))
    assert [list(v.choices.values()) for v in votes] == [
        ["left", "right", "right"],
        ["left", "right", "right"],
        *[["right"] * 3] * 3,
    ]
    database = sqlite3.connect(folder / "votes.sqlite")
    for *seconds, total, screen, window in database.execute(
        "SELECT geometry_seconds, prompt_seconds, overall_seconds, seconds, screen_size, window_size FROM answers"
    ):
        assert 0 < min(seconds) <= max(seconds) <= total < 60
        assert (screen, window) == ("1280x900", "1280x900")
    database.close()


def test_the_page_holds_no_condition(shared, tab):
    folder, url = shared
    begin(tab.page, url)
    study = load(folder)
    told = tab.page.evaluate(
        "document.documentElement.outerHTML + JSON.stringify([standing, study, [...films.keys()]])"
    )
    for scene in (*study.pairs, *study.broken):
        assert scene.a.run not in told
        assert scene.b.run not in told
    assert "secret" not in told


def test_media_are_fetched_once_and_ahead_of_time(url, tab):
    begin(tab.page, url)
    tab.page.wait_for_load_state("networkidle")
    seen = [request for request in tab.requests if "/media/" in request]
    assert len(seen) == len(set(seen)) >= 3  # of two trials, which may share the whole scene of a broken one
    for _ in range(3):
        tab.page.keyboard.press("ArrowLeft")
    tab.page.keyboard.press("Enter")
    ready(tab.page, 2)
    tab.page.wait_for_load_state("networkidle")
    later = [request for request in tab.requests if "/media/" in request]
    assert later[: len(seen)] == seen
    shown = set(tab.page.evaluate("[standing.trial.left, standing.trial.right]"))
    assert not shown & {request.rpartition("/")[2] for request in later[len(seen) :]}


def test_turntables_turn_together(url, tab):
    page = tab.page
    begin(page, url)
    gap = """() => {
        const [left, right] = [...document.querySelectorAll("video")];
        const apart = Math.abs(left.currentTime - right.currentTime);
        return [left.currentTime, Math.min(apart, left.duration - apart) / left.duration];
    }"""
    push = """() => {
        const [left, right] = [...document.querySelectorAll("video")];
        right.currentTime = (left.currentTime + right.duration / 2) % right.duration;
    }"""
    for _ in range(2):
        seen = []
        for _ in range(15):
            page.wait_for_timeout(60)
            seen.append(page.evaluate(gap))
        assert len({time for time, _ in seen}) > 3  # they do turn
        # Of a turn of 0.4 s; a busy machine may be late now and then, but films half a turn apart would stay so
        assert statistics.median(apart for _, apart in seen) < 0.15
        page.evaluate(push)
    page.keyboard.press(" ")
    assert page.evaluate("[...document.querySelectorAll('video')].every((film) => film.paused)")
    assert page.inner_text("#play") == "turn"
    page.locator("#angle").fill("90")
    page.wait_for_timeout(200)
    stood = page.evaluate("[...document.querySelectorAll('video')].map((film) => film.currentTime / film.duration)")
    assert stood == pytest.approx([0.25, 0.25], abs=0.01)
    assert not tab.problems


def test_the_id_leads_on_in_another_browser(url, new_tab):
    first, second = new_tab(), new_tab()
    begin(first.page, url)
    for _ in range(3):
        first.page.keyboard.press("ArrowLeft")
    first.page.keyboard.press("Enter")
    ready(first.page, 2)
    second.page.goto(url)
    second.page.click("summary")
    second.page.fill("#known", "0123456789")
    second.page.click("#resume button")
    second.page.wait_for_selector("text=No participant has this id.")
    second.page.fill("#known", first.page.inner_text("#trial .id"))
    second.page.click("#resume button")
    ready(second.page, 2)


def test_an_answer_given_in_another_window_is_not_given_again(folder, own_url, tab):
    page = tab.page
    begin(page, own_url)
    other = page.context.new_page()
    other.goto(own_url)
    ready(other, 1)
    for which, key in ((page, "ArrowLeft"), (other, "ArrowRight")):
        for _ in range(3):
            which.keyboard.press(key)
        which.keyboard.press("Enter")
        ready(which, 2)
    (only,), _ = read(folder, load(folder))
    assert set(only.choices.values()) == {"left"}


def test_an_answer_waits_for_a_server_that_is_away(folder, tab):
    page = tab.page
    with served(folder) as (url, server):
        begin(page, url)
        for _ in range(3):
            page.keyboard.press("ArrowLeft")
        server.kill()
        server.wait()
        page.keyboard.press("Enter")
        page.wait_for_selector("text=The server cannot be reached. Your answer is kept here")
        page.keyboard.press("ArrowRight")  # too late: what is shown is what is sent
        assert page.get_attribute("#question-overall .left", "aria-checked") == "true"
    with served(folder, int(url.rpartition(":")[2].strip("/"))):
        ready(page, 2)
        assert page.is_hidden("#notice")
    (only,), _ = read(folder, load(folder))
    assert set(only.choices.values()) == {"left"}


def test_six_views_with_ties(sets, tmp_path, tab):
    folder = tmp_path / "views"
    make(sets, folder, Options(show="views", tie=True, broken=0, mirrored=0, seed=1))
    with served(folder) as (url, _):
        page = tab.page
        begin(page, url)
        assert page.is_hidden("#turn")
        assert page.evaluate("[...document.querySelectorAll('.view img')].map((x) => x.naturalWidth)") == [192, 192]
        page.keyboard.press("t")
        page.click("#question-prompt .tie")
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        ready(page, 2)
    (only,), _ = read(folder, load(folder))
    assert list(only.choices.values()) == ["tie", "tie", "right"]
    assert not tab.problems


def test_what_cannot_be_seen_cannot_be_judged(folder, own_url, tab):
    for file in (folder / "media").iterdir():
        file.write_bytes(b"no film")
    page = tab.page
    page.goto(own_url)
    page.check("#agree")
    page.click("#start")
    page.wait_for_selector("text=This browser cannot show these models.")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#questions button:enabled, #questions [aria-checked=true]").count() == 0
    assert page.is_disabled("#next")


def test_all_is_on_the_screen(url, tab):
    page = tab.page
    begin(page, url)
    for width, height in ((1280, 720), (1920, 1080), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        box = page.locator("#next").bounding_box()
        assert box["y"] + box["height"] <= height
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        left, right = (page.locator(f"#{side}").bounding_box() for side in ("left", "right"))
        assert left["width"] == right["width"] == pytest.approx(left["height"], abs=1)
        assert left["x"] + left["width"] < right["x"]


def test_buttons_can_be_reached_by_tab_alone(url, tab):
    page = tab.page
    begin(page, url)
    page.focus("#question-geometry .right")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # of the focused one, not "next"
    assert page.get_attribute("#question-prompt .left", "aria-checked") == "true"
    assert page.inner_text("#count").startswith("1 of ")
