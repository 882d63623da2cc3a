import pytest
import torch
from pretrained import random_shap_e

from gsd.errors import GsdError
from gsd.init.parts import sampled
from gsd.init.shap_e import ShapE, _on_surface
from gsd.meshing.texture import to_linear, to_srgb
from gsd.random import Stream
from gsd.types import Context, PointCloud

CPU, RNG = torch.device("cpu"), Stream(0, "init")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GSD_CACHE", str(tmp_path / "cache"))


def small(folder, **options):
    return ShapE(Context("a corgi"), model=str(folder), sampling_steps=2, points=500, **options)


def test_a_random_pipeline_gives_a_cloud_that_is_sampled_once(tmp_path, monkeypatch):
    pipeline = random_shap_e(tmp_path / "shap_e", monkeypatch)
    cloud = small(tmp_path / "shap_e")(RNG)
    assert cloud.xyz.shape == cloud.rgb.shape == (500, 3)
    assert cloud.xyz.norm(dim=-1).max() == pytest.approx(0.6, abs=1e-5)

    pipeline.set_progress_bar_config(disable=True)
    mesh = pipeline(
        "a corgi", num_inference_steps=2, guidance_scale=15.0, generator=RNG.generator(), output_type="mesh"
    ).images[0]
    raw = small(tmp_path / "shap_e", yaw=0.0)(RNG)
    fitted = sampled.fitted(mesh.verts, 0.6)
    assert torch.allclose(raw.xyz.amax(0), fitted.amax(0), atol=0.1)  # 500 points reach nearly as far as all vertices
    assert torch.cdist(raw.xyz, fitted).min(1)[0].max() < 0.1

    monkeypatch.setattr(ShapE, "_sample", lambda *_: pytest.fail("sampled again"))
    again = small(tmp_path / "shap_e")(RNG)
    assert torch.equal(again.xyz, cloud.xyz)
    with pytest.raises(pytest.fail.Exception):
        small(tmp_path / "shap_e")(Stream(1, "init"))


def test_points_are_spread_over_the_triangles():
    vertices = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [5, 0, 0], [6, 0, 0], [5, 3, 0]])
    faces = torch.tensor([[0, 1, 2], [3, 4, 5]])
    cloud = _on_surface(vertices, faces, vertices.clamp(0, 1), 4000, RNG)
    large = cloud.xyz[:, 0] >= 5
    assert abs(large.float().mean() - 0.75) < 4 * (0.75 * 0.25 / 4000) ** 0.5
    inside = cloud.xyz[~large]
    assert torch.allclose(inside.mean(0), vertices[:3].mean(0), atol=4 * (1 / 18 / 1000) ** 0.5)
    assert torch.allclose(cloud.rgb[~large], inside.clamp(0, 1), atol=1e-6)


def test_colours_are_those_of_the_screen():
    from diffusers.pipelines.shap_e.renderer import _convert_srgb_to_linear

    values = torch.linspace(0, 1, 50)[:, None].expand(-1, 3)
    linear = _convert_srgb_to_linear(values)
    assert torch.allclose(to_srgb(linear), values, atol=1e-4)
    assert torch.allclose(to_linear(values), linear, atol=1e-4)


def test_refusals(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(GsdError, match=r"no pipeline in the diffusers layout .* init=menagerie"):
        small(tmp_path)
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    with pytest.raises(GsdError, match="is a StableDiffusionPipeline"):
        small(tmp_path)

    def nothing(*_, **__):
        raise OSError("no network.")

    monkeypatch.setattr("diffusers.DiffusionPipeline.download", nothing)
    with pytest.raises(GsdError, match=r"\(no network\); get it .* `hf download some/where`"):
        small("some/where")


def test_kept_clouds_are_exact_and_by_key(tmp_path):
    cloud = PointCloud(torch.rand(5, 3), torch.rand(5, 3))
    kept = sampled.CloudCache("model", "prompt", 1)
    assert not kept.any()
    kept(RNG, lambda _: cloud)
    assert kept.any()
    back = kept(RNG, lambda _: pytest.fail("sampled again"))
    assert torch.equal(back.xyz, cloud.xyz)
    assert torch.equal(back.rgb, cloud.rgb)
    assert not sampled.CloudCache("model", "prompt", 2).any()
