"""ImageReward beside a slow account of its network that reads the names of the authors' file."""

import json

import pytest
import torch
from launch import LIGHT, launch
from safetensors.torch import load_file, save_file
from torch.nn.functional import gelu, interpolate, layer_norm, linear
from yardsticks import random_image_reward

from gsd.errors import GsdError
from gsd.geometry import turntable
from gsd.menagerie import load, trace
from gsd.metric.image_reward import COLOURS, ImageReward

CAMERAS, PROMPT = turntable(6, 32), "an owl with a hat"
HEADS = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image_reward")
    random_image_reward(folder)
    return folder


@pytest.fixture(scope="module")
def show():
    return trace(load()["owl"].figure(0), CAMERAS)


def metric(folder, **options):
    return ImageReward(f"{folder}/weights.safetensors", str(folder), **options)


class Slow:
    """BLIP and the head, one picture at a time, by the formulas of ViT and BERT."""

    def __init__(self, state):
        self.state = state

    def linear(self, x, name):
        return linear(x, self.state[f"{name}.weight"], self.state[f"{name}.bias"])

    def norm(self, x, name, eps):
        return layer_norm(x, x.shape[-1:], self.state[f"{name}.weight"], self.state[f"{name}.bias"], eps)

    def attended(self, q, k, v):
        q, k, v = (x.unflatten(-1, (HEADS, -1)).movedim(1, 0) for x in (q, k, v))
        weights = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        return (weights @ v).movedim(0, 1).flatten(1)

    def pixels(self, picture, at="blip.visual_encoder."):
        kernel = self.state[f"{at}patch_embed.proj.weight"]
        size = kernel.shape[-1]
        patches = picture.unfold(1, size, size).unfold(2, size, size).permute(1, 2, 0, 3, 4).flatten(2).flatten(0, 1)
        x = patches @ kernel.flatten(1).T + self.state[f"{at}patch_embed.proj.bias"]
        x = torch.cat([self.state[f"{at}cls_token"][0], x]) + self.state[f"{at}pos_embed"][0]
        for k in range(2):
            block = f"{at}blocks.{k}"
            qkv = self.linear(self.norm(x, f"{block}.norm1", 1e-6), f"{block}.attn.qkv").chunk(3, dim=-1)
            x = x + self.linear(self.attended(*qkv), f"{block}.attn.proj")
            wide = gelu(self.linear(self.norm(x, f"{block}.norm2", 1e-6), f"{block}.mlp.fc1"))
            x = x + self.linear(wide, f"{block}.mlp.fc2")
        return self.norm(x, f"{at}norm", 1e-6)

    def words(self, ids, seen, at="blip.text_encoder."):
        words, places = (self.state[f"{at}embeddings.{n}_embeddings.weight"] for n in ("word", "position"))
        x = self.norm(words[ids] + places[: len(ids)], f"{at}embeddings.LayerNorm", 1e-12)
        for k in range(2):
            for name, other in (("attention", None), ("crossattention", seen)):
                layer = f"{at}encoder.layer.{k}.{name}"
                source = x if other is None else other
                parts = [self.linear(x, f"{layer}.self.query")]
                parts += [self.linear(source, f"{layer}.self.{n}") for n in ("key", "value")]
                x = self.norm(
                    x + self.linear(self.attended(*parts), f"{layer}.output.dense"), f"{layer}.output.LayerNorm", 1e-12
                )
            layer = f"{at}encoder.layer.{k}"
            wide = gelu(self.linear(x, f"{layer}.intermediate.dense"))
            x = self.norm(x + self.linear(wide, f"{layer}.output.dense"), f"{layer}.output.LayerNorm", 1e-12)
        return x

    def reward(self, picture, ids):
        x = self.words(ids, self.pixels(picture))[0]
        for k in (0, 2, 4, 6, 7):
            x = self.linear(x, f"mlp.layers.{k}")
        return (float(x) - 0.16717362830052426) / 1.0333394966054072


def test_it_is_what_the_authors_network_says(folder, show):
    found = metric(folder, chunk=4)(show, CAMERAS, PROMPT)
    slow = Slow(load_file(folder / "weights.safetensors"))
    mean, std = (torch.tensor(values)[:, None, None] for values in COLOURS)
    seen = (interpolate(show.rgb, (32, 32), mode="bicubic", antialias=True).clamp(0, 1) - mean) / std
    ids = metric(folder).words([PROMPT], return_tensors="pt")["input_ids"][0]
    assert len(ids) == 2 + 5
    rewards = [slow.reward(view, ids) for view in seen]
    assert found["image_reward"] == pytest.approx(sum(rewards) / len(rewards), abs=1e-5)
    assert found["image_reward_min"] == pytest.approx(min(rewards), abs=1e-5)
    assert max(rewards) - min(rewards) > 1e-3
    other = metric(folder)(show, CAMERAS, "a hat")
    assert abs(other["image_reward"] - found["image_reward"]) > 1e-4  # it reads the prompt


def test_a_run_and_a_prompt_of_any_length(folder, show, tmp_path):
    options = [f"metric.image_reward.weights={folder}/weights.safetensors", f"metric.image_reward.tokenizer={folder}"]
    launch(tmp_path / "run", *LIGHT, "steps=2", "metric=[image_reward]", *options)
    assert "image_reward_min" in json.loads((tmp_path / "run/summary.json").read_text())
    long, longer = (metric(folder)(show, CAMERAS, "owl " * n) for n in (33, 400))
    assert long == longer


def test_the_line_of_the_refusal_rewrites_the_authors_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"mlp.layers.0.weight": torch.eye(3).T}, "ImageReward.pt")
    for weights in (None, "ImageReward.pt", "nothing.safetensors"):
        with pytest.raises(GsdError, match=r"from huggingface\.co/THUDM/ImageReward, rewrite it with") as caught:
            ImageReward(weights)
        assert "\n" not in str(caught.value)
    exec(str(caught.value).split('-c "')[1].rpartition('"')[0])
    assert torch.equal(load_file("image_reward.safetensors")["mlp.layers.0.weight"], torch.eye(3))


def test_what_is_another_model_or_missing_is_one_sentence(folder, tmp_path, monkeypatch):
    save_file({"blip.x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(GsdError, match="is no ImageReward: it has no embeddings"):
        ImageReward(str(tmp_path / "other.safetensors"), str(folder))
    state = load_file(folder / "weights.safetensors")
    save_file({k: v for k, v in state.items() if "mlp.layers" not in k}, tmp_path / "headless.safetensors")
    with pytest.raises(GsdError, match="is a BLIP without ImageReward's head"):
        ImageReward(str(tmp_path / "headless.safetensors"), str(folder))
    save_file({k: v for k, v in state.items() if "blocks.1.norm1" not in k}, tmp_path / "cut.safetensors")
    with pytest.raises(GsdError, match="cannot be loaded") as caught:
        ImageReward(str(tmp_path / "cut.safetensors"), str(folder))
    assert "\n" not in str(caught.value)

    def download(repository, **options):
        raise OSError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    with pytest.raises(GsdError, match=r"with a network .*, or set metric\.image_reward\.tokenizer=/path/to/a/copy"):
        ImageReward(f"{folder}/weights.safetensors")
    with pytest.raises(GsdError, match=r"has neither tokenizer\.json nor vocab\.txt"):
        ImageReward(f"{folder}/weights.safetensors", str(tmp_path))
