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


@pytest.mark.parametrize(
    "bad",
    [
        "fast",
        {"kind": "cosine", "start": 1, "end": 0, "until": 3},
        {"kind": "linear", "start": 1},
        {"kind": "linear", "start": 1, "end": 0, "until": 3, "typo": 1},
        {"kind": "step", "values": [1, 2], "at": [1, 2]},
        {"kind": "step", "values": [1, 2, 3], "at": [20, 10]},
    ],
)
def test_nonsense_is_refused(bad):
    with pytest.raises(ValidationError):
        parse(bad)
