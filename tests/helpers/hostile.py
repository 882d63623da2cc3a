"""What strangers send to a server of pages: requests and messages that are wrong in every way, and a few right ones."""

import socket
import struct
from contextlib import suppress
from copy import deepcopy

VALUES = [
    None, True, 0, -1, 7, 2**63, 1e300, float("nan"), float("inf"), -1e-300, "", "7", "abc", "\0", "x" * 5000, [],
    [1] * 3, [[]], {}, {"a": 1}, b"\0\xff", "{globalThis.alert(1)}", "../../etc/passwd",
]  # fmt: skip
SECRET = b"root:"  # /etc/passwd begins so
PATHS = [
    "/", "/index.html", "/../../../../../../etc/passwd", "/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd",
    "/..%2f..%2f..%2f..%2fetc%2fpasswd", "/%00", "/a%0d%0ab", "/" + "a" * 300, "/" + "a/" * 4000, "/%ff", "*", "", "/é",
    "/..\\..\\etc\\passwd", "/media/../study.json", "/media/%2e%2e/votes.sqlite", "http://evil.example/", "/\x01",
    "/?" + "q" * 3000, "/api/participants", "/api/participants/%f0%9f/answers", "/file:///etc/passwd",
    "/proc/self/environ",
]  # fmt: skip
METHODS = ["GET", "GET", "GET", "POST", "HEAD", "PUT", "OPTIONS", "TRACE", "CONNECT", "get", "G" * 5000, "", "PRI"]
ORIGINS = [
    "http://evil.example", "null", "", "http://{own}", "http://{own}@evil.example", "file://", "http://{own}.evil", "é",
]  # fmt: skip
HOSTS = [
    "{own}", "{own}", "{own}", "evil.example", "", "localhost", "{own}.evil.example", "[::1", "x" * 9000, "a:b:c",
]  # fmt: skip
MORE = [
    "Upgrade: websocket", "Upgrade: h2c", "Connection: Upgrade", "Sec-WebSocket-Version: 13", "Content-Length: -1",
    "Sec-WebSocket-Version: -1", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Key: x",
    "Sec-WebSocket-Protocol: viser-v0.0.0", "Sec-WebSocket-Protocol: viser-v[bold]hello", "Content-Length: 5",
    "Content-Length: 99999999999999", "Transfer-Encoding: chunked", "Expect: 100-continue", "Host: evil.example",
    "Range: bytes=0-1,5-", "Cookie: " + "c" * 6000, "Accept-Encoding: gzip, \xff", "no colon", ": empty",
    "X: a\r\n folded", "\0: \0", "X-Forwarded-For: 10.0.0.1",
]  # fmt: skip
WRONG = [b"", b"\x91" * 3000, b"\xdd\xff\xff\xff\xff", b"\xc1", b"\xdf" + b"\xff" * 8, bytes(range(256))]
INNER = ["update_cb", "sync_cb", "removed", "options", "uuid", "visible", "__class__"]


def request(rng, own):
    """The bytes of one request to the server that is called `own`."""
    lines = [f"{rng.choice(METHODS)} {rng.choice(PATHS)} {rng.choice(['HTTP/1.1'] * 5 + ['HTTP/9', '', 'HTTP/1.0'])}"]
    lines += [f"Host: {rng.choice(HOSTS)}"] * rng.choice([1, 1, 1, 1, 0, 2])
    lines += [f"Origin: {rng.choice(ORIGINS)}"] * rng.choice([0, 0, 1, 2])
    lines += rng.choices(MORE, k=rng.choice([0, 1, 2, 5]))
    text = "\r\n".join(lines).format(own=own) + "\r\n\r\n"
    return text.encode("latin-1", "replace") + rng.choice([b"", b"", b"{", b"1001\r\n", rng.randbytes(60)])


def asked(port, content, seconds=10):
    """What a server answers to these bytes, until it closes or says nothing for a moment."""
    answer = b""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
        connection.sendall(content)
        while part := connection.recv(65_536):
            answer += part
            connection.settimeout(0.2)
    return answer


def answered(rng, port):
    """What is wrong with the answer to a wrong request."""
    content = request(rng, f"127.0.0.1:{port}")
    answer = asked(port, content, seconds=0.3)
    if SECRET in answer or b"Traceback" in answer or answer[9:12] == b"500":
        return f"{content[:300]!r}\n{answer[:300]!r}"
    return None


def served(port, path="/"):
    """Whether a page is there, for its own browsers."""
    content = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    return asked(port, content.encode(), seconds=30).startswith(b"HTTP/1.1 200")


def crowd(entered, port, many):
    """As many connections as a stranger gets, which say nothing, until the stack is closed."""
    for _ in range(many):
        with suppress(OSError):
            entered.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))


def spoilt(rng, message):
    """A message that a page sends, with one or two things in it wrong."""
    made = {key: dict(value) if isinstance(value, dict) else value for key, value in message.items()}
    for _ in range(rng.choice([0, 1, 1, 2])):
        key = rng.choice([*made, "more", "excluded_self_client"])
        value = deepcopy(rng.choice(VALUES))
        if isinstance(made.get(key), dict) and rng.random() < 0.8:
            inner = rng.choice(
                [*made[key], "update_cb", "sync_cb", "removed", "options", "uuid", "visible", "__class__"]
            )
            made[key][inner] = value
        elif isinstance(made.get(key), list) and made[key] and rng.random() < 0.7:
            made[key] = [*made[key][:-1], value]
        elif rng.random() < 0.2:
            made.pop(key, None)
        else:
            made[key] = value
    return made


def wrong_bytes(rng, message):
    """Of a message, or of none."""
    import msgspec

    content, way = msgspec.msgpack.encode(message), rng.random()
    if way < 0.4:
        return content[: rng.randrange(len(content) + 1)]
    if way < 0.8:
        flipped = bytearray(content)
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    return rng.choice(
        [b"", b"\x91" * 3000, b"\xdd\xff\xff\xff\xff", b"\xc1", rng.randbytes(100), b"\xdf" + b"\xff" * 8]
    )


def torn(rng, ws):
    """A WebSocket that ends as no library would end it."""
    way = rng.random()
    if way < 0.3:
        ws.send("text")
    elif way < 0.6:
        head = bytes([rng.randrange(256), rng.choice([0, 0x80]) | rng.choice([5, 126, 127])])
        ws.socket.sendall(head + struct.pack(">Q", rng.choice([0, 5, 2**31, 2**63 - 1])) + bytes(50))
    elif way < 0.7:
        ws.send(b"\0" * 70_000)
    ws.socket.shutdown(socket.SHUT_RDWR)
