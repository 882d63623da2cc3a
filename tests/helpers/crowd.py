"""The study's server in a process of its own, and raters who answer it over HTTP, all at the same time."""

import http.client
import json
import threading
import time
import urllib.error
import urllib.request
from contextlib import contextmanager

import numpy as np
from launch import ROOT, start

from gsd.tools.study.study import QUESTIONS

TRY_SECONDS = 120


@contextmanager
def served(folder, port=0):
    """The address and the process of `gsd study serve`, stopped when the block ends."""
    server = start(ROOT, "study", "serve", str(folder.resolve()), "--port", str(port), "--per-address", "1000")
    try:
        line = server.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), line + server.stderr.read()
        yield line.split()[0], server
    finally:
        server.terminate()
        server.communicate(timeout=30)


class Rater:
    """Answers all trials and keeps what the server acknowledged, to be compared with what it stored."""

    def __init__(self, url, films, preference, thinks=0.0, seed=0):
        self.url, self.films, self.preference, self.thinks = url, films, preference, thinks
        self.rng, self.id, self.acknowledged, self.finished = np.random.default_rng(seed), None, {}, False

    def take_part(self):
        standing = self.insist("api/participants", {})
        self.id = standing["id"]
        while standing["films"]:
            time.sleep(self.thinks)
            self.ask(f"media/{standing['films'][0]}")
            kind, left = self.films[standing["films"][0]]
            chance = 0.5 if self.preference is None else 0 if kind == "broken" else self.preference
            choices = {q: "left" if (left == "b") == (self.rng.random() < chance) else "right" for q in QUESTIONS}
            body = {"position": standing["answered"], "choices": choices, "seconds": 6.5}
            status, _ = self.ask(f"api/participants/{self.id}/answers", body)
            if status == 201:
                self.acknowledged[standing["answered"]] = choices
            else:
                assert status == 409, status  # it was stored, but the reply was lost
            standing = self.insist(f"api/participants/{self.id}")
        self.finished = True

    def insist(self, path, body=None):
        status, reply = self.ask(path, body)
        assert status < 400, reply
        return json.loads(reply)

    def ask(self, path, body=None):
        """Status and reply, however often the server goes away in between."""
        data = None if body is None else json.dumps(body).encode()
        end = time.monotonic() + TRY_SECONDS
        while True:
            try:
                with urllib.request.urlopen(self.url + path, data, timeout=30) as reply:
                    return reply.status, reply.read()
            except urllib.error.HTTPError as error:
                return error.code, error.read()
            except (OSError, http.client.HTTPException):  # the reply may be cut off in the middle
                assert time.monotonic() < end, f"{self.url} does not answer"
                time.sleep(0.1)


def simulate(url, study, raters, preference=0.9, careless=0, thinks=0.0):
    """Raters who have all finished; the first few may be careless: they choose left or right at random."""
    scenes = [("pair", scene) for scene in study.pairs] + [("broken", scene) for scene in study.broken]
    films = {scene.films[left]: (kind, left) for kind, scene in scenes for left in "ab"}
    crowd = [Rater(url, films, None if k < careless else preference, thinks, seed=k) for k in range(raters)]
    threads = [threading.Thread(target=rater.take_part, daemon=True) for rater in crowd]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * TRY_SECONDS)
    assert all(rater.finished for rater in crowd)
    return crowd
