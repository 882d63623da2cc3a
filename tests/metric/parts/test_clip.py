"""Where the metrics' CLIP models come from, and what is refused before a run."""

import json
import logging
import shutil

import pytest
import torch
from safetensors.torch import save_file

from gsd.backend.torchvision_mend import mend_torchvision
from gsd.errors import GsdError
from gsd.metric.clip_score import ClipScore
from gsd.metric.clip_view import ClipView
from gsd.metric.parts import clip as module
from gsd.metric.parts.clip import CONFIG, TINY, WEIGHTS, load_clip

SMALL = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}
NAME = "gsd-small"


@pytest.fixture(scope="module")
def open_clip():
    mend_torchvision()
    import open_clip

    return open_clip


@pytest.fixture
def named(tmp_path, monkeypatch, open_clip):
    """An architecture that open_clip knows by name, and a file of weights for it."""
    monkeypatch.setattr("open_clip.factory._MODEL_CONFIGS", {**open_clip.factory._MODEL_CONFIGS, NAME: SMALL})
    torch.manual_seed(0)
    file = tmp_path / "weights.safetensors"
    save_file(open_clip.create_model(NAME).state_dict(), file)
    return file


def _similarity(clip):
    rgb = torch.rand(3, 3, 40, 40, generator=torch.Generator().manual_seed(0))
    return clip.similarity(rgb, ["a fox", "an owl"], 2)


def test_the_shipped_model_is_small_and_known_to_open_clip(open_clip):
    assert sum(file.stat().st_size for file in TINY.iterdir()) <= 5e6
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{TINY}")
    assert model.visual.image_size == 64
    assert open_clip.get_tokenizer(f"local-dir:{TINY}")(["an owl", "ünïcode 漢字 " * 20]).shape == (2, 40)
    assert preprocess is not None


def test_a_folder_is_opened_once_for_whoever_asks(tmp_path):
    shutil.copytree(TINY, tmp_path / "copy")
    clip = load_clip(str(tmp_path / "copy"), None, "metric.clip_view")
    assert clip is load_clip(str(tmp_path / "copy"), None, "metric.clip_score")
    assert torch.equal(_similarity(clip), _similarity(load_clip("tiny", None, "metric.clip_view")))


def test_a_name_with_a_file_is_that_model(named, open_clip):
    clip = load_clip(NAME, str(named), "metric.clip_view")
    plain = open_clip.create_model(NAME, pretrained=str(named)).eval()
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), clip.model.parameters(), strict=True))
    assert clip.pictures.size == (32, 32)
    assert _similarity(clip).abs().max() <= 1 + 1e-5


def test_a_tag_is_read_from_the_hub_once_with_its_own_preprocessing(named, monkeypatch):
    """The mean, interpolation and activation that belong to the weights come with the tag, not with the name."""
    settings = {"url": "", "hf_hub": "someone/model/", "mean": (0.1, 0.2, 0.3), "std": (1.0, 1.0, 1.0)}
    settings |= {"interpolation": "bilinear", "quick_gelu": True}
    monkeypatch.setattr("open_clip.pretrained._PRETRAINED", {NAME: {"some_tag": settings}})
    asked = []
    named.rename(named.with_name(WEIGHTS[0]))

    def download(repository, allow_patterns, local_files_only):
        asked.append((repository, allow_patterns, local_files_only))
        if local_files_only:
            raise OSError("not cached")
        return str(named.parent)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    clip = load_clip(NAME, "some_tag", "metric.clip_view")
    assert asked == [("someone/model", [WEIGHTS[0]], True), ("someone/model", [WEIGHTS[0]], False)]
    assert clip.pictures.mode == "bilinear"
    assert clip.pictures.mean == pytest.approx([0.1, 0.2, 0.3])
    assert any(type(part).__name__ == "QuickGELU" for part in clip.model.modules())


def test_a_model_of_the_hub_is_a_folder(monkeypatch):
    asked = []

    def download(repository, local_files_only, allow_patterns):
        asked.append(repository)
        assert not any(pattern.endswith(("bin", "pt", "*")) for pattern in allow_patterns)
        return str(TINY)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    assert load_clip("hf-hub:someone/model", None, "x") is load_clip("tiny", None, "x")
    assert asked == ["someone/model"]


@pytest.mark.parametrize("hub", ["someone/model/pytorch_model.bin", ""])
def test_a_tag_that_is_a_pickle_is_refused(hub, named, tmp_path, monkeypatch):
    monkeypatch.setattr(
        "open_clip.pretrained._PRETRAINED", {NAME: {"some_tag": {"url": "https://x/y.pt", "hf_hub": hub}}}
    )
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(
        GsdError, match=r"some_tag has no .*safetensors, and gsd reads no pickles; take another tag, or set x\.model="
    ):
        load_clip(NAME, "some_tag", "x")


def test_opening_says_nothing(tmp_path, caplog):
    """open_clip tells the root logger all it does, and Hydra shows that; warnings still come."""
    shutil.copytree(TINY, tmp_path / "copy")
    with caplog.at_level("INFO"):
        load_clip(str(tmp_path / "copy"), None, "x")
        logging.getLogger().info("as before")
    assert caplog.messages == ["as before"]


def test_pickles_are_never_read(named, tmp_path, monkeypatch):
    def unpickled(*arguments, **options):
        raise AssertionError("a pickle was read")

    monkeypatch.setattr(torch, "load", unpickled)
    folder = tmp_path / "both"
    shutil.copytree(TINY, folder)
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"evil")
    assert load_clip(str(folder), None, "x")
    (folder / WEIGHTS[0]).unlink()
    (folder / "other.safetensors").write_bytes(b"")  # open_clip would take the .bin beside it
    with pytest.raises(GsdError, match=r"has no open_clip_model\.safetensors, and gsd reads no pickles"):
        load_clip(str(folder), None, "x")
    with pytest.raises(GsdError, match=r"may be a pickle.*safetensors\.torch\.save_file"):
        load_clip(NAME, str(folder / "open_clip_pytorch_model.bin"), "x")


def test_without_network_both_remedies_are_named(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))

    def offline(*arguments, local_files_only, **options):
        raise ConnectionError("no route to host") if not local_files_only else OSError("not cached")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    for model, tag in (("ViT-B-32", "laion2b_s34b_b79k"), ("hf-hub:someone/model", None)):
        with pytest.raises(GsdError, match=r"is not on this machine.*no route.*network.*or set .*/path/to/") as caught:
            load_clip(model, tag, "metric.clip_view")
        assert f"metric.clip_view.model={model}" in str(caught.value)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("model", "pretrained", "words"),
    [
        ("ViT-B-23", None, r"x\.model=ViT-B-23 is neither .* did you mean ViT-B-32\?"),
        ("ViT-B-32", None, r"needs weights; set x\.pretrained to a .* tags: openai, .*laion2b_s34b_b79k"),
        ("ViT-B-32", "laion2b", r"neither a file nor a tag of ViT-B-32.*did you mean laion2b"),
        ("tiny", "openai", r"has weights of its own; set x\.pretrained=null"),
        ("hf-hub:a/b", "openai", r"has weights of its own; set x\.pretrained=null"),
    ],
)
def test_what_makes_no_sense_is_refused(model, pretrained, words):
    with pytest.raises(GsdError, match=words) as caught:
        load_clip(model, pretrained, "x")
    assert "\n" not in str(caught.value)


def test_incomplete_and_damaged_folders_are_refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(TINY, folder)
    (folder / WEIGHTS[0]).write_bytes(b"damaged")
    with pytest.raises(GsdError, match=r"model cannot be opened \(.*copy or download it again"):
        load_clip(str(folder), None, "x")
    (folder / CONFIG).write_text(json.dumps({"model_cfg": {}}))
    with pytest.raises(GsdError, match="cannot be opened"):
        load_clip(str(folder), None, "x")
    (folder / CONFIG).unlink()
    with pytest.raises(GsdError, match=r"open_clip_config\.json is missing"):
        load_clip(str(folder), None, "x")


@pytest.mark.parametrize(("metric", "option"), [(ClipView, "metric.clip_view"), (ClipScore, "metric.clip_score")])
def test_the_shipped_model_may_be_missing(metric, option, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "TINY", tmp_path)
    with pytest.raises(GsdError, match=rf"{option}\.model=tiny: its weights are not in .*tiny/train_clip\.py, or set"):
        metric()
