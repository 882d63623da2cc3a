"""Who sees what: balanced, random, and the same whenever it is asked."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from studies import study

from gsd.tools.study.design import trials


def of(given, kind):
    return [trial for trial in given if trial.kind == kind]


def test_the_same_participant_sees_the_same_and_another_does_not():
    plan = study(6)
    assert trials(plan, 3) == trials(plan, 3)
    assert len({tuple(trials(plan, k)) for k in range(30)}) == 30
    assert trials(plan, 3) != trials(study(6, seed=8), 3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 12), st.integers(0, 4), st.integers(0, 1000), st.data())
def test_every_plan_has_what_it_promises(pairs, broken, participant, data):
    number = data.draw(st.integers(1, pairs))
    mirrored = data.draw(st.integers(0, (number + 1) // 2 - 1))
    plan = trials(study(pairs, broken, trials=number, mirrored=mirrored), participant)
    real, again, caught = (of(plan, kind) for kind in ("pair", "mirrored", "broken"))
    assert (len(real), len(again), len(caught)) == (number, mirrored, broken)
    assert len({trial.scene for trial in real}) == number
    assert sorted(trial.scene for trial in caught) == list(range(broken))
    for sides in (real, caught):
        left = sum(trial.left == "a" for trial in sides)
        assert abs(2 * left - len(sides)) <= 1
    for trial in again:
        first = next(t for t in real if t.scene == trial.scene)
        assert first.left != trial.left
        between = plan[plan.index(first) + 1 : plan.index(trial)]
        assert any(t.kind == "pair" for t in between)  # never right after it


def test_pairs_are_shown_equally_often_when_raters_see_only_some():
    plan = study(10, trials=4)
    shown = Counter(trial.scene for k in range(25) for trial in of(trials(plan, k), "pair"))
    assert set(shown.values()) == {10}


def test_sides_and_order_are_random():
    """Over 400 raters; each bound lets a fair draw pass with a chance of 0.9999."""
    plan = study(5)
    first, left = Counter(), Counter()
    for k in range(400):
        real = of(trials(plan, k), "pair")
        first[real[0].scene] += 1
        left.update(trial.scene for trial in real if trial.left == "a")
    assert stats.chisquare([first[scene] for scene in range(5)]).pvalue > 1e-4
    for scene in range(5):
        assert stats.binomtest(left[scene], 400).pvalue > 2e-5


@pytest.mark.parametrize("kind", ["broken", "mirrored"])
def test_catch_trials_come_anywhere_they_may(kind):
    plan = study(6, broken=1)
    places = Counter(
        position for k in range(200) for position, trial in enumerate(trials(plan, k)) if trial.kind == kind
    )
    assert set(places) == (set(range(8)) if kind == "broken" else {3, 4, 5, 6, 7})
