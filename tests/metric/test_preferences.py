"""HPS beside plain open_clip, PickScore beside plain transformers, and what happens without their weights."""

import json

import pytest
import torch
from launch import LIGHT, launch
from safetensors.torch import save_file
from torch.nn.functional import interpolate
from yardsticks import MEAN, STD, random_pick_score

from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError
from gsd.geometry import turntable
from gsd.menagerie import load, trace
from gsd.metric.hps import HPS
from gsd.metric.parts.clip import TINY
from gsd.metric.pick_score import PickScore

CAMERAS, PROMPT = turntable(6, 32), "an owl"
ARCHITECTURE = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def show():
    return trace(load()["owl"].figure(0), CAMERAS)


@pytest.fixture(scope="module")
def pick_score(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pick_score")
    return folder, random_pick_score(folder)


@pytest.fixture
def architecture(monkeypatch):
    """ViT-H-14 has a billion weights: this stands in under its name."""
    mend_torchvision()
    import open_clip

    monkeypatch.setattr("open_clip.factory._MODEL_CONFIGS", {"ViT-H-14": ARCHITECTURE})
    return open_clip


def test_hps_is_what_plain_open_clip_says(architecture, show, tmp_path):
    torch.manual_seed(0)
    model = architecture.create_model("ViT-H-14").eval()
    save_file(model.state_dict(), tmp_path / "hps.safetensors")
    found = HPS(pretrained=str(tmp_path / "hps.safetensors"))(show, CAMERAS, PROMPT)
    mean, std = (torch.tensor(values)[:, None, None] for values in (model.visual.image_mean, model.visual.image_std))
    text = architecture.get_tokenizer("ViT-H-14")([PROMPT])
    with torch.no_grad():
        cosines = model.encode_image((show.rgb - mean) / std, normalize=True) @ model.encode_text(text, True).T
    assert found["hps"] == pytest.approx(100 * float(cosines.mean()), abs=1e-3)
    assert found["hps_min"] == pytest.approx(100 * float(cosines.min()), abs=1e-3)
    assert found["hps_min"] < found["hps"]


def test_hps_from_a_folder_in_a_run(tmp_path):
    launch(tmp_path / "run", *LIGHT, "steps=2", "metric=[hps]", f"metric.hps.model={TINY}")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert -100 <= summary["hps_min"] <= summary["hps"] <= 100


@pytest.mark.parametrize("options", [{}, {"pretrained": "laion2b_s32b_b79k"}, {"model": "tiny"}])
def test_plain_clip_is_not_taken_for_hps(options):
    with pytest.raises(
        GsdError, match=r"HPS_v2\.1_compressed\.pt from huggingface\.co/xswu/HPSv2 and rewrite"
    ) as caught:
        HPS(**options)
    assert "\n" not in str(caught.value)


def test_the_line_of_the_refusal_rewrites_the_authors_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict": {"logit_scale": torch.tensor(4.6), "x": torch.eye(3).T}}, "HPS_v2.1_compressed.pt")
    with pytest.raises(GsdError) as caught:
        HPS()
    exec(str(caught.value).split('-c "')[1].rpartition('"')[0])
    from safetensors.torch import load_file

    assert torch.equal(load_file("hps_v2.1.safetensors")["x"], torch.eye(3))


def test_pick_score_is_what_plain_transformers_says(pick_score, show):
    from transformers import AutoTokenizer

    folder, model = pick_score
    found = PickScore(str(folder), chunk=4)(show, CAMERAS, PROMPT)
    small = interpolate(show.rgb, (16, 16), mode="bicubic", antialias=True).clamp(0, 1)
    seen = (small - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]
    tokens = AutoTokenizer.from_pretrained(folder)([PROMPT], return_tensors="pt")
    with torch.no_grad():
        scores = model(**tokens, pixel_values=seen).logits_per_image[:, 0]
    assert found["pick_score"] == pytest.approx(float(scores.mean()), abs=1e-5)
    assert found["pick_score_min"] == pytest.approx(float(scores.min()), abs=1e-5)
    assert found["pick_score_min"] < found["pick_score"]


def test_pick_score_in_a_run_with_a_prompt_of_any_length(pick_score, show, tmp_path):
    launch(tmp_path / "run", *LIGHT, "steps=2", "metric=[pick_score]", f"metric.pick_score.model={pick_score[0]}")
    assert "pick_score_min" in json.loads((tmp_path / "run/summary.json").read_text())
    metric = PickScore(str(pick_score[0]))
    assert metric(show, CAMERAS, "long " * 200)["pick_score"] == metric(show, CAMERAS, "long " * 300)["pick_score"]


def test_pick_score_without_a_network_or_of_another_kind(pick_score, tmp_path, monkeypatch):
    def download(repository, **options):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(GsdError, match=r"with a network .*, or set metric\.pick_score\.model=/path/to/a/copy"):
        PickScore()
    (tmp_path / "config.json").write_text('{"model_type": "dinov2"}')
    with pytest.raises(GsdError, match=r"is a dinov2; give one of clip, such as yuvalkirstain/PickScore_v1"):
        PickScore(str(tmp_path))
