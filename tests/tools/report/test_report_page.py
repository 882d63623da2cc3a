"""The file itself: whole, of bounded size, without network, and proof against what is written in the runs."""

import json
import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser

import pytest
from launch import ROOT, shell
from made_runs import CONSISTENT, blobs, make, record, strip

from gsd.errors import GsdError
from gsd.rasterizer.ply import save_ply
from gsd.tools.report import media, write

HOSTILE = """a </script><script>hostile=1</script> <!-- <b>"cat"</b> & 'dog' \u2028 ${x} {{ 7 * 7 }}"""


MEASURED = """
import re, sys, time
from pathlib import Path
from gsd.tools.report import write
write([Path(sys.argv[1])], Path(sys.argv[2]))
print(time.process_time(), re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


class Elements(HTMLParser):
    """What an HTML parser makes of the page: tags with their attributes, and the text of each script."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.scripts = [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, text):
        if self.tags and self.tags[-1][0] == "script":
            self.scripts[-1] += text

    @property
    def data(self):
        (index,) = [k for k, (_, a) in enumerate(t for t in self.tags if t[0] == "script") if a.get("id") == "data"]
        return json.loads(self.scripts[index])


def test_what_runs_say_stays_text(tmp_path):
    make(tmp_path / "plain")
    hostile = make(tmp_path / "hostile", {"prompt": HOSTILE}, {HOSTILE: 1.0}, [record(0, **{HOSTILE: 1.0})])
    (make(tmp_path / "failed", {"seed": 1}, status="FAILED") / "FAILED").write_text(HOSTILE, encoding="utf-8")
    page = Elements(write([tmp_path], tmp_path / "page.html"))
    assert {run["config"].get("prompt") for run in page.data["runs"]} == {"a cat", HOSTILE}
    assert HOSTILE in page.data["metrics"]
    assert {run["reason"] for run in page.data["runs"]} == {"", HOSTILE}
    shutil.rmtree(hostile)
    tame = Elements(write([tmp_path], tmp_path / "page.html"))
    assert [tag for tag, _ in page.tags] == [tag for tag, _ in tame.tags]  # not an element more


def test_nothing_is_fetched(tmp_path):
    make(tmp_path / "a")
    page = Elements(write([tmp_path], tmp_path / "page.html"))
    assert not [a for _, a in page.tags if {"src", "href"} & set(a)]
    (policy,) = [a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a]
    assert policy.startswith("default-src 'none';")
    assert not re.search(r"https?:", policy)


def test_media_are_named_where_they_lie(tmp_path):
    strip(make(tmp_path / "a"), 0)
    strip(tmp_path / "a", 9)
    (tmp_path / "a" / "strips").rename(tmp_path / "a" / "frames")
    strip(tmp_path / "a", 5)
    page = Elements(write([tmp_path], tmp_path / "page.html"))
    (run,) = page.data["runs"]
    names = {name for kind in ("strips", "frames") for _, name, _ in run[kind]} | {run["noise"][1]}
    assert [step for step, *_ in run["frames"]] == [0, 9]
    assert names == {a["id"] for tag, a in page.tags if tag == "script" and a.get("type") == "application/base64"}
    assert run["no_scene"]


def test_damaged_media_are_told_and_do_not_hinder(tmp_path):
    folder = make(tmp_path / "a", records=[{"loss": 1}])
    for name in ("turntable.mp4", "scene.ply", "strips/000000.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"nonsense")
    page = Elements(write([tmp_path], tmp_path / "page.html"))
    assert len(page.data["left_out"]) == 4
    assert not {"strips", "turntable", "scene", "curves"} & set(page.data["runs"][0])


def test_runs_beyond_the_limits_keep_their_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(media, "RUNS", 3)
    monkeypatch.setattr("gsd.tools.report.page.CURVES", 5)
    for seed in range(4):
        for name, config in (("a", {}), ("b", {"noising": CONSISTENT})):
            folder = make(tmp_path / f"{name}{seed}", config | {"seed": seed}, {"psnr": seed}, [record(0, loss=1.0)])
            strip(folder, 0)
    runs = Elements(write([tmp_path], tmp_path / "page.html")).data["runs"]
    assert len(runs) == 8
    assert all("psnr" in run["metrics"] for run in runs)
    shown = [run["name"] for run in runs if "strips" in run]
    assert shown == ["b0", "b1", "a0"]  # the first of each group, then the second of one
    assert sum("curves" in run for run in runs) == 5


def test_what_cannot_be_is_refused_in_a_sentence(tmp_path):
    make(tmp_path / "a")
    with pytest.raises(GsdError, match="is a folder"):
        write([tmp_path], tmp_path)
    with pytest.raises(GsdError, match="does not exist"):
        write([tmp_path / "nowhere"], tmp_path / "page.html")
    os.rename(tmp_path / "a", os.fsencode(tmp_path) + b"/\xff")  # a name that is no text
    assert Elements(write([tmp_path], tmp_path / "page.html")).data["title"] == "?"
    os.rename(os.fsencode(tmp_path) + b"/\xff", tmp_path / "a")
    (tmp_path / "a" / "config.yaml").unlink()
    data = Elements(write([tmp_path], tmp_path / "page.html")).data
    assert data["runs"] == []
    assert "config.yaml" in data["left_out"][0]


def test_the_command(tmp_path):
    make(tmp_path / "sweep" / "a")
    code, out, err = shell(ROOT, "report", str(tmp_path / "sweep"))
    assert code == 0, err
    assert out == f"{tmp_path}/sweep/report.html (0.2 MB)\n"
    assert Elements(tmp_path / "sweep" / "report.html").data["title"] == "a"
    code, _, err = shell(ROOT, "report", str(tmp_path / "sweep"), "nowhere")
    assert (code, err[:15]) == (1, "error: nowhere ")


@pytest.mark.slow
def test_five_thousand_runs_in_ten_seconds_and_half_a_gigabyte(tmp_path):
    records = [record(s, **{f"number/{k}": s * k / 7 for k in range(12)}) for s in range(150)]
    for k in range(5000):
        config = {"seed": k % 50, "prompt": f"animal {k // 50 % 10}", "noising": CONSISTENT | {"upsample": k // 500}}
        make(tmp_path / "sweep" / f"{k:05d}", config, {"psnr": k % 7, "janus": float(k % 3 == 0)}, records)
        if k % 50 == 0:
            strip(tmp_path / "sweep" / f"{k:05d}", 0, side=128)
            save_ply(tmp_path / "sweep" / f"{k:05d}" / "scene.ply", blobs(3000))
    out = tmp_path / "page.html"
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "sweep"), str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, kilobytes = map(float, done.stdout.split())
    assert seconds < 10  # of one core: the wall clock of a busy machine says nothing
    assert kilobytes < 500 * 1024
    assert out.stat().st_size < 30e6
