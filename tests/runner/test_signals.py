"""Signals wait for a checkpoint, and a scheduler's own handler comes after it."""

import signal

import pytest

from gsd.runner.signals import Signals


@pytest.fixture
def handler():
    """Of SIGUSR2, as submitit has one; yields the signals that it got."""
    got = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: got.append(number))
    yield got
    signal.signal(signal.SIGUSR2, before)


def test_the_first_waits_and_the_second_interrupts():
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
    with pytest.raises(KeyboardInterrupt), Signals() as signals:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        assert signals.seen == [signal.SIGINT]
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_a_scheduler_the_answer_is_an_exit(capsys):
    with Signals() as signals:
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(SystemExit) as stop:
            signals.answer("step 3 of 9")
        signals.seen.clear()
    assert stop.value.code == 143
    assert "SIGTERM: checkpoint at step 3 of 9" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_schedulers_handler_is_called_after_the_checkpoint_and_may_let_the_run_go_on(handler):
    with Signals() as signals:
        signal.raise_signal(signal.SIGUSR2)
        assert handler == []
        signals.answer("step 3 of 9")
        assert handler == [signal.SIGUSR2]
        assert signals.seen == []


def test_what_comes_after_the_last_step_is_passed_on(handler):
    with Signals():
        signal.raise_signal(signal.SIGUSR2)
    assert handler == [signal.SIGUSR2]


def test_a_signal_that_nobody_listens_to_is_left_alone():
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    with Signals():
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
