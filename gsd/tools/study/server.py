"""The study as a web page: a few files, the films, and answers as JSON. No condition's name ever leaves study.json.

GET  /api/study                     consent text and questions
POST /api/participants              begins, after consent -> 201 and the standing; 429 for one too many
GET  /api/participants/ID           the standing: trials answered and in total; the next prompt and the next films
POST /api/participants/ID/answers   an answer -> 201 and the standing; 409 for one that was given or is not due
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Collection
from mimetypes import guess_type
from pathlib import Path

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from gsd.browser.hosts import refusal
from gsd.errors import GsdError
from gsd.tools.study.patience import ACCEPTED, Patient
from gsd.tools.study.study import MEDIA, Study, complaint, trials
from gsd.tools.study.votes import Answer, RefusedError, Votes

ENROL, PER_ADDRESS = "/api/participants", 100
FULL = "No more participants can begin from this network at the moment."
UNUSABLE = "Answers cannot be kept at the moment; please tell whoever invited you."
ASSETS = Path(__file__).with_name("assets")
HEADERS = {
    # Films are fetched whole and shown as blobs, so that any angle can be shown at once
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Gate:
    """Lets in whoever may talk to this server (`gsd.browser.hosts`), and no more raters from an address than are asked.

    Addresses are counted in memory and never written down.
    """

    def __init__(self, app: ASGIApp, named: Collection[str], per_address: int) -> None:
        self.app, self.named, self.per_address = app, named, per_address
        self.enrolled: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers, address = Headers(scope=scope), (scope.get("server") or ("",))[0]
            if sentence := refusal(headers.get("host"), headers.get("origin"), address, self.named):
                return await PlainTextResponse(sentence, 403)(scope, receive, send)
            if (scope["method"], scope["path"]) == ("POST", ENROL):
                who = (scope.get("client") or ("",))[0]
                if self.enrolled[who] >= self.per_address:
                    return await PlainTextResponse(FULL, 429)(scope, receive, send)
                self.enrolled[who] += 1
        await self.app(scope, receive, send)


def server(
    folder: Path, study: Study, votes: Votes, named: Collection[str] = (), per_address: int = PER_ADDRESS
) -> uvicorn.Server:
    """To be run on a socket that listens. It logs only its own faults: requests would come with raters' addresses.

    named: other names of this machine, or of a proxy before it. per_address: raters who may begin from one address.
    """
    files = {"": ASSETS / "index.html", "app.js": ASSETS / "app.js", "style.css": ASSETS / "style.css"}
    files |= {f"media/{name}": folder / MEDIA / name for name in study.films}

    def file(request: Request) -> Response:
        """Read whole, so that no date of a file is sent."""
        found = files.get(request.path_params["path"])  # so that no path of a request reaches the disk
        if not found:
            raise HTTPException(404, "There is no such page.")
        return Response(found.read_bytes(), media_type=guess_type(found.name)[0])

    def told(name: str, status: int) -> Response:
        """What the rater may know."""
        number, answered = votes.standing(name)
        coming = trials(study, number)[answered : answered + 2]
        scenes = [study.scene(trial.kind, trial.scene) for trial in coming]
        films = [scene.films[trial.left] for scene, trial in zip(scenes, coming, strict=True)]
        prompt = scenes[0].prompt if scenes else None
        standing = {"id": name, "answered": answered, "total": study.total, "prompt": prompt, "films": films}
        return JSONResponse(standing, status)

    async def answer(request: Request) -> Response:
        try:
            given = Answer.model_validate_json(await request.body())
        except ValidationError as error:
            raise HTTPException(422, complaint(error)) from error
        return await run_in_threadpool(lambda: told(votes.answer(request.path_params["id"], given), 201))

    def unusable(_: Request, error: Exception) -> Response:
        """The rater is told nothing of files; whoever runs the study is told in the terminal."""
        print(f"error: {error}", file=sys.stderr, flush=True)
        return PlainTextResponse(UNUSABLE, 503)

    page = Starlette(
        routes=[  # what is not async runs in a thread
            Route("/api/study", lambda request: JSONResponse({"consent": study.consent, "questions": study.questions})),
            Route(ENROL, lambda request: told(votes.enrol(), 201), methods=["POST"]),
            Route("/api/participants/{id}", lambda request: told(request.path_params["id"], 200)),
            Route("/api/participants/{id}/answers", answer, methods=["POST"]),
            Route("/{path:path}", file),
        ],
        exception_handlers={
            RefusedError: lambda _, error: PlainTextResponse(*error.args),
            GsdError: unusable,
            ClientDisconnect: lambda _, error: Response(),  # nobody is there to be told
        },
        max_body_size=4096,
        middleware=[Middleware(Gate, named=named, per_address=per_address)],
    )
    page.router.redirect_slashes = False
    config = uvicorn.Config(
        page,
        http=Patient,  # h11, which limits the size of headers
        backlog=ACCEPTED,
        proxy_headers=False,  # whoever asks could write them
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        headers=[*HEADERS.items()],
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)
