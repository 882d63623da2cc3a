"""What a study's folder holds: media that tell nothing, study.json that tells all; mistakes leave nothing behind."""

import sys
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest
from PIL import Image

from gsd.errors import GsdError
from gsd.tools.study import media
from gsd.tools.study.__main__ import main
from gsd.tools.study.design import trials
from gsd.tools.study.make import Options, make
from gsd.tools.study.study import MEDIA, load


def command(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["gsd.tools.study", *(str(a) for a in arguments)])
    main()


def refusal(monkeypatch, *arguments):
    with pytest.raises(SystemExit) as stopped:
        command(monkeypatch, *arguments)
    return str(stopped.value)


def test_the_command(sets, tmp_path, monkeypatch, capsys):
    out = tmp_path / "study"
    command(monkeypatch, "make", *sets, "--out", out, "--trials", 2, "--names", "plain", "GSD")
    said, complained = capsys.readouterr()
    assert "3 pairs, 2 a rater and 2 catch trials" in said
    assert "noising: random | consistent" in said
    assert "secretowl has no partner" in complained
    study = load(out)
    assert (study.names, study.trials, study.mirrored, study.tie) == (("plain", "GSD"), 2, 0, False)
    assert len(study.left_out) == 1
    assert "exists; give another folder" in refusal(monkeypatch, "make", *sets, "--out", out)


def test_turntables_are_those_of_the_runs(folder):
    study = load(folder)
    for scene in study.pairs:
        for shown in (scene.a, scene.b):
            assert (folder / MEDIA / shown.media).read_bytes() == (Path(shown.run) / "turntable.mp4").read_bytes()
    assert {file.name for file in (folder / MEDIA).iterdir()} == study.media
    assert (folder.stat().st_mode & 0o077) == 0  # study.json says which side is which


def test_names_tell_nothing(sets, tmp_path):
    """Whoever knows the runs and the seed cannot work out which name is whose."""
    one, same = (make(sets, tmp_path / str(k), Options(seed=1)) for k in range(2))
    assert not one.media & same.media
    assert trials(one, 5) == trials(same, 5)
    assert all(name.partition(".")[0].isalnum() and len(name) == 20 for name in one.media)
    drawn = [make(sets, tmp_path / name, Options(broken=0)).seed for name in ("x", "y")]
    assert drawn[0] != drawn[1]


def test_a_sheet_shows_six_views_from_the_same_angles(sets, tmp_path):
    study = make(sets, tmp_path / "study", Options(show="views", seed=5, broken=2))
    for index, scene in enumerate(study.pairs):
        for shown in (scene.a, scene.b):
            picture = np.asarray(Image.open(tmp_path / "study" / MEDIA / shown.media)).astype(int)
            assert picture.shape == (2 * 64, 3 * 64, 3)
            frames, _ = media.read(Path(shown.run) / "turntable.mp4")
            angles = media.angles(len(frames), np.random.default_rng([5, 2, index]))
            for k, angle in enumerate(angles):
                row, column = divmod(k, 3)
                tile = picture[row * 64 : row * 64 + 64, column * 64 : column * 64 + 64]
                assert np.array_equal(tile, frames[angle])


def test_angles_go_evenly_around_from_anywhere():
    drawn = np.array([media.angles(120, np.random.default_rng(k)) for k in range(400)])
    assert set(np.diff(drawn).ravel()) <= {19, 20, 21}
    assert drawn.min() == 0
    assert drawn.max() == 119
    assert np.bincount(drawn[:, 0], minlength=20)[:20].min() > 0


def test_a_broken_scene_is_the_same_run_in_pieces(folder):
    (scene,) = load(folder).broken
    assert scene.a.run == scene.b.run
    whole, spoilt = (imageio.mimread(folder / MEDIA / shown.media) for shown in (scene.a, scene.b))
    assert len(whole) == len(spoilt)
    assert whole[0].shape == spoilt[0].shape
    # The same colours in other places: means agree to what blur and video take, pixels do not
    assert np.mean(whole) == pytest.approx(np.mean(spoilt), abs=6)
    assert np.abs(np.array(whole, float) - np.array(spoilt, float)).mean() > 4


def test_pieces_are_shuffled_alike_in_every_frame():
    still = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    one, two = media.spoilt([still, still], np.random.default_rng(1))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, still)


def test_own_words_of_consent(sets, tmp_path, monkeypatch):
    (tmp_path / "words.txt").write_text("One line\nand its end.\n\nAnother.\n")
    command(monkeypatch, "make", *sets, "--out", tmp_path / "s", "--consent", tmp_path / "words.txt", "--broken", 0)
    assert load(tmp_path / "s").consent == ("One line and its end.", "Another.")
    (tmp_path / "words.txt").write_text(" \n")
    assert "is empty" in refusal(
        monkeypatch, "make", *sets, "--out", tmp_path / "t", "--consent", tmp_path / "words.txt"
    )


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--trials", "4"), "choose from 1 to 3"),
        (("--trials", "0"), "choose from 1 to 3"),
        (("--mirrored", "2"), "3 trials leave room for 1"),
        (("--broken", "-1"), "--broken -1"),
        (("--seed", "-1"), "--seed -1"),
    ],
)
def test_options_out_of_range_leave_nothing_behind(sets, tmp_path, monkeypatch, options, sentence):
    assert sentence in refusal(monkeypatch, "make", *sets, "--out", tmp_path / "study", *options)
    assert not list(tmp_path.iterdir())


def test_a_damaged_turntable_leaves_nothing_behind(sets, tmp_path, monkeypatch):
    def fail(*_):
        raise GsdError("no video")

    monkeypatch.setattr(media, "read", fail)
    with pytest.raises(GsdError, match="no video"):
        make(sets, tmp_path / "study", Options(show="views"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "turntable.mp4").write_bytes(b"no film at all")
    monkeypatch.undo()
    with pytest.raises(GsdError, match=r"turntable\.mp4 cannot be read"):
        media.read(tmp_path / "turntable.mp4")


def test_nothing_to_compare(sets, tmp_path):
    with pytest.raises(GsdError, match=r"nothing to compare, for 2 reasons; the first: .* no partner"):
        make([f"'{sets[0]}' seed=0", f"'{sets[1]}' seed=1"], tmp_path / "study", Options())


def test_a_damaged_study_is_named(folder, tmp_path):
    with pytest.raises(GsdError, match="holds no study"):
        load(tmp_path)
    file = folder / "study.json"
    whole = file.read_text()
    next((folder / MEDIA).iterdir()).rename(tmp_path / "away")
    with pytest.raises(GsdError, match=r"lacks .*make the study anew"):
        load(folder)
    file.write_text(whole.replace('"tie": false', '"tie": "perhaps"'))
    with pytest.raises(GsdError, match=r"study\.json is damaged: tie"):
        load(folder)
    file.write_text(whole[:100])
    with pytest.raises(GsdError, match="is damaged"):
        load(folder)
