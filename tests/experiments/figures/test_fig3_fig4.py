"""The figures of one scene: gradients of two views, and the stages of the noise."""

import json

import fig3_gradients
import fig4_stages
import pytest
import scenes
import torch
from launch import SMALL, launch

from gsd.tools.noising_check import configured


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run that starts from a rough animal."""
    settings = [item for item in SMALL if not item.startswith(("camera.resolution", "init.points"))]
    return launch(
        tmp_path_factory.mktemp("run"), *settings, "init=menagerie", "camera.resolution=40", "steps=3", "metric=none"
    )


def test_gradients_of_two_views_agree_more_with_3d_noise(folder, call, tmp_path, monkeypatch):
    """Measured: eq. 9 .06 and .01 with random noise, .67 and .66 with 3D noise; eq. 10 .44 and .37, .84 and .71."""
    monkeypatch.setattr(fig3_gradients, "LEVELS", (0.4, 0.7))
    monkeypatch.setattr(fig3_gradients, "SHOWN", 1)
    call(fig3_gradients.main, "--scene", folder, "--draws", "3", "--out", tmp_path)
    result = json.loads((tmp_path / "result.json").read_text())
    assert (result["scene"], result["steps"], len(result["sigma"])) == (str(folder), 3, 2)
    cosine = result["cosine"]
    for low, high in zip(cosine["random noise, eq. 9"], cosine["3D noise, eq. 9"], strict=True):
        assert abs(low) < 0.15
        assert high > 0.55
    assert sum(cosine["3D noise, eq. 10"]) > sum(cosine["random noise, eq. 10"]) + 0.3
    assert (tmp_path / "table.md").read_text().count("\n") == 4
    assert (tmp_path / "figure.png").stat().st_size > 10_000


def test_the_stages_end_in_the_noise_of_the_step(folder, call, tmp_path):
    """Summing the sub-points that fall into a pixel gives its noise; those of a point sum to its value."""
    _, sight = scenes.opened(folder)
    noising = configured([*fig4_stages.SETTINGS])
    found = fig4_stages.stages(noising, sight, 5.0)
    for view in range(2):
        fed = found.pixel[view] >= 0
        count = torch.bincount(found.pixel[view][fed], minlength=1600)
        total = torch.zeros(1600).index_add_(0, found.pixel[view][fed], found.sub_values[fed])
        assert (count > 0).sum() > 100
        made = total[count > 0] / count[count > 0] ** 0.5
        assert torch.allclose(made, found.maps[view].flatten()[count > 0], atol=1e-5)
    assert found.values.var() == pytest.approx(1, abs=0.15)
    assert found.sub_values.var() == pytest.approx(1, abs=0.05)
    call(fig4_stages.main, "--scene", folder, "noising.upsample=4", "--out", tmp_path)
    first, second = json.loads((tmp_path / "result.json").read_text())["views"]
    assert first["points"] == second["points"] == len(found.values)
    assert 0 < first["seen"] < first["points"]
    assert first["with sub-points"] <= first["pixels of the object"]
    assert (tmp_path / "figure.pdf").exists()


def test_other_noisings_have_other_stages(call, tmp_path):
    with pytest.raises(SystemExit, match="stages of noising=consistent"):
        call(fig4_stages.main, "noising.kernel=tent", "--out", tmp_path)


def test_a_scene_is_made_where_none_is_given(monkeypatch):
    monkeypatch.setattr(scenes, "STEPS", 2)
    monkeypatch.setattr(scenes, "MADE", (*scenes.MADE, "camera.resolution=16"))
    experiment, sight = scenes.opened(None)
    assert sight.steps == 2
    assert (sight.views(0.0, 5.0).alpha > 0.5).any()
    assert experiment.prompt == "a full body of a cat with a hat"
