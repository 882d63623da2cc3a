"""The fixture itself sees what it is there to see: another test's "no problems" means something."""


def test_errors_and_requests_are_seen(tab, tmp_path):
    (tmp_path / "page.html").write_text(
        "<h1>here</h1><img src=absent.png>"
        "<script>console.error('told'); setTimeout(() => { throw Error('thrown') })</script>"
    )
    tab.page.goto((tmp_path / "page.html").as_uri())
    assert tab.page.inner_text("h1") == "here"
    tab.page.wait_for_timeout(100)
    assert [r.rpartition("/")[2] for r in tab.requests] == ["page.html", "absent.png"]
    for wanted in ("told", "thrown", "absent.png"):
        assert any(wanted in problem for problem in tab.problems), tab.problems


def test_tabs_share_no_cookies_and_have_their_size(new_tab):
    one, other = new_tab(width=500), new_tab()
    one.page.context.add_cookies([{"name": "who", "value": "1", "url": "http://localhost"}])
    assert not other.page.context.cookies()
    assert one.page.evaluate("innerWidth") == 500
    assert not one.problems


def test_webgl_draws(tab):
    tab.page.set_content("<canvas id=c></canvas>")
    drawn = tab.page.evaluate(
        """() => {
            const gl = document.querySelector("#c").getContext("webgl2"), pixel = new Uint8Array(4);
            gl.clearColor(1, 0.5, 0, 1), gl.clear(gl.COLOR_BUFFER_BIT);
            gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
            return [...pixel];
        }"""
    )
    assert drawn == [255, 128, 0, 255]
