"""viser's web server: where it listens, and what it looks like before anything is shown."""

from __future__ import annotations

import errno
import io
import logging
import socket
import sys
import threading
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import Any

from gsd.browser.hosts import EVERYWHERE, NO_ADDRESS, warning
from gsd.errors import GsdError, reason

FIRST, TRIED = 8080, 100  # ports, where none is asked for
ACCENT = (230, 90, 20)


class Flag(threading.Event):
    """Raised by the thread of a click, and taken down by the thread that draws."""

    def taken(self) -> bool:
        """Whether it was up."""
        was_set = self.is_set()
        self.clear()
        return was_set


def require_viser(what: str) -> None:
    if find_spec("viser") is None:
        raise GsdError(f"{what} needs viser: pip install -e '.[viewer]' in a checkout.")


@contextmanager
def serving(host: str, port: int | None, title: str, named: Collection[str] = ()) -> Iterator[Any]:
    """A running `viser.ViserServer`, until the block ends.

    Args:
        host: the address to listen at; 127.0.0.1 is reached from this machine alone.
        port: None: the first free one from 8080 on.
        title: of the panel.
        named: other names by which browsers may know this machine.

    Raises:
        GsdError: a port that is taken, an address that is not this machine's.
    """
    import viser

    from gsd.browser.gate import gated

    logging.getLogger("websockets").setLevel(logging.CRITICAL)  # it tells of every connection
    warnings.filterwarnings("ignore", "Queued a .* on a closed connection", UserWarning)  # of a page just left
    chosen = _free_port(host) if port is None else port
    if problem := _problem(host, chosen):
        raise GsdError(problem)
    if sentence := warning(host, "whoever reaches it can see the run and press its buttons"):
        print(sentence, file=sys.stderr, flush=True)
    with redirect_stdout(io.StringIO()), gated(named) as tell:  # a banner
        server = viser.ViserServer(host, chosen, label=title, verbose=False)
    tell(server)
    server.gui.configure_theme(show_logo=False, show_share_button=False, brand_color=ACCENT)
    try:
        yield server
    finally:
        with redirect_stdout(io.StringIO()):  # and a farewell
            server.stop()


def address(server: Any) -> str:
    host = server.get_host()
    return f"http://{socket.gethostname() if host in EVERYWHERE else host}:{server.get_port()}"


def _free_port(host: str) -> int:
    return next((port for port in range(FIRST, FIRST + TRIED) if _problem(host, port) is None), FIRST)


def _problem(host: str, port: int) -> str | None:
    """Why nothing can listen there, in a sentence; None if something can. viser itself would take another port."""
    if not host:
        return NO_ADDRESS
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except PermissionError:
        return f"Port {port} is for the system's own services; choose one above 1023, or none."
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"Port {port} of {host} is taken; choose another one, or none for the first that is free."
        return f"Nothing can listen at {host} ({reason(error)}); 127.0.0.1 is this machine alone, 0.0.0.0 all networks."
    return None
