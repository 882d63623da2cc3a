"""device=NAME for the programs on run folders: on the virtual device they compute what they compute on the CPU."""

import json
import sys

import pytest
import torch
from launch import LIGHT, launch
from virtual_cuda import virtual_cuda

from gsd.init.parts.cloud_file import from_npz
from gsd.tools import evaluate, init, noising_check
from gsd.tools.export import __main__ as export

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="a virtual device is for machines without a GPU")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("runs") / "run", *LIGHT, "steps=2")


@pytest.fixture
def on_both(monkeypatch):
    """Run a program on the CPU and on the virtual device; whether the latter computed anything."""

    def call(program, *words):
        for device in ("cpu", "cuda"):
            monkeypatch.setattr(sys, "argv", ["gsd", *(str(word) for word in words), f"device={device}"])
            with virtual_cuda() as book:
                try:
                    program.main()
                except SystemExit as ended:
                    if ended.code:
                        raise
                yield bool(book.count("kernel"))

    return call


def test_evaluate(folder, on_both):
    said = []
    for computed in on_both(evaluate, folder, "metric=truth"):
        said.append(json.loads((folder / "evaluation.json").read_text())["metrics"]["truth"]["numbers"])
        assert computed == (len(said) == 2)
    assert said[0]["psnr_aligned"] == pytest.approx(said[1]["psnr_aligned"], rel=1e-3)


def test_export(folder, on_both, tmp_path, monkeypatch):
    out = tmp_path / "scene.ply"
    files = [(computed, out.read_bytes()) for computed in on_both(export, folder, "--out", out)]
    assert [computed for computed, _ in files] == [False, True]
    assert files[0][1] == files[1][1]
    monkeypatch.setattr(sys, "argv", ["gsd", str(folder), "--out", str(out), "devise=cpu"])
    with pytest.raises(SystemExit, match="devise=cpu: one folder is taken, and device=NAME"):
        export.main()


def test_init(on_both, tmp_path):
    out = tmp_path / "cloud.npz"
    clouds = [from_npz(out) for _ in on_both(init, "init.points=20", "--out", out)]
    assert (clouds[0].xyz == clouds[1].xyz).all()


@pytest.mark.slow
def test_noising_check(folder, on_both, capsys):
    tables = []
    for computed in on_both(noising_check, "noising=random", "--run", folder, "--draws", 2):
        tables.append(capsys.readouterr().out)
        assert computed == (len(tables) == 2)
    assert tables[0] == tables[1]
    assert "claims" in tables[0]


@pytest.mark.parametrize("program", [evaluate, export, init, noising_check])
def test_a_device_that_is_not_there(program, folder, tmp_path, monkeypatch):
    words = {evaluate: [folder], export: [folder, "--format=ply"], init: ["--out", tmp_path / "x.ply"]}
    monkeypatch.setattr(sys, "argv", ["gsd", *(str(word) for word in words.get(program, [])), "device=mps"])
    with pytest.raises(SystemExit, match="device=mps is not a device; use auto, cpu or cuda"):
        program.main()
