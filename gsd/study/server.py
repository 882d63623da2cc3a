"""The study as a web page: a few files, the scenes, and answers as JSON. No condition's name ever leaves study.json.

GET  /                              the page; its script and style beside it
GET  /media/NAME                    a scene
GET  /api/study                     consent text, questions, whether there is a tie
POST /api/participants              {"consent": true} -> 201 {"id": ...} and the standing
GET  /api/participants/ID           the standing: answered, total, and the next trial
POST /api/participants/ID/answers   an answer -> 201 and the standing; 409 for one that was given or is not due
"""

from __future__ import annotations

import json
import socketserver
import sys
import traceback
from collections.abc import Callable
from datetime import datetime, timezone
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gsd.study.study import MEDIA, QUESTIONS, Question, Study
from gsd.study.votes import Answer, Choice, RefusedError, Standing, Votes

ASSETS = Path(__file__).with_name("assets")
PAGE = {"/": "index.html", "/app.js": "app.js", "/style.css": "style.css"}
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".mp4": "video/mp4",
    ".png": "image/png",
}
LARGEST_BODY = 4096  # bytes
LARGEST_WASTE, WASTE_SECONDS = 1 << 20, 2  # read of a larger one, so that its sender gets to read why it is refused
IDLE_SECONDS = 60  # until a silent connection is closed
WAITING = 512  # connections that may wait to be taken up
HEADERS = {
    # Media are fetched whole and shown as blobs, so that a turntable can be set to any angle at once
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src blob: data:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}

Seconds = Annotated[float, Field(ge=0, le=30 * 86400, allow_inf_nan=False)]
Pixels = Annotated[int, Field(ge=0, le=100_000)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Consent(_Body):
    consent: Literal[True]


class Choices(_Body):
    geometry: Choice
    prompt: Choice
    overall: Choice


class Times(_Body):
    geometry: Seconds
    prompt: Seconds
    overall: Seconds


class Sent(_Body):
    """An answer as the page sends it."""

    position: Annotated[int, Field(ge=0, le=100_000)]
    choices: Choices
    seconds: Times
    total: Seconds
    screen: Annotated[list[Pixels], Field(min_length=2, max_length=2)]
    window: Annotated[list[Pixels], Field(min_length=2, max_length=2)]

    def answer(self) -> Answer:
        choices: dict[Question, Choice] = {q: getattr(self.choices, q) for q in QUESTIONS}
        seconds: dict[Question, float] = {q: getattr(self.seconds, q) for q in QUESTIONS}
        screen, window = ((size[0], size[1]) for size in (self.screen, self.window))
        return Answer(self.position, choices, seconds, self.total, screen, window)


class Refusal(Exception):  # noqa: N818 - an answer of HTTP
    def __init__(self, status: HTTPStatus, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Server(socketserver.ThreadingTCPServer):
    """Serves one study until it is shut down. Raises OSError where the address cannot be had."""

    daemon_threads = allow_reuse_address = True
    request_queue_size = WAITING

    def __init__(self, folder: Path, study: Study, votes: Votes, host: str, port: int) -> None:
        self.study, self.votes = study, votes
        self.files = {path: ASSETS / name for path, name in PAGE.items()}
        self.files |= {f"/media/{name}": folder / MEDIA / name for name in study.media}
        super().__init__((host, port), Handler)

    @property
    def address(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A rater who closes the page in the middle of an answer is no error; of one, the address is not told."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            traceback.print_exc()

    def introduction(self) -> dict[str, Any]:
        return {
            "consent": self.study.consent,
            "questions": [{"key": key, "text": text} for key, text in QUESTIONS.items()],
            "tie": self.study.tie,
            "show": self.study.show,
            "total": self.study.trials + self.study.mirrored + len(self.study.broken),
        }

    def describe(self, name: str, standing: Standing) -> dict[str, Any]:
        """What a participant may know: the next trial, and the media of the one after it, to be fetched meanwhile."""
        due = standing.trials[standing.answered : standing.answered + 2]
        shown = []
        for trial in due:
            scene = self.study.scenes(trial.kind)[trial.scene]
            left, right = (scene.a, scene.b) if trial.left == "a" else (scene.b, scene.a)
            shown.append({"prompt": scene.prompt, "left": left.media, "right": right.media})
        return {
            "id": name,
            "answered": standing.answered,
            "total": standing.total,
            "trial": {"position": standing.answered, **shown[0]} if shown else None,
            "soon": [shown[1]["left"], shown[1]["right"]] if len(shown) > 1 else [],
        }


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or the body would wait for the head to be acknowledged
    timeout = IDLE_SECONDS
    unread = 0  # bytes of a body that was refused

    def version_string(self) -> str:
        return "study"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: a log would hold raters' addresses."""

    def do_GET(self) -> None:
        self._reply(self._get)

    do_HEAD = do_GET  # noqa: N815 - names of http.server

    def do_POST(self) -> None:
        self._reply(self._post)

    def _other(self) -> None:
        self._reply(self._unknown_method)

    do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_TRACE = do_CONNECT = _other  # noqa: N815

    def _unknown_method(self) -> None:
        self.close_connection = True  # its body has not been read
        raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "There is only GET and POST.")

    def _reply(self, respond: Callable[[], None]) -> None:
        """Every way a request can end in one place."""
        try:
            respond()
        except Refusal as refusal:
            self._json(refusal.status, {"error": str(refusal)})
        except (ConnectionError, TimeoutError):  # nobody is there to be told
            self.close_connection = True
        except Exception:
            traceback.print_exc()
            self.close_connection = True
            self._json(HTTPStatus.INTERNAL_SERVER_ERROR, {"error": "The server could not do this; please try again."})
        if self.unread:
            self.connection.settimeout(WASTE_SECONDS)
            self.rfile.read(self.unread)

    def _get(self) -> None:
        path = self.path.partition("?")[0]
        file = self.server.files.get(path)  # what is not listed is not there: no path reaches the disk
        if file:
            self._send(HTTPStatus.OK, TYPES[file.suffix], file.read_bytes(), keep=path.startswith("/media/"))
        elif path == "/api/study":
            self._json(HTTPStatus.OK, self.server.introduction())
        else:
            name = self._participant(path)
            standing = self.server.votes.standing(name)
            if standing is None:
                raise Refusal(HTTPStatus.NOT_FOUND, "No participant has this id.")
            self._json(HTTPStatus.OK, self.server.describe(name, standing))

    def _post(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        if path == "/api/participants":
            _parse(Consent, body)
            name = self.server.votes.enrol(datetime.now(timezone.utc).isoformat(timespec="seconds"))
            standing = self.server.votes.standing(name)
        else:
            name = self._participant(path, "/answers")
            answer = _parse(Sent, body).answer()
            if "tie" in answer.choices.values() and not self.server.study.tie:
                raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, "Please choose left or right.")
            if self.server.votes.standing(name) is None:
                raise Refusal(HTTPStatus.NOT_FOUND, "No participant has this id.")
            try:
                standing = self.server.votes.answer(name, answer)
            except RefusedError as error:
                raise Refusal(HTTPStatus.CONFLICT, str(error)) from error
        assert standing is not None
        self._json(HTTPStatus.CREATED, self.server.describe(name, standing))

    def _participant(self, path: str, ending: str = "") -> str:
        name = path.removeprefix("/api/participants/").removesuffix(ending)
        if path != f"/api/participants/{name}{ending}" or not name.isalnum():
            raise Refusal(HTTPStatus.NOT_FOUND, "There is no such page.")
        return name

    def _body(self) -> bytes:
        """Of JSON, and not too large. A page of another site cannot send this type without being asked first."""
        self.close_connection = True  # until the body has been read, the connection cannot be used again
        if self.headers.get_content_type() != "application/json":
            raise Refusal(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Answers are application/json.")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refusal(HTTPStatus.LENGTH_REQUIRED, "The length of the answer is missing.")
        if len(length) > 9 or int(length) > LARGEST_BODY:
            self.unread = min(int(length[:9]), LARGEST_WASTE)
            raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"An answer has at most {LARGEST_BODY} bytes.")
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            raise ConnectionError("the connection ended within the body")
        self.close_connection = self.headers.get("Connection", "").lower() == "close"
        return body

    def _json(self, status: HTTPStatus, content: Any) -> None:
        self._send(status, "application/json", json.dumps(content).encode())

    def _send(self, status: HTTPStatus, kind: str, data: bytes, keep: bool = False) -> None:
        self.send_response(status)
        for name, value in HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "private, max-age=86400, immutable" if keep else "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What http.server itself refuses: a request that is malformed or endless, or of a method unheard of."""
        self.close_connection = True
        self.command, self.request_version = self.command or "", self.protocol_version
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else HTTPStatus(code)
        self._json(status, {"error": status.phrase})


def _parse(kind: type[_Body], body: bytes) -> Any:
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        sentence = f"{where}: {first['msg']}" if where else first["msg"]
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, sentence) from error
