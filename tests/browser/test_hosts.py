"""Which requests a server of this machine answers."""

import http.client
import socket

import pytest

from gsd.browser.hosts import refusal
from gsd.browser.server import serving
from gsd.errors import GsdError

OWN = "http://127.0.0.1:8080"


@pytest.mark.parametrize(
    ("host", "origin", "address"),
    [
        ("127.0.0.1:8080", None, "127.0.0.1"),
        ("localhost:8080", "http://localhost:8080", "127.0.0.1"),
        ("LocalHost", "http://localhost", "::ffff:127.0.0.1"),
        ("[::1]:8080", "http://[::1]:8080", "::1"),
        ("192.168.7.7:8080", "http://192.168.7.7:8080", "192.168.7.7"),
        ("Named.example", "https://named.example", "192.168.7.7"),
        ("127.0.0.1:8080", "https://named.example", "127.0.0.1"),  # a proxy that writes the host anew
        (f"{socket.gethostname()}:1", None, "10.0.0.1"),
    ],
)
def test_own(host, origin, address):
    assert refusal(host, origin, address, ["named.EXAMPLE"]) == ""


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        *((host, None) for host in (None, "", "evil.example", "localhost.evil.example", "x@127.0.0.1", "127.0.0.1/x")),
        *((host, None) for host in ("[::1", "::1", "127.0.0.1 ", "127.0.0.1\n", "192.168.7.7", "127.0.0.1:x@evil")),
        *(("127.0.0.1:8080", origin) for origin in ("", "null", "http://evil.example", f"{OWN}.evil", f"{OWN}@evil")),
        *(
            ("127.0.0.1:8080", origin)
            for origin in ("http://127.0.0.1", "http://localhost:8080", "http://127.0.0.1:8081")
        ),
    ],
)
def test_foreign(host, origin):
    assert refusal(host, origin, "127.0.0.1")


UPGRADE = (
    "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: {origin}\r\nSec-WebSocket-Protocol: {protocol}\r\n\r\n"
)


def test_the_viewer_answers_its_own_pages_alone(capsys):
    viser = pytest.importorskip("viser", reason="pip install -e '.[viewer]'")
    with serving("0.0.0.0", None, "owl", ["gpu7.example"]) as server:
        assert "0.0.0.0 is every network of this machine" in capsys.readouterr().err
        port = server.get_port()

        def status(host, origin=None, protocol=f"viser-v{viser.__version__}"):
            if origin is None:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
                connection.request("GET", "/", headers={"Host": host})
                return connection.getresponse().status
            with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
                connection.sendall(UPGRADE.format(host=host, origin=origin, protocol=protocol).encode())
                return int(connection.recv(100).split()[1])

        own = f"127.0.0.1:{port}"
        assert [status(host) for host in (own, "gpu7.example", "evil.example")] == [200, 200, 403]
        assert status(own, "http://evil.example") == status("evil.example", "http://evil.example") == 403
        assert status(own, f"http://{own}") == 101
        assert status(own, f"http://{own}", "viser-v[red]0") == 400
        assert capsys.readouterr().out == ""  # what a stranger says is not printed
    with pytest.raises(GsdError, match="needs an address"), serving("", None, "owl"):
        pass
