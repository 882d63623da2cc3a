"""The time left of made-up runs, whose steps take what the test says."""

import pytest

from gsd.camera.orbit import Orbit
from gsd.random import Stream
from gsd.runner.pace import Pace
from gsd.schedule import Linear, Step

STEPS, LATER = 600, 400
LARGER = Orbit(resolution=Step(kind="step", values=[64, 256], at=[LATER]))  # a last third of four times the width


def told(cost, orbit, steps=STEPS):
    """(steps done, seconds said to be left, seconds that are left) after each step."""
    pace = Pace(steps, lambda step: orbit(Stream(0, "camera", step)))
    seconds = [cost(step) for step in range(steps)]
    found = []
    for step in range(steps):
        pace.step(orbit(Stream(0, "camera", step)), seconds[step])
        found.append((step + 1, pace.left(step + 1), sum(seconds[step + 1 :])))
    return found


def test_a_last_third_that_is_four_times_as_slow_is_seen_from_the_start():
    def cost(step):
        return 0.01 if step < LATER else 0.04

    (_, first, _), *rest = told(cost, LARGER)
    assert first is None  # which has compiled kernels
    for _, left, true in rest:
        assert left == pytest.approx(true, rel=0.01)


def test_what_later_steps_cost_is_learned_from_the_second_of_them():
    """Pictures of four times the width, at the same cost: a network that always sees as much. The first step of each
    size takes a second."""

    def cost(step):
        return 1.0 if step in (0, LATER) else 0.1

    found = told(cost, LARGER)
    assert found[200][1] > 1.5 * found[200][2]  # nobody can know
    for _, left, true in found[LATER + 1 :]:
        assert left == pytest.approx(true)


@pytest.mark.parametrize(
    "camera",
    [
        {"resolution": Linear(kind="linear", start=32, end=128, until=450)},
        {"groups": Step(kind="step", values=[4, 1], at=[300])},
        {"resolution": 16},
    ],
)
@pytest.mark.parametrize("steps", [7, 601])
def test_sizes_may_change_at_every_step_and_with_the_number_of_views(camera, steps):
    orbit = Orbit(**camera)

    def cost(step):
        cameras = orbit(Stream(0, "camera", step))
        return len(cameras) * cameras.width / 1000

    for done, left, true in told(cost, orbit, steps)[1:]:
        assert left == pytest.approx(true, rel=0.03, abs=0.3), done
