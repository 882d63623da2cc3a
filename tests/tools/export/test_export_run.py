import numpy as np
import pytest
import torch
import trimesh
from launch import LIGHT, SMALL, launch
from scipy.spatial import cKDTree

from gsd.meshing import bake, views
from gsd.rasterizer.ply import load_ply
from gsd.results.scene import load
from gsd.tools.export.__main__ import main
from gsd.types import Render


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("runs") / "run", *LIGHT, "steps=6", "representation.opacity=0.9")


def test_the_run_comes_back(folder):
    representation, step = load(folder, 0, torch.device("cpu"))
    assert step == 6
    saved, rebuilt = load_ply(folder / "scene.ply"), representation.splats()
    assert torch.allclose(rebuilt.means, saved.means, atol=1e-6)
    assert torch.allclose(rebuilt.sh, saved.sh, atol=1e-5)


def test_every_particle_comes_back(tmp_path, call, refusal):
    run = launch(tmp_path / "run", *SMALL, "steps=4", "particles=2", "metric=none")
    for particle, home in enumerate((run, run / "particle_1")):
        out = tmp_path / f"{particle}.ply"
        call(main, run, "--out", out, "--particle", particle)
        assert out.read_bytes() == (home / "scene.ply").read_bytes()
    assert "this run has 2; choose from 0 to 1" in refusal(main, run, "--format", "ply", "--particle", 2)


def test_every_format(folder, tmp_path, call, monkeypatch, capsys):
    monkeypatch.setattr(views, "PIXELS", 64)
    monkeypatch.setattr(views, "AZIMUTHS", 6)
    monkeypatch.setattr(bake, "SIDE", 128)
    before = (folder / "metrics.jsonl").read_bytes()
    for kind in ("glb", "obj", "ply", "splat"):
        out = tmp_path / "deeper" / f"cat.{kind}"
        call(main, folder, "--format", kind, "--out", out, "--resolution", 24)
        assert f"{out} (the scene after 6 steps)" in capsys.readouterr().out
    assert not list((tmp_path / "deeper").glob(".*"))
    assert (folder / "metrics.jsonl").read_bytes() == before  # a run that goes on is not disturbed
    means = load_ply(tmp_path / "deeper" / "cat.ply").means
    assert torch.equal(means, load_ply(folder / "scene.ply").means)
    mesh = trimesh.load(tmp_path / "deeper" / "cat.obj", force="mesh")
    nearest, _ = cKDTree(means[:, [1, 2, 0]].numpy()).query(mesh.vertices)
    assert nearest.max() < 0.5  # world units; of the 150 that begin as large as 0.2
    assert mesh.visual.material.image.size == (128, 128)
    assert {path.name for path in (tmp_path / "deeper").iterdir()} == {
        "cat.glb", "cat.obj", "cat.mtl", "cat.png", "cat.ply", "cat.splat",
    }  # fmt: skip
    call(main, folder, "--out", tmp_path / "plain.obj", "--resolution", 24, "--colors", "vertex")
    assert trimesh.load(tmp_path / "plain.obj", force="mesh").visual.kind == "vertex"
    call(main, folder, "--format", "splat")
    assert (folder / "scene.splat").stat().st_size == 32 * len(means)
    call(main, folder, "--out", tmp_path / "by_its_ending.splat")
    assert (tmp_path / "by_its_ending.splat").exists()


def test_faint_gaussians_are_left_out(folder, tmp_path, call, refusal):
    opacity = load_ply(folder / "scene.ply").opacity_logits.sigmoid()
    for least, left in ((0.0, 150), (float(opacity.median()), 76), (0.999, 150)):  # where none is left, all of them
        call(main, folder, "--out", tmp_path / "some.ply", "--min-opacity", least)
        assert len(load_ply(tmp_path / "some.ply").means) == left
    assert "--min-opacity 1" in refusal(main, folder, "--format", "ply", "--min-opacity", 1)


def test_refusals(folder, tmp_path, refusal):
    assert "choose glb, obj, ply, splat, spz" in refusal(main, folder, "--format", "stl")
    assert "--format is missing" in refusal(main, folder)
    assert "is no run folder" in refusal(main, tmp_path / "absent", "--format", "ply")
    assert not (tmp_path / "absent").exists()
    assert "must end in .ply" in refusal(main, folder, "--format", "ply", "--out", tmp_path / "a.glb")
    assert "--resolution 2: must be from 8 to 1024" in refusal(main, folder, "--format", "glb", "--resolution", 2)
    (tmp_path / "config.yaml").write_bytes((folder / "config.yaml").read_bytes())
    assert "has no checkpoint yet" in refusal(main, tmp_path, "--format", "ply")
    (tmp_path / "checkpoint.pt").write_bytes(b"nonsense")
    assert "checkpoint.pt is damaged" in refusal(main, tmp_path, "--format", "ply")


def test_a_field_is_a_mesh_and_no_gaussians(folder, tmp_path, call, refusal, monkeypatch):
    class Ball:
        def field(self, xyz):
            return 100 * (xyz.norm(dim=-1) < 0.5).float(), torch.full_like(xyz, 0.25)

        def render(self, cameras):
            flat = torch.ones(1, 1, cameras.height, cameras.width)
            return Render(0.25 * flat.expand(-1, 3, -1, -1), 2.5 * flat, flat)

    monkeypatch.setattr("gsd.tools.export.scene.load", lambda *_: (Ball(), 3))
    call(main, folder, "--out", tmp_path / "ball.obj", "--resolution", 24, "--level", 10)
    ball = trimesh.load(tmp_path / "ball.obj", force="mesh")
    assert np.linalg.norm(ball.vertices, axis=-1) == pytest.approx(0.5, abs=0.1)
    assert "choose --format glb or --format obj" in refusal(main, folder, "--format", "splat")
