"""Signals wait for a checkpoint, and a scheduler's own handler comes after it."""

import signal
import threading
from pathlib import Path

import pytest

from gsd.runner.signals import Signals


@pytest.fixture
def signals():
    return Signals(9, Path("outputs/owl"))


@pytest.fixture
def handler():
    """Of SIGUSR2, as submitit has one; yields the signals that it got."""
    got = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: got.append(number))
    yield got
    signal.signal(signal.SIGUSR2, before)


def test_the_first_waits_and_the_second_interrupts(signals):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
    with pytest.raises(KeyboardInterrupt), signals:  # noqa: PT012
        assert not signals.wants_checkpoint
        signal.raise_signal(signal.SIGINT)
        assert signals.wants_checkpoint
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_a_scheduler_the_answer_is_an_exit(signals, capsys):
    with pytest.raises(SystemExit) as stop, signals:  # noqa: PT012
        signal.raise_signal(signal.SIGTERM)
        signals.taken = 3
        signals.checkpoint()
    assert stop.value.code == 143
    assert "SIGTERM: checkpoint at step 3 of 9, outputs/owl; the same command continues." in capsys.readouterr().out
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_schedulers_handler_is_called_after_the_checkpoint_and_may_let_the_run_go_on(signals, handler):
    with signals:
        signal.raise_signal(signal.SIGUSR2)
        assert handler == []
        signals.checkpoint()
        assert handler == [signal.SIGUSR2]
        assert not signals.wants_checkpoint


def test_what_comes_after_the_last_step_is_passed_on(signals, handler):
    with signals:
        signal.raise_signal(signal.SIGUSR2)
        signals.end()
        assert handler == [signal.SIGUSR2]
        signal.raise_signal(signal.SIGUSR2)  # nothing is held back any more
        assert handler == [signal.SIGUSR2] * 2


def test_a_signal_that_nobody_listens_to_is_left_alone(signals):
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL
    with signals:
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_nohup_is_respected(signals):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals:
            signal.raise_signal(signal.SIGHUP)
            assert not signals.wants_checkpoint
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_takes_no_checkpoint_back(signals, monkeypatch):
    def gone(*_, **__):
        raise OSError(5, "Input/output error")

    with pytest.raises(SystemExit) as stop, signals:  # noqa: PT012
        signal.raise_signal(signal.SIGHUP)
        monkeypatch.setattr("builtins.print", gone)
        signals.checkpoint()
    assert stop.value.code == 128 + signal.SIGHUP


def test_a_thread_leaves_signals_to_the_program(signals):
    found = []

    def enter():
        with signals:
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]
