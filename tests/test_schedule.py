import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from gsd.schedule import Schedule, at

parse = TypeAdapter(Schedule).validate_python


def test_constant():
    assert at(parse(0.3), 0) == at(parse(0.3), 999) == 0.3
    assert at(parse(2), 5) == 2


@given(st.floats(-5, 5), st.floats(-5, 5), st.integers(0, 50), st.integers(1, 50), st.integers(-10, 200))
def test_linear_is_straight_between_its_ends_and_constant_outside(start, end, begin, length, step):
    schedule = parse({"kind": "linear", "start": start, "end": end, "begin": begin, "until": begin + length})
    expected = start + (end - start) * min(max((step - begin) / length, 0), 1)
    assert at(schedule, step) == pytest.approx(expected)


def test_step():
    schedule = parse({"kind": "step", "values": [0, 0.5, 2], "at": [10, 20]})
    assert [at(schedule, s) for s in (0, 9, 10, 19, 20, 99)] == [0, 0, 0.5, 0.5, 2, 2]


def test_points_are_joined_by_straight_lines_and_constant_outside():
    schedule = parse({"kind": "points", "values": [1, 0.5, 0.5, 2], "at": [10, 20, 30, 34]})
    steps = (0, 10, 12, 20, 25, 30, 31, 34, 99)
    assert [at(schedule, s) for s in steps] == pytest.approx([1, 1, 0.9, 0.5, 0.5, 0.5, 0.875, 2, 2])


@given(st.floats(-5, 5), st.floats(-5, 5), st.integers(0, 50), st.integers(1, 50), st.integers(-10, 200))
def test_two_points_are_linear(start, end, begin, length, step):
    one = parse({"kind": "linear", "start": start, "end": end, "begin": begin, "until": begin + length})
    other = parse({"kind": "points", "values": [start, end], "at": [begin, begin + length]})
    assert at(one, step) == pytest.approx(at(other, step))


def test_one_kind_replaces_another_though_hydra_merges_them():
    default = {"kind": "linear", "start": 0.98, "end": 0.5, "begin": 3, "until": 10}
    schedule = parse(default | {"kind": "step", "values": [1, 2], "at": [5]})
    assert [at(schedule, s) for s in (4, 5)] == [1, 2]
    with pytest.raises(ValidationError, match="end"):
        parse({"kind": "step", "values": [1, 2], "at": [5]} | {"kind": "linear", "start": 1, "until": 3})


@pytest.mark.parametrize(
    "bad",
    [
        "fast",
        {"kind": "cosine", "start": 1, "end": 0, "until": 3},
        {"kind": "linear", "start": 1},
        {"kind": "linear", "start": 1, "end": 0, "until": 3, "typo": 1},
        {"kind": "step", "values": [1, 2], "at": [1, 2]},
        {"kind": "step", "values": [1, 2, 3], "at": [20, 10]},
        {"kind": "points", "values": [1, 2, 3], "at": [10, 20]},
        {"kind": "points", "values": [1, 2], "at": [20, 10]},
        {"kind": "points", "values": [], "at": []},
    ],
)
def test_nonsense_is_refused(bad):
    with pytest.raises(ValidationError):
        parse(bad)
