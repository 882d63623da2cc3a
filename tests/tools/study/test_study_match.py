"""Runs find their partner by prompt and seed; what has none, or cannot be compared, is named."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from gsd.errors import GsdError
from gsd.tools.study.match import differences, match


@pytest.fixture
def copies(sets, tmp_path):
    """The two sets, to be changed."""
    return [str(shutil.copytree(folder, tmp_path / Path(folder).name)) for folder in sets]


def change(file, **values):
    content = yaml.safe_load(file.read_text()) | values
    file.write_text(json.dumps(content))


def test_same_prompt_and_seed(sets):
    pairs, left_out = match(sets)
    assert [pair.a.path.name for pair in pairs] == [pair.b.path.name for pair in pairs]
    assert [pair.a.summary["seed"] for pair in pairs] == [0, 1, 2]
    assert all(str(pair.a.path).startswith(sets[0]) and str(pair.b.path).startswith(sets[1]) for pair in pairs)
    (sentence,) = left_out
    assert "secretowl has no partner: no run of 'an owl' with seed 0 in" in sentence
    assert sets[1] in sentence


def test_what_is_compared_is_said(sets):
    assert differences(match(sets)[0]) == ("noising: random | consistent", "loss: none | consistency")


def test_an_unwanted_difference_is_said(copies):
    change(Path(copies[1]) / "secretcat1" / "config.yaml", steps=900)
    change(Path(copies[1]) / "secretcat1" / "summary.json", prior_calls=1800)
    found = differences(match(copies)[0])
    assert "steps: 2 | 900" in found
    assert "prior_calls: 4 | 1800" in found


def test_unfinished_runs_are_left_out_with_their_partners(copies):
    (Path(copies[0]) / "secretcat2" / "DONE").unlink()
    pairs, left_out = match(copies)
    assert len(pairs) == 2
    assert any("secretcat2 is unfinished" in sentence for sentence in left_out)
    assert any("secretcat2 has no partner" in sentence for sentence in left_out)


def test_other_cameras_are_not_compared(copies):
    config = Path(copies[0]) / "secretcat0" / "config.yaml"
    turntable = yaml.safe_load(config.read_text())["turntable"]
    change(config, turntable=turntable | {"elevation": 40.0})
    (Path(copies[1]) / "secretcat1" / "turntable.mp4").unlink()
    pairs, left_out = match(copies)
    assert [pair.a.summary["seed"] for pair in pairs] == [2]
    assert any("seen differently (turntable.elevation: 40.0 | 15.0)" in sentence for sentence in left_out)
    assert any("has no turntable.mp4" in sentence for sentence in left_out)


def test_a_set_can_be_chosen_from_a_sweep(sets, tmp_path):
    sweep = tmp_path / "a sweep"
    for folder in sets:
        for run in Path(folder).iterdir():
            shutil.copytree(run, sweep / f"{Path(folder).name}_{run.name}")
    with pytest.raises(GsdError, match=r"two runs of .* with seed 0, .*differ in .*noising=random"):
        match([str(sweep), str(sweep)])
    quoted = f"'{sweep}'"
    pairs, _ = match([f"{quoted} noising=random loss=none", f"{quoted} noising=consistent"])
    assert len(pairs) == 3
    assert all("secretbaseline" in pair.a.path.name and "secretours" in pair.b.path.name for pair in pairs)
    with pytest.raises(GsdError, match=r"started with noising=nearest; there is .*noising=random"):
        match([f"{quoted} noising=nearest", str(sweep)])


def test_several_baselines_are_matched_each_on_their_own(sets):
    pairs, _ = match([*sets, *reversed(sets)])
    assert [pair.block for pair in pairs] == [0, 0, 0, 1, 1, 1]
    assert pairs[0].a.path == pairs[3].b.path


def test_an_odd_set_and_an_absent_one_are_refused(sets):
    with pytest.raises(GsdError, match="3 sets of runs do not make pairs"):
        match([*sets, sets[0]])
    with pytest.raises(GsdError, match="nowhere does not exist"):
        match([sets[0], "nowhere"])
