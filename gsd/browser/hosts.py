"""Who may talk to a server of this machine: its own pages, under an address it listens on or a name the user gave.

Without this, any web page that a user visits could: DNS can lead another site's name to 127.0.0.1, forms are sent
across sites, and WebSockets know no rule of same origin.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

EVERYWHERE = ("0.0.0.0", "::")
NETLOC = re.compile(r"[\w.:\[\]-]+", re.ASCII)
NO_ADDRESS = "The host needs an address to listen at: 127.0.0.1 is this machine alone, 0.0.0.0 all networks."


def refusal(host: str | None, origin: str | None, address: str, named: Collection[str] = ()) -> str:
    """Why a request is refused, in a sentence; '' if it is not.

    host and origin: its headers. address: of this machine, that the connection came in on. named: by the user, other
    names of this machine, or of a proxy before it.
    """
    name = _name(host or "")
    if name not in {*_own(address), *map(str.lower, named)}:
        return "This server is not known under this name; whoever runs it can add the name: --allow-host, viewer.hosts."
    if origin is not None and not _is_own(origin, host or "", named):
        return "Pages of other sites cannot use this server."
    return ""


def warning(host: str, whoever: str) -> str:
    """What to say of an address that is not this machine's alone; else ''."""
    if host not in EVERYWHERE:
        return ""
    return f"warning: {host} is every network of this machine: {whoever}. 127.0.0.1 is this machine alone."


def _own(address: str) -> set[str]:
    try:
        parsed = ip_address(address.partition("%")[0])  # of IPv6, less the interface
    except ValueError:
        return set()
    parsed = getattr(parsed, "ipv4_mapped", None) or parsed
    return {str(parsed), socket.gethostname().lower(), *(["localhost"] if parsed.is_loopback else [])}


def _is_own(origin: str, host: str, named: Collection[str]) -> bool:
    """Of the same host and port; of names that the user gave, a proxy may have another port."""
    found = origin.lower().partition("://")[2]
    return bool(NETLOC.fullmatch(found)) and (found == host.lower() or _name(found) in map(str.lower, named))


def _name(netloc: str) -> str:
    """Host:port without the port; '' for what is neither."""
    try:
        return (urlsplit(f"//{netloc}").hostname or "") if NETLOC.fullmatch(netloc) else ""
    except ValueError:
        return ""
