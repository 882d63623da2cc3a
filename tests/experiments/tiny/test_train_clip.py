"""The training of the metrics' CLIP model on a few pictures, resumable to the bit; what the shipped one can tell."""

import json

import pytest
import torch

from gsd.menagerie import find, load, trace
from gsd.metric.parts.clip import load_clip
from gsd.random import Stream


@pytest.fixture
def training(mended, monkeypatch):
    """The script, with a world of 20 creatures x 2 individuals (one of Gaussians) x 4 views."""
    import clip_data
    import train_clip
    import training

    for name, value in {"INDIVIDUALS": 2, "VIEWS_EACH": 4, "SPLATTED": 0.5}.items():
        monkeypatch.setattr(clip_data, name, value)
    monkeypatch.setattr(train_clip, "BATCH", 8)
    monkeypatch.setattr(training, "LOG_STEPS", 2)
    return train_clip


def test_a_training_that_was_stopped_ends_with_the_same_bits(training, call, terminated, tmp_path):
    straight, broken = tmp_path / "straight", tmp_path / "broken"
    call(training, "--out", straight, "--to", straight / "clip", "--steps", 4)
    with terminated(clip=1), pytest.raises(SystemExit, match="stopped at step 2 of clip"):
        call(training, "--out", broken, "--to", broken / "clip", "--steps", 4)
    assert not (broken / "clip").exists()
    call(training, "--out", broken, "--to", broken / "clip", "--steps", 4)
    one, other = (f / "clip" / "open_clip_model.safetensors" for f in (straight, broken))
    assert one.read_bytes() == other.read_bytes()
    assert (broken / "curve.png").exists()
    assert sum(file.stat().st_size for file in one.parent.iterdir()) < 5e6
    cosines = load_clip(str(one.parent), None, "--to").similarity(torch.rand(2, 3, 64, 64), ["an owl", ""], 1)
    assert cosines.shape == (2, 2)
    assert cosines.isfinite().all()


def test_individuals_are_of_their_kind_and_never_held_out_ones(training):
    from clip_data import HELD_OUT, individual

    rng = torch.Generator().manual_seed(0)
    for creature in load().values():
        plain = creature.figure(0)
        held_out = [creature.figure(number) for number in HELD_OUT]
        for _ in range(5):
            figure = individual(creature, rng)
            assert len(figure) == len(plain)
            assert (figure.face == plain.face).all()
            assert not any((figure.colours == other.colours).all() for other in held_out)


def test_gaussians_lie_where_the_animal_is(training):
    import clip_data as data

    for name in ("elephant", "owl", "snail"):
        creature, stream = load()[name], Stream(0, name)
        figure, cameras = creature.figure(1), data._cameras(stream.generator())
        splats = data._splats(creature, figure, cameras, stream)
        there, covered = trace(figure, cameras).alpha[:, 0] > 0.5, splats[:, 3] > 0.5
        assert (there & covered).sum() > 0.7 * there.sum()
        assert (there & covered).sum() > 0.45 * (there | covered).sum()  # they may be wide


def test_captions_are_as_true_as_people_would_say(training):
    import clip_data as data

    batches, rng = data.Batches(data.bank(0)), torch.Generator().manual_seed(0)
    names = list(load())
    seen, said = 0, 0.0
    for _ in range(20):
        rgb, captions, true = batches.draw(16, rng)
        assert rgb.shape == (16, 3, 64, 64)
        assert 0 <= float(rgb.min()) <= float(rgb.max()) <= 1
        for column, caption in enumerate(captions):
            assert find(caption.text).name == names[caption.creature]
            assert (caption.word is None) == ("view" not in caption.text)
            others = [other.creature != caption.creature for other in captions]
            assert float(true[torch.tensor(others), column].abs().sum()) == 0
            if caption.word is None:
                assert float(true[column, column]) == 1
            else:
                seen, said = seen + 1, said + float(true[column, column])
    assert 200 < seen < 280  # 320 captions of which a quarter are plain
    assert said / seen > 0.75  # a word is drawn by its share, so its mean is that of the squares


def test_shares_of_the_words(training):
    from clip_data import WORDS, shares

    azimuth = torch.tensor([0.0, 90.0, 180.0, 270.0, 45.0, 0.0])
    elevation = torch.tensor([15.0, 15.0, 15.0, 15.0, 15.0, 70.0])
    row = shares(azimuth, elevation)
    assert torch.allclose(row.sum(1), torch.ones(6))
    assert [WORDS[i] for i in row.argmax(1)[[0, 1, 2, 3, 5]]] == [
        "front",
        "left side",
        "back",
        "right side",
        "overhead",
    ]
    assert row.max(1).values[[0, 1, 2, 3, 5]].min() > 0.95
    assert row[4, 0] == pytest.approx(row[4, 1])


def test_pictures_are_spoilt_but_not_beyond_recognition(training):
    import clip_data as data

    rgba = data.bank(0).rgba[:200]
    one, other = (data.spoilt(rgba, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, other)
    plain = rgba[:, :3].float() / 255 + 1 - rgba[:, 3:].float() / 255
    away = (one - plain).square().mean((1, 2, 3))
    assert 0.002 < float(away.median()) < 0.1
    assert len(one.flatten(1).std(1).lt(0.01).nonzero()) == 0


def test_what_is_shipped_tells_fronts_from_backs_on_individuals_it_never_saw(training, monkeypatch):
    """On the last listed individual of every creature and one by rule, from twelve sides."""
    import clip_data as data
    import clip_evaluate as module

    monkeypatch.setattr(module, "AZIMUTHS", 12)
    views = torch.cat([module._views(number) for number in (3, 6)], 1)
    clip = load_clip(str(training.PACKAGED), None, "--to")
    result = module.judged(clip, views)
    assert result["views"] == 480
    assert result["within_60_deg"]["value"] >= 0.95
    assert result["front_or_back"]["value"] >= 0.9  # with views nearly from the side
    assert result["name"]["value"] >= 0.95
    assert result["four_ways"]["value"] >= 0.9
    rgb = data.spoilt((255 * views).round().byte().flatten(0, 2), torch.Generator().manual_seed(1))
    spoilt = module.judged(clip, rgb.view(20, 2, 12, 3, 64, 64))
    assert spoilt["within_60_deg"]["value"] >= 0.93
    assert spoilt["name"]["value"] >= 0.93


@pytest.mark.slow
def test_the_evaluation_knows_true_from_two_faced(training, tmp_path):
    from clip_evaluate import evaluate

    result = evaluate(training.PACKAGED, tmp_path)
    assert result == json.loads((tmp_path / "result.json").read_text())
    assert (tmp_path / "figure.png").stat().st_size > 10_000
    assert result["all"]["views"] == 2400
    assert result["all"]["within_60_deg"]["low"] >= 0.95
    assert result["calibration"]["true"]["intervals_above_0"] == 20
    separation = next(value for key, value in result["calibration"].items() if key.startswith("true against two-faced"))
    assert separation["clip_margin"] >= 0.95
