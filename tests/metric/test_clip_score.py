"""CLIP score and R-precision beside plain open_clip, and which prompts they are compared with."""

import pytest
import torch

from gsd.errors import GsdError
from gsd.geometry import turntable
from gsd.menagerie import load, trace
from gsd.metric.clip_score import ClipScore, menagerie_distractors
from gsd.metric.parts.clip import TINY
from gsd.protocols import Metric
from gsd.types import Render

CAMERAS = turntable(12, 64)


def _shown(name, variant=3):
    return trace(load()[name].figure(variant), CAMERAS)


def test_it_is_what_plain_open_clip_says():
    import open_clip

    render, prompt = _shown("snail"), "a photo of a snail"
    result = ClipScore()(render, CAMERAS, prompt)
    model = open_clip.create_model(f"local-dir:{TINY}").eval()
    texts = open_clip.get_tokenizer(f"local-dir:{TINY}")([prompt, *menagerie_distractors(prompt)])
    with torch.no_grad():  # images have the model's size already, and 0.5 for both mean and std
        cosines = model.encode_image(2 * render.rgb - 1, normalize=True) @ model.encode_text(texts, normalize=True).T
    assert result["clip_score"] == pytest.approx(100 * float(cosines[:, 0].mean()), abs=1e-3)
    assert result["clip_score_min"] == pytest.approx(100 * float(cosines[:, 0].min()), abs=1e-3)
    assert result["clip_r_precision"] == pytest.approx(float((cosines.argmax(1) == 0).float().mean()))
    assert isinstance(ClipScore(), Metric)
    assert all(type(value) is float for value in result.values())


def test_the_right_prompt_scores_more_and_is_retrieved():
    render = _shown("penguin")
    right, wrong = (ClipScore()(render, CAMERAS, f"a full body of a {name}") for name in ("penguin", "corgi"))
    assert right["clip_score"] > wrong["clip_score"] + 10
    assert right["clip_r_precision"] >= 0.9
    assert wrong["clip_r_precision"] == 0
    assert right["clip_score_min"] <= right["clip_score"]


def test_a_second_face_is_not_seen():
    """As the docstring says: a two-faced twin scores as a true animal does, or more."""
    figure = load()["teddy bear"].figure(3)
    true, janus = (ClipScore()(trace(f, CAMERAS), CAMERAS, "a teddy bear") for f in (figure, figure.two_faced()))
    assert janus["clip_score"] > true["clip_score"] - 5
    assert janus["clip_r_precision"] >= 0.8


def test_scores_are_never_negative():
    blank = Render(torch.ones(12, 3, 64, 64), torch.zeros(12, 1, 64, 64), torch.zeros(12, 1, 64, 64))
    result = ClipScore()(blank, CAMERAS, "an owl")
    assert result["clip_score"] == pytest.approx(result["clip_score_min"])
    assert result["clip_score"] >= 0


def test_distractors_differ_in_the_subject_alone():
    texts = menagerie_distractors("a DSLR photo of an Owl, highly detailed")
    assert len(texts) == len(load()) - 1
    assert "a DSLR photo of an elephant, highly detailed" in texts
    assert "a DSLR photo of a cat with a hat, highly detailed" in texts
    assert not any("owl" in text.lower() for text in texts)
    assert "the face of a frog" in menagerie_distractors("the face of the golden goose")
    cats = menagerie_distractors("a full body of a cat with a hat")
    assert "a full body of a pug" in cats
    assert not any("hat" in text for text in cats)


def test_an_unknown_subject_is_compared_with_all_creatures():
    texts = menagerie_distractors("a dragon eating a burger")
    assert len(texts) == len(load())
    assert {"an owl", "a frog"} <= set(texts)


def test_prompts_of_a_file(tmp_path):
    file = tmp_path / "prompts.txt"
    file.write_text("a fox\n\nAn Owl \n a chair\n")
    score = ClipScore(prompts=str(file))
    assert score.distractors("an owl") == ["a fox", "a chair"]
    assert score(_shown("fox"), CAMERAS, "an owl")["clip_r_precision"] <= 0.1
    assert score(_shown("owl"), CAMERAS, "an owl")["clip_r_precision"] >= 0.9


@pytest.mark.parametrize(("content", "words"), [(None, "cannot be read"), ("\n \n", "is empty")])
def test_a_bad_file_is_refused(content, words, tmp_path):
    file = tmp_path / "prompts.txt"
    if content is not None:
        file.write_text(content)
    with pytest.raises(GsdError, match=rf"metric\.clip_score\.prompts=.*{words}.*one prompt per line"):
        ClipScore(prompts=str(file))
