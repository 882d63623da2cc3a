"""Trackers for tests, +logger.NAME={_target_: trackers.Recorded} or trackers.Faulty, and what any should be told."""

import json
import time
from contextlib import contextmanager

COST = ("step", "prior_calls", "seconds")


def lines(folder, name):
    path = folder / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def history(folder):
    """The rows that the folder's two .jsonl make, by hand: what was measured after N steps stands before step N."""
    rows = [((line["step"], "b"), line) for line in lines(folder, "metrics.jsonl")]
    for line in lines(folder, "evaluations.jsonl"):
        measured = {f"eval/{k}": v for k, v in line.items() if k not in COST and not isinstance(v, list)}
        rows.append(((line["step"], "a"), {k: line[k] for k in COST} | measured))
    return [row for _, row in sorted(rows, key=lambda each: each[0])]


class Recorded:
    """Keeps what it is told, and, as a server would, from one stretch of a run to the next."""

    rows, runs, results, left = [], [], [], []

    def __init__(self, delay: float = 0.0):
        self.delay = delay

    @classmethod
    def clear(cls):
        for told in (cls.rows, cls.runs, cls.results, cls.left):
            told.clear()

    @contextmanager
    def __call__(self, run):
        self.runs.append(run)
        self.known = len(self.rows)
        try:
            yield self
        except BaseException as error:
            self.left.append(type(error))
            raise
        self.left.append(None)

    def log(self, rows):
        time.sleep(self.delay)
        self.rows.extend(rows)

    def finish(self, results):
        self.results.append(results)


class Faulty:
    """Raises at one of its ends, and notes every call."""

    calls = []  # noqa: RUF012
    known = 0

    def __init__(self, at: str):
        self.at = at

    def _do(self, name):
        self.calls.append(name)
        if name == self.at:
            raise ValueError(f"no {name} today\nand more")

    @contextmanager
    def __call__(self, run):
        self._do("enter")
        yield self
        self._do("leave")

    def log(self, rows):
        self._do("log")

    def finish(self, results):
        self._do("finish")
