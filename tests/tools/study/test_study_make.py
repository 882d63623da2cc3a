"""What a study's folder holds: films that tell nothing, study.json that tells all; mistakes leave nothing behind."""

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from studies import study

from gsd.errors import GsdError
from gsd.tools.study.__main__ import main
from gsd.tools.study.make import make, match, spoilt
from gsd.tools.study.study import MEDIA, OTHER, load, trials


@pytest.fixture
def copies(sets, tmp_path):
    """The two sets, to be changed."""
    return [str(shutil.copytree(folder, tmp_path / Path(folder).name)) for folder in sets]


def frames(file):
    return imageio.imread(file, plugin="FFMPEG").astype(float)


def test_the_command(sets, tmp_path, monkeypatch, capsys):
    out = tmp_path / "study"
    monkeypatch.setattr(sys, "argv", ["gsd study", "make", *sets, "--out", str(out), "--names", "plain", "GSD"])
    main()
    said, complained = capsys.readouterr()
    assert "3 pairs, 6 trials per rater" in said
    assert f"'an owl' with seed 0 is left out: it needs a run in {sets[0]} and one in {sets[1]}" in complained
    made = load(out)
    assert (made.names, len(made.pairs), len(made.broken)) == (("plain", "GSD"), 3, 2)
    assert (out.stat().st_mode & 0o077) == 0  # study.json says which side is which
    with pytest.raises(SystemExit, match=r"File exists\); give another folder"):
        main()


def test_both_turntables_are_in_one_film_in_either_order(copies, tmp_path):
    """So that they turn together: here of runs that are red or blue and become brighter."""
    colours = dict(zip(copies, ([200, 40, 40], [40, 40, 200]), strict=True))
    expected = {
        run: (np.array(colours[run]) * np.linspace(0.2, 1, 12)[:, None]).astype(np.uint8)[:, None, None]
        for run in copies
    }
    for run in copies:
        for film in Path(run).glob("*/turntable.mp4"):
            imageio.imwrite(film, np.broadcast_to(expected[run], (12, 64, 64, 3)), plugin="FFMPEG", fps=30)
    made = make(copies, tmp_path / "study")
    for scene in made.pairs:
        for left in "ab":
            halves = np.split(frames(tmp_path / "study" / MEDIA / scene.films[left]), 2, axis=2)
            for half, side in zip(halves, (left, OTHER[left]), strict=True):
                assert half.shape == (12, 64, 64, 3)
                assert np.abs(half - expected[str(Path(scene.runs[side]).parent)]).mean() < 5  # the encoders' loss
    assert {file.name for file in (tmp_path / "study" / MEDIA).iterdir()} == made.films
    assert len(made.films) == 2 * (3 + 2)


def test_names_tell_nothing(made, sets, tmp_path):
    """Whoever knows the runs and the seed cannot work out which name is whose."""
    one, same = load(made), make(sets, tmp_path / "study", seed=3)
    assert not one.films & same.films
    assert trials(one, 5) == trials(same, 5)
    assert all(name.partition(".")[0].isalnum() and len(name) == 20 for name in one.films)


def test_a_broken_scene_is_a_run_beside_itself_in_pieces(folder):
    made = load(folder)
    assert [scene.runs["a"] for scene in made.broken] == [made.pairs[0].runs["a"], made.pairs[-1].runs["b"]]
    for scene in made.broken:
        assert scene.runs["a"] == scene.runs["b"]
        whole, broken = np.split(frames(folder / MEDIA / scene.films["a"]), 2, axis=2)
        loss = np.abs(whole - frames(Path(scene.runs["a"]) / "turntable.mp4")).mean()
        # The same colours in other places: means agree to what the encoder takes, pixels do not
        assert np.mean(whole) == pytest.approx(np.mean(broken), abs=2)
        assert np.abs(whole - broken).mean() > 4 * loss > 0


def test_pieces_are_shuffled_alike_in_every_frame_and_none_stays():
    still = np.random.default_rng(0).integers(0, 256, (1, 43, 41, 3), np.uint8).repeat(2, 0)
    one, two = spoilt(still)
    assert np.array_equal(one, two)
    assert np.array_equal(np.sort(one, axis=None), np.sort(still[0], axis=None))
    assert (one == still[0]).mean() < 0.05


def test_runs_are_paired_by_prompt_and_seed(sets, capsys):
    pairs = match([*sets, *reversed(sets)])  # two baselines, each matched on its own
    assert [(a.path.name, b.path.name) for a, b in pairs] == [(f"secretcat{k}",) * 2 for k in (0, 1, 2)] * 2
    assert pairs[0] == pairs[3][::-1]
    assert all(str(a.path).startswith(sets[0]) and str(b.path).startswith(sets[1]) for a, b in pairs[:3])
    assert capsys.readouterr().err.count("'an owl' with seed 0 is left out") == 2


def test_what_cannot_be_compared_is_left_out_and_named(copies, capsys):
    config = Path(copies[0]) / "secretcat0" / "config.yaml"
    content = yaml.safe_load(config.read_text())
    config.write_text(json.dumps(content | {"turntable": content["turntable"] | {"elevation": 40.0}}))
    (Path(copies[1]) / "secretcat1" / "turntable.mp4").unlink()
    assert [a.summary["seed"] for a, _ in match(copies)] == [2]
    (Path(copies[0]) / "secretcat2" / "DONE").unlink()
    with pytest.raises(GsdError, match="has a partner of the same prompt and seed"):
        match(copies)
    complained = capsys.readouterr().err
    assert all(f"with seed {seed} is left out" in complained for seed in (0, 1, 2))
    assert "secretcat2 is unfinished" in complained


def test_a_set_can_be_chosen_from_a_sweep(sets, tmp_path):
    sweep = tmp_path / "a sweep"
    for folder in sets:
        for run in Path(folder).iterdir():
            shutil.copytree(run, sweep / f"{Path(folder).name}_{run.name}")
    with pytest.raises(GsdError, match=r"two runs of .*, which differ in .*noising=random"):
        match([str(sweep), str(sweep)])
    pairs = match([f"'{sweep}' noising=random loss=none", f"'{sweep}' noising=consistent"])
    assert len(pairs) == 3
    assert all("secretbaseline" in a.path.name and "secretours" in b.path.name for a, b in pairs)
    with pytest.raises(GsdError, match=r"started with noising=nearest; there is .*noising=random"):
        match([f"'{sweep}' noising=nearest", str(sweep)])


def test_an_odd_set_and_an_absent_one_are_refused(sets):
    with pytest.raises(GsdError, match="3 sets of runs do not make pairs"):
        match([*sets, sets[0]])
    with pytest.raises(GsdError, match="nowhere does not exist"):
        match([sets[0], "nowhere"])


def test_a_damaged_turntable_leaves_nothing_behind(copies, tmp_path):
    (Path(copies[1]) / "secretcat1" / "turntable.mp4").write_bytes(b"no film at all")
    with pytest.raises(GsdError, match=r"turntable\.mp4 cannot be read"):
        make(copies, tmp_path / "study")
    assert not (tmp_path / "study").exists()


def test_a_damaged_study_is_named(folder, tmp_path):
    with pytest.raises(GsdError, match="holds no study"):
        load(tmp_path)
    file = folder / "study.json"
    whole = file.read_text()
    next((folder / MEDIA).iterdir()).rename(tmp_path / "away")
    with pytest.raises(GsdError, match=r"lacks .*make the study anew"):
        load(folder)
    file.write_text(whole.replace('"least_seconds": 3.0', '"least_seconds": -1'))
    with pytest.raises(GsdError, match=r"study\.json is damaged: least_seconds"):
        load(folder)
    file.write_text(whole[:100])
    with pytest.raises(GsdError, match="is damaged"):
        load(folder)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 4), st.integers(1, 1000))
def test_every_rater_sees_all_scenes_and_one_of_them_mirrored(pairs, broken, rater):
    plan = trials(study(pairs, broken), rater)
    assert plan == trials(study(pairs, broken), rater)
    assert len(plan) == study(pairs, broken).total
    for kind, count in (("pair", pairs), ("broken", broken)):
        those = [trial for trial in plan if trial.kind == kind]
        assert sorted(trial.scene for trial in those) == list(range(count))
        assert abs(2 * sum(trial.left == "a" for trial in those) - count) <= 1
    first = next(trial for trial in plan if trial.kind == "pair")
    assert plan[-1] == ("mirrored", first.scene, OTHER[first.left])


def test_sides_and_order_are_random():
    """Over 400 raters; each bound lets a fair draw pass with a chance of 0.9999."""
    plans = [trials(study(5, 2), rater) for rater in range(1, 401)]
    assert len(set(map(tuple, plans))) > 390
    assert trials(study(5, 2, seed=8), 1) != plans[0]
    left = Counter(trial.scene for plan in plans for trial in plan[:-1] if trial[0] == "pair" and trial.left == "a")
    for kind, count in (("pair", 5), ("broken", 2)):
        first = Counter(next(trial.scene for trial in plan if trial.kind == kind) for plan in plans)
        assert stats.chisquare([first[scene] for scene in range(count)]).pvalue > 1e-4
    for scene in range(5):
        assert stats.binomtest(left[scene], 400).pvalue > 2e-5
    places = Counter(k for plan in plans for k, trial in enumerate(plan) if trial.kind == "broken")
    assert stats.chisquare([places[k] for k in range(7)]).pvalue > 1e-4
