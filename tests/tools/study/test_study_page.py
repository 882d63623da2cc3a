"""A rater in a real browser, from consent to thanks."""

import shutil

import pytest
from crowd import served

from gsd.tools.study.study import load
from gsd.tools.study.votes import read


@pytest.fixture(scope="module")
def shared(made, tmp_path_factory):
    """The folder and the address of a study for all tests that do not look at its votes."""
    folder = shutil.copytree(made, tmp_path_factory.mktemp("page") / "study")
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
    page.click("#start")  # without consent
    assert page.is_hidden("#trial")
    page.check("#agree input")
    page.click("#start")
    ready(page, 1)


def ready(page, number):
    """The trial of this number can be answered."""
    page.wait_for_selector(f"#count >> text=/^{number} of /")
    page.wait_for_selector("#answers button:enabled")


def choose(page, *sides):
    for question, side in zip(("geometry", "prompt", "overall"), sides, strict=False):
        page.check(f"[name={question}][value={side}]")


def test_from_consent_to_thanks(folder, own_url, tab):
    """By mouse, by keyboard, with a reload in between, and once more after it is over."""
    page = tab.page
    begin(page, own_url)
    assert page.inner_text("#count") == "1 of 6"
    assert page.inner_text("#prompt") == "“a full body of a cat with a hat”"
    choose(page, "left", "right")
    page.click("#answers button")
    assert page.inner_text("#count") == "1 of 6"  # one question is open
    choose(page, "left", "right", "left")
    choose(page, "left", "right", "right")  # the last one counts
    page.click("#answers button")

    ready(page, 2)
    assert page.locator("#questions :checked").count() == 0
    page.focus("#play")
    for keys in (("Tab", "Tab", "Space"), ("Tab", "ArrowRight"), ("Tab", "ArrowRight"), ("Enter",)):
        for key in keys:
            page.keyboard.press(key)

    ready(page, 3)
    choose(page, "right")
    page.reload()  # an answer begun is forgotten, those sent are not
    ready(page, 3)
    assert page.locator("#questions :checked").count() == 0
    for number in (3, 4, 5, 6):
        ready(page, number)
        choose(page, "right", "right", "right")
        page.click("#answers button")
    page.wait_for_selector("#thanks:visible")
    page.reload()
    page.wait_for_selector("#thanks:visible")
    assert not tab.problems
    assert all(request.startswith(own_url) for request in tab.requests)

    votes = read(folder, load(folder))
    assert [v[5:8] for v in votes] == [("left", "right", "right")] * 2 + [("right",) * 3] * 4
    assert all(0 < v.seconds < 60 for v in votes)


def test_the_page_holds_no_condition(shared, tab):
    folder, url = shared
    begin(tab.page, url)
    study = load(folder)
    told = tab.page.evaluate("document.documentElement.outerHTML + JSON.stringify([standing, [...films.keys()]])")
    for scene in (*study.pairs, *study.broken):
        assert not any(run in told for run in scene.runs.values())
    assert "secret" not in told


def test_texts_are_set_as_text(folder, tab):
    """Also by whoever edits the consent, and for any prompt."""
    file, markup = folder / "study.json", "<img src=x onerror=document.title=1>"
    file.write_text(file.read_text().replace("a full body of a cat with a hat", markup).replace("Taking part", markup))
    with served(folder) as (url, _):
        tab.page.goto(url)
        tab.page.wait_for_selector("#consent p")  # set after the page was loaded
        assert markup in tab.page.inner_text("#consent")
        begin(tab.page, url)
        assert tab.page.inner_text("#prompt") == f"“{markup}”"
    assert tab.page.locator("img").count() == 0
    assert tab.page.title() != "1"


def test_films_are_fetched_once_and_ahead_of_time(url, tab):
    begin(tab.page, url)
    tab.page.wait_for_load_state("networkidle")
    films = [request for request in tab.requests if "/media/" in request]
    assert len(films) == len(set(films)) == 2
    choose(tab.page, "left", "left", "left")
    tab.page.click("#answers button")
    ready(tab.page, 2)
    tab.page.wait_for_load_state("networkidle")
    later = [request for request in tab.requests if "/media/" in request]
    assert len(later) == len(set(later)) == 3
    assert later[:2] == films


def test_turntables_turn_and_stop_at_any_angle(url, tab):
    page = tab.page
    begin(page, url)
    assert page.evaluate("[film.videoWidth, film.videoHeight]") == [128, 64]
    times = set()
    for _ in range(8):
        page.wait_for_timeout(60)
        times.add(page.evaluate("film.currentTime"))
    assert len(times) > 2
    page.click("#play")
    assert page.evaluate("film.paused")
    page.locator("#angle").fill("0.25")
    tab.until("!film.seeking")
    assert page.evaluate("film.currentTime / film.duration") == pytest.approx(0.25, abs=0.01)
    page.click("#play")
    assert not page.evaluate("film.paused")
    assert not tab.problems


def test_an_answer_given_in_another_window_is_not_given_again(folder, own_url, tab):
    page = tab.page
    begin(page, own_url)
    other = page.context.new_page()
    other.goto(own_url)
    ready(other, 1)
    for which, side in ((page, "left"), (other, "right")):
        choose(which, side, side, side)
        which.click("#answers button")
        ready(which, 2)
    (only,) = read(folder, load(folder))
    assert only[5:8] == ("left",) * 3


def test_an_answer_waits_for_a_server_that_is_away(folder, tab):
    page = tab.page
    with served(folder) as (url, server):
        begin(page, url)
        choose(page, "left", "left", "left")
        server.kill()
        server.wait()
        page.click("#answers button")
        page.wait_for_selector("text=The server cannot be reached. Your answer is kept here")
        assert page.is_disabled("#answers button")  # too late for changes: what is shown is what is sent
        assert page.is_checked("[name=overall][value=left]")
    with served(folder, int(url.rpartition(":")[2].strip("/"))):
        ready(page, 2)
        assert page.is_hidden("#notice")
    (only,) = read(folder, load(folder))
    assert only[5:8] == ("left",) * 3


def test_what_cannot_be_seen_cannot_be_judged(folder, own_url, tab):
    for file in (folder / "media").iterdir():
        file.write_bytes(b"no film")
    tab.page.goto(own_url)
    tab.page.check("#agree input")
    tab.page.click("#start")
    tab.page.wait_for_selector("text=This browser cannot show these models.")
    assert tab.page.is_disabled("#answers button")


def test_all_is_on_the_screen(url, tab):
    page = tab.page
    begin(page, url)
    for width, height in ((1280, 720), (1920, 1080), (390, 844)):
        page.set_viewport_size({"width": width, "height": height})
        box = page.locator("#answers button").bounding_box()
        assert box["y"] + box["height"] <= height
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        film = page.locator("#film").bounding_box()
        assert film["width"] == pytest.approx(2 * film["height"], abs=3)
        assert film["height"] > 150
