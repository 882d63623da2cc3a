"""What a viewer may do to a run: make it wait. It changes no bits, takes its share of time and does no harm."""

import json
import re
import signal
import time

import pytest
from launch import LIGHT, SMALL, launch, records, same
from onlookers import Scripted

from gsd.runner.live import Budget
from gsd.runner.watch import Clock

WATCHED = "+viewer._target_=onlookers.Scripted"
STEPS = "steps=6"


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return launch(tmp_path_factory.mktemp("runs") / "alone", *LIGHT, STEPS)


@pytest.fixture
def script(monkeypatch):
    """Set what the viewer does: script(watched=False, on_show=...)."""
    monkeypatch.setattr("gsd.runner.live.LEAST_S", 0.0)
    return lambda **parts: [monkeypatch.setattr(Scripted, k, _plain(v)) for k, v in parts.items()]


def _plain(value):
    return staticmethod(value) if callable(value) else value


def test_every_step_is_shown_with_its_pictures_and_records(alone, tmp_path, script):
    seen, lines, sizes = [], [], []

    def look(display):
        shown = display.shown
        seen.append({name: picture.shape for name, picture in shown.pictures.items()})
        lines.extend(shown.records)
        sizes.append(shown.scene.splats().means.shape)

    script(on_show=look)
    before = Scripted.finished
    folder = launch(tmp_path / "run", *LIGHT, STEPS, WATCHED)
    same(alone, folder)
    assert Scripted.steps == [*range(6)]
    assert seen == [dict.fromkeys(("rgb", "depth", "alpha", "noise", "gradient"), (2, 16, 16, 3))] * 6
    whole = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert lines == whole
    assert sizes[:5] == [(150, 3)] * 5
    assert sizes[5] <= (150, 3)  # less what is removed at the end
    assert Scripted.finished == before + 1


def test_nothing_is_drawn_while_nobody_looks(tmp_path, script):
    script(watched=False)
    launch(tmp_path / "run", *SMALL, STEPS, "metric=none", WATCHED)
    assert Scripted.steps == []


def test_a_pause_is_not_the_runs_time_and_single_steps_are_single(alone, tmp_path, script):
    polls = []

    def look(display):
        display.paused = True

    def poll(display):
        """Wait half a second at step 0, take two steps, then go on."""
        polls.append(display.shown.state.step)
        if polls.count(0) == 1:
            time.sleep(0.5)
        display.asked = [True]
        if polls[-1] == 2:
            display.paused = False
            script(on_show=lambda display: None)

    script(on_show=look, on_poll=poll)
    began = time.perf_counter()
    folder = launch(tmp_path / "run", *LIGHT, STEPS, WATCHED)
    passed = time.perf_counter() - began
    assert polls == [0, 1, 2]
    assert records(folder)[-1]["step"] == 5
    seconds = [json.loads(line)["seconds"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert seconds[1] - seconds[0] < 0.4
    assert seconds[-1] < passed - 0.5
    (speed,) = re.findall(r"step 6/6, ([\d.]+) steps/s", (folder / "run.log").read_text())
    assert float(speed) > 5 / (seconds[-1] - seconds[0] + 0.4)
    same(alone, folder)


def test_a_paused_run_stops_at_a_checkpoint(alone, tmp_path, script):
    def look(display):
        display.paused = display.shown.state.step == 2

    script(on_show=look, on_poll=lambda display: signal.raise_signal(signal.SIGTERM))
    with pytest.raises(SystemExit) as stopped:
        launch(tmp_path / "run", *LIGHT, STEPS, WATCHED)
    assert stopped.value.code == 128 + signal.SIGTERM
    assert len(records(tmp_path / "run")) == 3
    same(alone, launch(tmp_path / "run", *LIGHT, STEPS))


def test_a_viewer_that_fails_is_left_alone(alone, tmp_path, script, capsys):
    def fail(display):
        raise ValueError("no browser today")

    script(on_show=fail)
    same(alone, launch(tmp_path / "run", *LIGHT, STEPS, WATCHED))
    assert Scripted.steps == [0]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "The viewer has failed (ValueError: no browser today) and is closed; the run goes on."


def test_of_several_scenes_the_first_is_shown(tmp_path, script):
    script()
    launch(tmp_path / "run", *SMALL, STEPS, "metric=none", "particles=2", WATCHED)
    assert Scripted.steps == [0, 2, 4]


def test_a_budget_is_used_and_kept():
    clock, budget, shown = Clock(), None, 0
    budget = Budget(clock, 0.05)
    budget.begin()
    began = clock.seconds
    for _ in range(2000):
        clock.set(clock.seconds + 0.03)  # a step
        if budget.allows():
            with budget.spending():
                clock.set(clock.seconds + 0.01)
            shown += 1
    share = budget.spent / (clock.seconds - began)
    assert 0.045 < share <= 0.05
    assert shown > 200
