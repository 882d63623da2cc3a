"""Pages in a real browser: Debian's Chromium without a window, driven by Playwright. A plugin of pytest (conftest.py).

def test_x(tab):
    tab.page.goto(path.as_uri())
    assert tab.page.inner_text("h1") == "..."
    assert not tab.problems
"""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (
    "--no-sandbox",  # the tests may run as root
    "--use-angle=swiftshader",  # WebGL without a graphics card
    "--enable-unsafe-swiftshader",
)
TIMEOUT_MS = 20_000  # of every wait: a fault then fails in seconds, and a busy machine does not


@dataclass
class Tab:
    """A page in a profile of its own, and what went wrong in it."""

    page: "playwright.sync_api.Page"  # imported only when a test asks for it
    problems: list[str] = field(default_factory=list)  # errors on the console, uncaught exceptions, failed requests
    requests: list[str] = field(default_factory=list)  # addresses asked for; not those inside the page (data:, blob:)

    def until(self, expression: str) -> None:
        """Wait until an expression of JavaScript is true. A page that forbids eval refuses Playwright's own wait."""
        end = time.monotonic() + TIMEOUT_MS / 1000
        while not self.page.evaluate(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            self.page.wait_for_timeout(50)


@pytest.fixture(scope="session")
def browser() -> Iterator["playwright.sync_api.Browser"]:
    if CHROMIUM is None:
        pytest.skip("no Chromium; apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def new_tab(browser):
    """new_tab(width=..., height=...) -> Tab: as many as a test needs, each without the others' cookies."""
    contexts = []

    def make(width: int = 1280, height: int = 900, **options) -> Tab:
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))
        contexts[-1].set_default_timeout(TIMEOUT_MS)
        tab = Tab(contexts[-1].new_page())
        tab.page.on("console", lambda m: tab.problems.append(m.text) if m.type == "error" else None)
        tab.page.on("pageerror", lambda error: tab.problems.append(str(error)))
        tab.page.on("requestfailed", lambda r: tab.problems.append(f"{r.url[:200]}: {r.failure}"))
        tab.page.on("request", lambda r: tab.requests.append(r.url) if r.url[:5] not in ("data:", "blob:") else None)
        return tab

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def tab(new_tab) -> Tab:
    return new_tab()
