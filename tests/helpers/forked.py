"""python run.py ARGUMENTS without the seconds that its imports take.

This file, as a program, imports what a run needs, takes a run of one step, so that kernels are loaded and FFmpeg is
looked for, and then forks a process for every request. A fork goes on as run.py does, with the working directory,
environment and pipes asked for; only that at its end, when all threads and what is registered with atexit have ended,
modules are not taken apart, which would copy them first. What the imports read when they run (OMP_NUM_THREADS,
PYTHONPATH, PYTHONHASHSEED) is as it was when the tests began.
"""

import atexit
import gc
import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
from contextlib import redirect_stdout, suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
RUN = str(ROOT / "run.py")
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}  # before any test changes it
NUMBER = struct.Struct("i")


class Program(subprocess.Popen):
    """A `Popen` of python run.py ARGUMENTS. The process is not this one's child, but its parent tells how it ends."""

    def _execute_child(self, args, *options):
        cwd, env = options[4:6]
        ends = options[9:15]  # of the pipes of stdin, stdout and stderr: what they read, what they write
        its = [own if end == -1 else end for own, end in enumerate((ends[0], ends[3], ends[5]))]
        self._parent, far = socket.socketpair()
        with far:
            socket.send_fds(_server(), [b"?"], [*its, far.fileno()])
        self._close_pipe_fds(*ends)
        request = {
            "arguments": list(map(str, args)),
            "cwd": str(cwd or os.getcwd()),
            "environment": dict(env or os.environ),
        }
        self._parent.sendall(json.dumps(request).encode() + b"\n")
        self.pid = self._hear(None)

    def _hear(self, timeout):
        if select.select([self._parent], [], [], timeout)[0]:
            return NUMBER.unpack(self._parent.recv(NUMBER.size))[0]
        return None

    def _internal_poll(self, *_, **__):
        return self.poll()

    def poll(self):
        return self._ended(0)

    def wait(self, timeout=None):
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(self.args, timeout)
        return self.returncode

    def _ended(self, timeout):
        if self.returncode is None and (code := self._hear(timeout)) is not None:
            self.returncode = code
            self._parent.close()
        return self.returncode


def take_over(monkeypatch):
    """Programs that the code under test starts are forks too."""
    real = subprocess.Popen

    def popen(args, **options):
        for program in ([sys.executable, "-m", "gsd"], [sys.executable, RUN]):
            if args[: len(program)] == program:
                return Program(args[len(program) :], **options)
        return real(args, **options)

    monkeypatch.setattr(subprocess, "Popen", popen)


@cache
def _server():
    """The socket of this process's server, which ends when the socket is closed."""
    ours, far = socket.socketpair()
    with far:
        command = [sys.executable, __file__, str(far.fileno())]
        subprocess.Popen(command, cwd="/", env=ENVIRONMENT, pass_fds=[far.fileno()], stdin=subprocess.DEVNULL)
    return ours


def imports():
    """What the programs use, and the plugins of Hydra."""
    import pkgutil
    from importlib import import_module

    import numba
    from hydra.core.plugins import Plugins

    import gsd
    from gsd.config import register

    register()
    Plugins.instance()  # first: Hydra executes the modules of its own plugins anew
    for module in pkgutil.walk_packages(gsd.__path__, "gsd."):
        if not module.name.startswith(("gsd.logger.", "gsd.tools.dashboard.")):  # wandb reads the environment at once
            with suppress(ImportError):  # of an extra
                import_module(module.name)
    numba.njit(lambda: 0)()  # numba sets itself up at the first function


def warm_up():
    """A run, of which no thread is left that a fork would lack."""
    import gsd

    with TemporaryDirectory() as folder, redirect_stdout(None):
        gsd.run(gsd.compose("steps=1", "threads=1", "turntable.views=2", "init.points=150"), folder)
    assert threading.active_count() == 1
    gc.collect()
    gc.freeze()  # a collection writes to what it visits, and a fork copies what is written to


def serve(requests):
    """Forks until the tests end. Returns the arguments, in a fork only."""
    own = {k: v for k, v in os.environ.items() if ENVIRONMENT.get(k) != v}  # set by what was imported
    while True:
        message, fds, *_ = socket.recv_fds(requests, 1, 4)
        if not message:
            os._exit(0)
        if os.fork() == 0:
            break
        for fd in fds:
            os.close(fd)
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    requests.close()
    with socket.socket(fileno=fds.pop()) as test:
        request = json.loads(test.makefile().readline())
        if pid := os.fork():
            for fd in fds:
                os.close(fd)
            test.sendall(NUMBER.pack(pid))
            test.sendall(NUMBER.pack(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])))
            os._exit(0)
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(own | request["environment"])
    return request["arguments"]


def end(codes):
    """The exit at last, if the program has ended with a code: an exception is left to the interpreter."""
    if codes:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(codes[0])


if __name__ == "__main__":
    codes = []
    atexit.register(end, codes)  # before all others, so that it is called after them
    sys.path[0] = str(ROOT)
    imports()
    warm_up()
    sys.argv = [RUN, *serve(socket.socket(fileno=int(sys.argv[1])))]
    import numpy

    numpy.random.seed()  # as in a process of its own
    sys.modules["__main__"].__file__ = RUN
    try:
        exec(compile(Path(RUN).read_text(), RUN, "exec"))
        codes.append(0)
    except SystemExit as stop:
        codes.append(stop.code if isinstance(stop.code, int) else int(stop.code is not None))
        raise
