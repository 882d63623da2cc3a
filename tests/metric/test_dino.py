"""Cosines of DINO's features beside plain transformers, what is compared with what, and which models are refused."""

import json
from dataclasses import replace

import pytest
import torch
from launch import LIGHT, launch
from torch.nn.functional import cosine_similarity, interpolate
from yardsticks import MEAN, STD, random_dino

from gsd.errors import GsdError
from gsd.geometry import turntable
from gsd.menagerie import load, trace
from gsd.metric.dino import Dino

VIEWS = 12
CAMERAS = turntable(VIEWS, 16)


@pytest.fixture(scope="module")
def dino(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dino")
    return folder, random_dino(folder)


@pytest.fixture(scope="module")
def show():
    return trace(load()["owl"].figure(0), CAMERAS)


def plain(model, rgb):
    """Class tokens of pictures that have the model's size."""
    seen = (rgb - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    with torch.no_grad():
        return model(pixel_values=seen).last_hidden_state[:, 0]


def test_it_is_the_cosine_of_plain_transformers(dino, show):
    folder, model = dino
    tokens = plain(model, show.rgb)
    alike = [[float(cosine_similarity(a, b, dim=0)) for b in tokens] for a in tokens]
    found = Dino(str(folder), apart_deg=30)(show, CAMERAS, "")
    neighbours = sum(alike[k][(k + 1) % VIEWS] for k in range(VIEWS)) / VIEWS
    assert found["dino_neighbours"] == pytest.approx(neighbours, abs=1e-5)
    assert found["dino_front"] == pytest.approx(sum(alike[0][1:]) / (VIEWS - 1), abs=1e-5)
    assert min(map(min, alike)) < 0.99  # or there would be nothing to tell apart
    further = Dino(str(folder), apart_deg=60, chunk=5)(show, CAMERAS, "")
    assert further["dino_neighbours"] == pytest.approx(
        sum(alike[k][(k + 2) % VIEWS] for k in range(VIEWS)) / VIEWS, abs=1e-5
    )
    assert further["dino_front"] == pytest.approx(found["dino_front"], abs=1e-5)


def test_views_are_those_of_their_cameras_in_any_order(dino, show):
    order = torch.randperm(VIEWS, generator=torch.Generator().manual_seed(0))
    mixed = replace(show, rgb=show.rgb[order], alpha=show.alpha[order], depth=show.depth[order])
    one, other = (Dino(str(dino[0]))(s, c, "") for s, c in ((show, CAMERAS), (mixed, CAMERAS[order])))
    assert one == pytest.approx(other, abs=1e-6)


def test_a_view_of_another_size_is_seen_whole(dino, show):
    large = interpolate(show.rgb, (40, 40), mode="nearest")
    small = interpolate(large, (16, 16), mode="bicubic", antialias=True).clamp(0, 1)
    tokens = Dino(str(dino[0])).features(large)
    assert torch.allclose(tokens, plain(dino[1], small), atol=1e-5)


@pytest.mark.parametrize("kind", ["Dinov2WithRegisters", "DINOv3ViT", "ViT"])
def test_relatives_are_read(kind, tmp_path, show):
    model = random_dino(tmp_path, kind)
    assert torch.allclose(Dino(str(tmp_path)).features(show.rgb), plain(model, show.rgb), atol=1e-5)


def test_more_faces_are_no_less_alike(dino):
    """As the docstring says of an extreme case: what looks the same from everywhere scores best."""
    same = trace(load()["owl"].figure(0), CAMERAS[torch.zeros(VIEWS, dtype=torch.long)])
    assert Dino(str(dino[0]))(same, CAMERAS, "") == pytest.approx({"dino_neighbours": 1, "dino_front": 1}, abs=1e-5)


def test_a_run_with_it(dino, tmp_path):
    launch(tmp_path / "run", *LIGHT, "steps=2", "metric=[dino]", f"metric.dino.model={dino[0]}")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert -1 <= summary["dino_front"] < summary["dino_neighbours"] + 1 <= 2


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda f: (f / "config.json").unlink(), r"config\.json is missing"),
        (lambda f: (f / "config.json").write_text('{"model_type": "bert"}'), "is a bert; give one of dinov2"),
        (lambda f: (f / "preprocessor_config.json").unlink(), r"preprocessor_config\.json is missing"),
        (lambda f: (f / "preprocessor_config.json").write_text("{}"), "does not say size, mean and deviation"),
        (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "gsd reads no pickles"),
        (lambda f: (f / "model.safetensors").write_bytes(b"cut"), "cannot be loaded"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(spoil, sentence, tmp_path):
    random_dino(tmp_path)
    spoil(tmp_path)
    with pytest.raises(GsdError, match=sentence) as caught:
        Dino(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_without_a_network_both_ways_out_are_named(monkeypatch, tmp_path):
    def download(repository, **options):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(GsdError, match=r"run once with a network .*, or set metric\.dino\.model=/path/to/a/copy"):
        Dino()
    with pytest.raises(GsdError, match=r"no such folder; give the folder .*facebook/dinov2-base"):
        Dino(str(tmp_path / "nothing"))
