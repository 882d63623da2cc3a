"""Runs are found and read as they lie; what is damaged is named and passed over."""

import json

import pytest
import yaml
from launch import LIGHT, launch

from gsd.errors import GsdError
from gsd.results.runs import done_runs, find_runs


def make(folder, *marks, **files):
    folder.mkdir(parents=True)
    for mark in marks:
        (folder / mark).touch()
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder


def test_a_real_run_is_read_back(tmp_path):
    launch(tmp_path / "outputs" / "cat" / "one", *LIGHT, "steps=3", "seed=5")
    for folder in (tmp_path, tmp_path / "outputs", tmp_path / "outputs/cat/one"):
        (run,) = find_runs([folder])
        assert (run.signature, run.status) == ("one", "done")
        assert run.summary["seed"] == run.config["seed"] == 5
        assert run.overrides == run.summary["overrides"] == [*LIGHT, "steps=3", "seed=5"]
        assert [r["step"] for r in run.records()] == [0, 1, 2]


def test_each_run_is_listed_once_in_the_order_of_paths(tmp_path):
    for name in ("b", "a", "c"):
        make(tmp_path / "sweep" / name, "DONE", summary_json=json.dumps({"seed": 1}))
    (tmp_path / "sweep" / ".submitit").mkdir()
    found = find_runs([tmp_path / "sweep", tmp_path / "sweep" / "b"])
    assert [run.signature for run in found] == ["a", "b", "c"]


def test_status_and_damage(tmp_path):
    make(tmp_path / "good", "DONE", summary_json='{"seed": 1}')
    make(tmp_path / "failed", FAILED="no memory")
    make(tmp_path / "begun", config_yaml="seed: 1")
    make(tmp_path / "cut", "DONE", summary_json='{"seed"')
    make(tmp_path / "list", "DONE", summary_json="[1]")
    make(tmp_path / "nothing", "DONE")
    status = {run.signature: run.status for run in find_runs([tmp_path])}
    assert status == {
        "good": "done", "failed": "failed", "begun": "unfinished", "cut": "done", "list": "done", "nothing": "done"
    }  # fmt: skip
    complaints: list[str] = []
    assert [run.signature for run in done_runs([tmp_path], complaints.append)] == ["good"]
    assert len(complaints) == 5
    for name, word in (("failed", "is failed"), ("cut", "cannot be read"), ("list", "damaged"), ("nothing", "read")):
        assert any(f"/{name}" in c and word in c for c in complaints)


def test_missing_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(GsdError, match="does not exist"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(GsdError, match="holds no run"):
        find_runs([tmp_path])


def test_yaml_by_sections_is_the_yaml_as_a_whole(tmp_path):
    """Sections are parsed once each; what cannot be cut into sections is read as it always was."""
    texts = [
        "a: 1\nb:\n  c: [1, 2]\n  d: {e: f}\n\ng: 'x\n\n  y'\n",
        'prompt: "a\\nb: c"\nlong: |\n  x: 1\n  y\nlist:\n- 1\n- 2\n',
        "# comment\na: &x {b: 1}\nc: *x\n",
        "---\na: 1\n",
        "a: 1\na: 2\n",
    ]
    for k, text in enumerate(texts):
        (make(tmp_path / str(k), "DONE") / "config.yaml").write_text(text)
        (run,) = find_runs([tmp_path / str(k)])
        assert run.config == yaml.safe_load(text), text
    (make(tmp_path / "bad", "DONE") / "config.yaml").write_text("a: 1\nb: [\n")
    with pytest.raises(GsdError, match="cannot be read"):
        find_runs([tmp_path / "bad"])[0].config  # noqa: B018
