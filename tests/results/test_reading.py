"""What is no file of ours is named in one sentence."""

import os

import pytest
import yaml

from gsd.errors import GsdError
from gsd.results.reading import Summary, finite, read_json, read_rows, read_text, read_yaml, there
from gsd.results.runs import Run, find_runs
from gsd.results.table import read

DAMAGES = {
    b"": "cannot be read",
    b"\xfe\xff\0a": "no text",
    b"{}\0": "cannot be read",
    b'"word"': "valid dictionary",
    b"[[[1]]]": "valid dictionary",
    b"-Infinity": "valid dictionary",
    b'{"seconds": "long"}': "seconds: input should be a valid number",
    b'{"particles": [null]}': "particles.0: input should be a valid dictionary",
    b'{"x": ' + b"9" * 5000 + b"}": "cannot be read",
    b'{"x": 1' + b"0" * 200 + b"}": "more than 100 digits",
    b'{"x": ' * 50 + b"1" + b"}" * 50: "nested more than",
    b'{"x": ' * 90000: "cannot be read",
    b'{"x": [' + b"0," * 200_000 + b"0]}": "more than 100000 values",
}


@pytest.mark.parametrize("content", DAMAGES, ids=lambda content: content[:12])
def test_damaged_json(tmp_path, content):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(GsdError, match=DAMAGES[content]) as error:
        read_json(tmp_path / "a.json", Summary)
    assert "\n" not in str(error.value)


def test_a_mark_in_front_is_no_damage(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"seed": 3}')
    assert read_json(tmp_path / "a.json", Summary) == {"seed": 3}


def test_what_lies_in_a_files_place(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "gone").symlink_to("nowhere")
    for name in ("folder", "loop", "gone"):
        assert there(tmp_path / name)
        with pytest.raises(GsdError, match=f"{name} cannot be read"):
            read_text(tmp_path / name)
    assert not there(tmp_path / "absent")
    assert not there(tmp_path / "absent/below")


def test_rows_have_steps(tmp_path):
    file = tmp_path / "a.jsonl"
    file.write_text('{"step": 1}\n\n{"step": 2, "x": NaN}\n{"step"')
    assert [row["step"] for row in read_rows(file)] == [1, 2]
    for line in ('{"step": null}', '{"step": 1e99}', '{"step": -4}', "7", '"step"'):
        file.write_text('{"step": 0}\n' + line + "\n")
        with pytest.raises(GsdError, match="is damaged: line 2"):
            read_rows(file)


def test_yaml_that_would_fill_the_memory(tmp_path):
    file = tmp_path / "a.yaml"
    for again in ("*{0}", "{{<<: *{0}}}"):
        levels = [f"k{n}: &k{n} [{', '.join([again.format(f'k{n - 1}')] * 9)}]" for n in range(1, 12)]
        file.write_text("\n".join(["k0: &k0 {a: 1}", *levels]))
        with pytest.raises(GsdError):
            read_yaml(file, dict)
    file.write_text("a: &x {b: 1}\nc: *x\n")
    assert read_yaml(file, dict) == {"a": {"b": 1}, "c": {"b": 1}}


def test_numbers_without_sense_are_none():
    assert [finite(x) for x in (1, 0.5, float("nan"), float("inf"), 1e200, 10**400, "1", None)] == [True] * 2 + [
        False
    ] * 6


def test_a_run_is_found_once_whatever_leads_to_it(tmp_path):
    run = tmp_path / "sweep/one"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(yaml.safe_dump({"seed": 1}))
    for name, target in (("again", "one"), ("up", ".."), ("self", "self"), ("nowhere", "/nonexistent")):
        (tmp_path / "sweep" / name).symlink_to(target)
    assert find_runs([tmp_path]) == [Run(run)]
    os.symlink("config.yaml", tmp_path / "sweep/config.yaml")
    assert [str(tmp_path / "sweep/config.yaml") in sentence for sentence in read([tmp_path]).left_out] == [True]
