"""Programs tried on what nobody would give them: each ends well or in one sentence, and soon.

A case follows from a seed and its number: GSD_FUZZ_SEED=3 GSD_FUZZ_CASE=117 repeats one, GSD_FUZZ_CASE=100:200 some.
"""

import io
import os
import random
import signal
import sys
import traceback
from contextlib import contextmanager, redirect_stderr, redirect_stdout

SEED = int(os.environ.get("GSD_FUZZ_SEED", "0"))
ONLY = os.environ.get("GSD_FUZZ_CASE")
BUSY, IDLE = 30, 600  # seconds


class HangError(BaseException):
    """Not an Exception, lest the program under test takes it for one of its own."""


def cases(name, count):
    """Number and random numbers of each case."""
    first, colon, end = (ONLY or f"0:{count}").partition(":")
    for number in range(int(first), int(end) if colon else int(first) + 1):
        yield number, random.Random(f"{SEED} {name} {number}")


@contextmanager
def at_most():
    """Of CPU time, since other programs may keep the machine busy; of the clock where nothing is computed."""

    def stop(number, frame):
        raise HangError(f"{signal.Signals(number).name}: more than {BUSY} s of CPU time, or {IDLE} s")

    before = {number: signal.signal(number, stop) for number in (signal.SIGPROF, signal.SIGALRM)}
    signal.setitimer(signal.ITIMER_PROF, BUSY)
    signal.alarm(IDLE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


def outcome(main, *arguments):
    """What a program's main() ends with, and what it prints: (0, None, an exit code or a sentence; text)."""
    printed, before = io.StringIO(), sys.argv
    sys.argv = ["gsd", *map(str, arguments)]
    try:
        with at_most(), redirect_stdout(printed), redirect_stderr(printed):
            main()
        return 0, printed.getvalue()
    except SystemExit as stop:
        return stop.code, printed.getvalue()
    finally:
        sys.argv = before


def fault(main, *arguments):
    """What is wrong with how a program ends; None if nothing."""
    try:
        code, printed = outcome(main, *arguments)
    except (Exception, HangError):
        return " ".join(map(str, arguments)) + "\n" + traceback.format_exc()[-1500:]
    told = printed + (code if isinstance(code, str) else "")
    if "Traceback" in told or (isinstance(code, str) and not code.startswith("error: ")):
        return " ".join(map(str, arguments)) + "\n" + told[-1500:]
    return None


def gathered(tried, name, count, *arguments):
    """The faults of all cases; each is printed at once, for whoever looks on with pytest -s."""
    found = []
    for number, rng in cases(name, count):
        for text in tried(number, rng, *arguments):
            found.append((number, text))
            print(f"case {number}: {text}", flush=True)
    return found


def report(found):
    """An assertion's message: every case that went wrong, the first ones with all there is to say."""
    heads = [f"case {number}: {text.splitlines()[0][:150]} ... {text.splitlines()[-1][:200]}" for number, text in found]
    return f"{len(found)} of seed {SEED}\n" + "\n".join(heads) + "\n\n" + "\n\n".join(text for _, text in found[:3])
