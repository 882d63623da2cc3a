"""Made-up raters who answer a real server: to try the whole chain, to load it, and never as data about methods."""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from gsd.errors import GsdError
from gsd.tools.study.study import QUESTIONS, Study

RETRY_SECONDS = 0.1  # until a server that went away is asked again


@dataclass(frozen=True)
class Crowd:
    """How simulated raters answer."""

    raters: int = 39
    preference: float = 0.6  # probability to prefer side b of a pair, over all raters; in (0, 1)
    correlation: float = 0.1  # of a rater's votes: each has a preference of their own, drawn from a beta distribution
    careless: float = 0.0  # share of raters who press left and right at random
    seed: int = 0

    def __str__(self) -> str:
        return (
            f"{self.raters} raters made up by a program, who prefer side b with probability {self.preference:g}, "
            f"votes of a rater correlated by {self.correlation:g}, {self.careless:.0%} careless"
        )


@dataclass
class Rater:
    """Answers all trials of a study. What the server acknowledged is kept, to be compared with what it stored."""

    url: str
    study: Study
    preference: float
    careless: bool
    rng: np.random.Generator
    deadline: float  # time.monotonic() at which to give up
    name: str = ""
    acknowledged: dict[int, dict[str, str]] = field(default_factory=dict)  # position -> choices
    waits: list[float] = field(default_factory=list)  # seconds until each answer was acknowledged
    fetched: dict[str, int] = field(default_factory=dict)  # media name -> bytes
    _connection: http.client.HTTPConnection | None = None

    def __post_init__(self) -> None:
        shown = [(scene, kind) for kind in ("pair", "broken") for scene in self.study.scenes(kind)]
        # Of a broken scene's two files, a may also be that of a pair: which trial it is shows only in both together
        self.side_b = {frozenset((s.a.media, s.b.media)): (s.b.media, kind == "broken") for s, kind in shown}

    def take_part(self) -> None:
        standing = self._insist("POST", "/api/participants", {"consent": True})
        self.name = standing["id"]
        while standing["trial"]:
            standing = self._answer(standing["trial"])
        self._close()

    def _answer(self, trial: dict[str, Any]) -> dict[str, Any]:
        for name in {trial["left"], trial["right"]} - self.fetched.keys():
            self.fetched[name] = len(self._ask("GET", f"/media/{name}")[1])
        choices = self._choose(trial)
        seconds = np.sort(self.rng.gamma(4, 2, size=len(QUESTIONS))).round(3).tolist()
        body = {
            "position": trial["position"],
            "choices": choices,
            "seconds": dict(zip(QUESTIONS, seconds, strict=True)),
            "total": seconds[-1] + 0.5,
            "screen": [1920, 1080],
            "window": [1600, 900],
        }
        path, began = f"/api/participants/{self.name}", time.monotonic()
        status, reply = self._ask("POST", f"{path}/answers", body)
        self.waits.append(time.monotonic() - began)
        if status == http.HTTPStatus.CREATED:
            self.acknowledged[trial["position"]] = choices
            return json.loads(reply)
        return self._insist("GET", path)  # it was stored, but the reply was lost

    def _choose(self, trial: dict[str, Any]) -> dict[str, str]:
        b, broken = self.side_b[frozenset((trial["left"], trial["right"]))]
        chance = 0.5 if self.careless else 0.0 if broken else self.preference
        sides = ("left", "right") if trial["left"] == b else ("right", "left")
        return {question: sides[int(self.rng.random() >= chance)] for question in QUESTIONS}

    def _insist(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        status, reply = self._ask(method, path, body)
        if status >= http.HTTPStatus.BAD_REQUEST:
            raise GsdError(f"{method} {path}: {status} {reply.decode()}.")
        return json.loads(reply)

    def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and body, however often the server goes away in between."""
        while True:
            try:
                if self._connection is None:
                    self._connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
                data = None if body is None else json.dumps(body)
                self._connection.request(method, path, data, {"Content-Type": "application/json"})
                response = self._connection.getresponse()
                return response.status, response.read()
            except (OSError, http.client.HTTPException) as error:
                self._close()
                if time.monotonic() > self.deadline:
                    raise GsdError(f"{self.url} does not answer: {error}.") from error
                time.sleep(RETRY_SECONDS)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def simulate(url: str, study: Study, crowd: Crowd, seconds: float = 120.0) -> list[Rater]:
    """Let a crowd answer the study that is served at `url`, all at the same time; returns them when all have finished.

    Raises GsdError for a rater who could not finish, at the latest after `seconds` without an answer of the server.
    """
    rng = np.random.default_rng(crowd.seed)
    strength = 1 / max(crowd.correlation, 1e-6) - 1  # of the beta distribution with this intraclass correlation
    tastes = rng.beta(crowd.preference * strength, (1 - crowd.preference) * strength, size=crowd.raters)
    careless = rng.random(crowd.raters) < crowd.careless
    deadline = time.monotonic() + seconds
    raters = [
        Rater(url, study, float(taste), bool(random), child, deadline)
        for taste, random, child in zip(tastes, careless, rng.spawn(crowd.raters), strict=True)
    ]
    failed: list[BaseException] = []

    def run(rater: Rater) -> None:
        try:
            rater.take_part()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(rater,), daemon=True) for rater in raters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline + 60 - time.monotonic()))
    if failed or any(thread.is_alive() for thread in threads):
        raise GsdError(
            f"{len(failed)} simulated raters failed: {failed[0] if failed else 'they did not finish in time'}"
        )
    return raters


@contextmanager
def served(folder: Path, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address and the process of gsd study serve, stopped when the block ends."""
    command = [sys.executable, "-m", "gsd", "study", "serve", str(folder), "--port", str(port)]
    root = str(Path(__file__).resolve().parents[3])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": paths}
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        address = re.match(r"http://\S+", line)
        if not address:
            _, said = server.communicate(timeout=30)
            raise GsdError(f"The study in {folder} could not be served: {said.strip() or line.strip()}")
        yield address[0], server
    finally:
        server.terminate()
        server.communicate(timeout=30)
