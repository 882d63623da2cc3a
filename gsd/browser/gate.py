"""What viser's server takes from outside: requests for its own pages, and of those pages what a click can send.

viser believes its browsers: a message may set any attribute of a control, or ask for a tunnel by which everyone on the
internet sees the page, and what is no message ends in a traceback. It has no options for that, so its connections are
replaced by these. The module needs viser, and is imported where that is known to be there.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
import pydantic
import viser
from annotated_types import Interval, Len
from websockets.asyncio import server
from websockets.http11 import Request

from gsd.browser.hosts import refusal

AT_ONCE = 100  # connections; each takes a file handle of the run's
LONGEST = 65_536  # bytes of a message; a click has a few hundred
NEAR, FAR = 1e-6, 1e9

Number = Annotated[float, Interval(ge=-FAR, le=FAR)]
Vector = tuple[Number, Number, Number]
Word = Annotated[str, Len(0, 200)]


class _Message(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", allow_inf_nan=False)


class Camera(_Message):
    """Where a browser's camera is; it looks somewhere, and knows where up is."""

    wxyz: tuple[Number, Number, Number, Number]
    position: Vector
    fov: Number
    near: Number
    far: Number
    image_height: Annotated[int, Interval(ge=0, le=65_536)]
    image_width: Annotated[int, Interval(ge=0, le=65_536)]
    look_at: Vector
    up_direction: Vector

    @pydantic.model_validator(mode="after")
    def _has_directions(self) -> Camera:
        look = tuple(there - here for there, here in zip(self.look_at, self.position, strict=True))
        if min(math.hypot(*each) for each in (look, self.wxyz, self.up_direction)) < NEAR:
            raise ValueError("a direction is missing")
        return self


class Click(_Message):
    """On something in the 3D window."""

    name: Word
    instance_index: Annotated[int, Interval(ge=0, le=FAR)] | None
    ray_origin: Vector
    ray_direction: Vector
    screen_pos: tuple[Number, Number]
    modifier: Word | None
    owner: Word = ""


class Value(_Message):
    value: bool | Number | Word


class Update(_Message):
    """A control of the panel was used."""

    uuid: Word
    updates: Value


MESSAGES: dict[str, type[_Message]] = {
    "ViewerCameraMessage": Camera,
    "SceneNodeClickMessage": Click,
    "GuiUpdateMessage": Update,
}


def is_meant(raw: str | bytes, controls: dict[str, Any]) -> bool:
    """Whether a page of ours may have sent this. controls: by their names at viser."""
    try:
        content: Any = msgspec.msgpack.decode(raw) if isinstance(raw, bytes) else None
        message = MESSAGES[content.pop("type")](**content)
    except (msgspec.MsgspecError, pydantic.ValidationError, AttributeError, KeyError, TypeError, RecursionError):
        return False
    return not isinstance(message, Update) or offers(controls.get(message.uuid), content["updates"]["value"])


def offers(control: Any, value: object) -> bool:
    """Whether a control can be set so by hand."""
    if isinstance(control, viser.GuiDropdownHandle):
        return value in control.options
    if isinstance(control, viser.GuiSliderHandle):
        return isinstance(value, int | float) and control.min <= value <= control.max
    return isinstance(control, viser.GuiCheckboxHandle | viser.GuiButtonHandle) and isinstance(value, bool)


@contextmanager
def gated(named: Collection[str]) -> Iterator[Callable[[Any], None]]:
    """The server that viser starts meanwhile has these connections; yields what wants to be told that `ViserServer`.

    named: other names by which browsers may know this machine.
    """
    made: list[Any] = []
    real = server.serve

    def serve(*args: Any, process_request: Any, **options: Any) -> Any:
        def checked(connection: Any, request: Request) -> Any:
            problem = _problem(request, connection.local_address[0], named)
            return connection.respond(*problem) if problem else process_request(connection, request)

        mended = {"process_request": checked, "create_connection": _connection(made), "max_size": LONGEST}
        return real(*args, **options | mended)

    server.serve = serve  # type: ignore[assignment, misc]
    try:
        yield made.append
    finally:
        server.serve = real  # type: ignore[misc]


def _problem(request: Request, address: str, named: Collection[str]) -> tuple[HTTPStatus, str] | None:
    """Why a request is refused."""
    found = {name: request.headers.get_all(name) for name in ("Host", "Origin", "Upgrade", "Accept-Encoding")}
    if max(map(len, found.values())) > 1:
        return HTTPStatus.BAD_REQUEST, "A header is there twice.\n"
    host, origin = (found[name][0] if found[name] else None for name in ("Host", "Origin"))
    if sentence := refusal(host, origin, address, named):
        return HTTPStatus.FORBIDDEN, f"{sentence}\n"
    if not request.path.isprintable() or len(request.path) > 200:
        return HTTPStatus.NOT_FOUND, "There is no such page.\n"
    offered = [name.strip() for each in request.headers.get_all("Sec-WebSocket-Protocol") for name in each.split(",")]
    if found["Upgrade"] and offered != [f"viser-v{viser.__version__}"]:  # which viser would print
        return HTTPStatus.BAD_REQUEST, "This page is of another version; load it again.\n"
    return None


def _connection(made: list[Any]) -> type[server.ServerConnection]:
    """Connections of one server, to which only messages that are meant come through."""
    present: set[Any] = set()

    class Connection(server.ServerConnection):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            present.add(self)
            if len(present) > AT_ONCE:
                self.transport.abort()

        def connection_lost(self, exc: Exception | None) -> None:
            present.discard(self)
            super().connection_lost(exc)

        async def recv(self, decode: bool | None = None) -> Any:
            while True:
                raw = await super().recv(decode)
                if is_meant(raw, made[0].gui._gui_input_handle_from_uuid if made else {}):
                    return raw

    return Connection
