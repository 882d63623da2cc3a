"""The study as a web page: a few files, the scenes, and answers as JSON. No condition's name ever leaves study.json.

GET  /                              the page; its script and style beside it
GET  /media/NAME                    a scene
GET  /api/study                     consent text, questions, whether there is a tie
POST /api/participants              {"consent": true} -> 201 {"id": ...} and the standing
GET  /api/participants/ID           the standing: answered, total, and the next trial
POST /api/participants/ID/answers   an answer -> 201 and the standing; 409 for one that was given or is not due

What is refused is answered by a sentence, as text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from datetime import datetime, timezone
from mimetypes import guess_type
from pathlib import Path
from typing import Any, Literal, TypeVar

import uvicorn
from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gsd.tools.study.study import MEDIA, QUESTIONS, Study, complaint, other
from gsd.tools.study.votes import Answer, RefusedError, Standing, UnknownError, Votes

ASSETS = Path(__file__).with_name("assets")
PAGE = ("index.html", "app.js", "style.css")
LARGEST_BODY = 4096  # bytes
BODY_SECONDS = 10  # until it must have arrived
STOP_SECONDS = 12  # for requests under way when the server is stopped
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
FRESH = {"Cache-Control": "no-store"}
KEPT = {"Cache-Control": "private, max-age=86400, immutable"}

Sent = TypeVar("Sent", bound=BaseModel)


class Consent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    consent: Literal[True]


def server(folder: Path, study: Study, votes: Votes) -> uvicorn.Server:
    """To be run on a socket that listens. It logs its own faults alone: requests would come with raters' addresses."""
    return uvicorn.Server(
        uvicorn.Config(
            application(folder, study, votes),
            http="h11",  # or what is refused would depend on what else is installed
            log_config=None,
            log_level="error",
            access_log=False,
            server_header=False,
            headers=list(HEADERS.items()),
            timeout_graceful_shutdown=STOP_SECONDS,
        )
    )


def application(folder: Path, study: Study, votes: Votes) -> Starlette:
    """Its endpoints wait for files and the database, so each runs in a thread."""
    media = study.media

    def page(request: Request) -> Response:
        return _file(ASSETS, request.path_params.get("name", "index.html"), PAGE, FRESH)

    def scene(request: Request) -> Response:
        return _file(folder / MEDIA, request.path_params["name"], media, KEPT)

    def introduction(request: Request) -> Response:
        questions = [{"key": key, "text": text} for key, text in QUESTIONS.items()]
        told = {"consent": study.consent, "questions": questions, "tie": study.tie, "show": study.show}
        return JSONResponse(told | {"total": study.trials + study.mirrored + len(study.broken)}, headers=FRESH)

    def standing(request: Request) -> Response:
        name = request.path_params["id"]
        return JSONResponse(describe(study, name, votes.standing(name)), headers=FRESH)

    def enrol(request: Request, consent: Consent) -> dict[str, Any]:
        name = votes.enrol(datetime.now(timezone.utc).isoformat(timespec="seconds"))
        return describe(study, name, votes.standing(name))

    def answer(request: Request, answer: Answer) -> dict[str, Any]:
        name = request.path_params["id"]
        return describe(study, name, votes.answer(name, answer))

    app = Starlette(
        routes=[
            Route("/", page),
            Route("/{name}", page),
            Route("/media/{name}", scene),
            Route("/api/study", introduction),
            Route("/api/participants", _posted(Consent, enrol), methods=["POST"]),
            Route("/api/participants/{id}", standing),
            Route("/api/participants/{id}/answers", _posted(Answer, answer), methods=["POST"]),
        ],
        exception_handlers={
            UnknownError: lambda _, error: PlainTextResponse(str(error), 404),
            RefusedError: lambda _, error: PlainTextResponse(str(error), 409),
            ClientDisconnect: lambda _, error: Response(),  # nobody is there to be told
        },
        max_body_size=LARGEST_BODY,
    )
    app.router.redirect_slashes = False
    return app


def _file(folder: Path, name: str, there: Collection[str], headers: dict[str, str]) -> Response:
    if name not in there:  # so that no path of a request reaches the disk
        raise HTTPException(404, "There is no such page.")
    return Response((folder / name).read_bytes(), headers=headers, media_type=guess_type(name)[0])


def _posted(kind: type[Sent], act: Callable[[Request, Sent], dict[str, Any]]) -> Callable[[Request], Any]:
    """An endpoint for JSON, a type that a page of another site cannot send without being asked first."""

    async def endpoint(request: Request) -> Response:
        if request.headers.get("Content-Type", "").partition(";")[0].strip() != "application/json":
            raise HTTPException(415, "Answers are application/json.")
        try:
            sent = kind.model_validate_json(await asyncio.wait_for(request.body(), BODY_SECONDS))
        except asyncio.TimeoutError as error:
            raise HTTPException(408, "The answer did not arrive.") from error
        except ValidationError as error:
            raise HTTPException(422, complaint(error)) from error
        return JSONResponse(await run_in_threadpool(act, request, sent), 201, FRESH)

    return endpoint


def describe(study: Study, name: str, standing: Standing) -> dict[str, Any]:
    """What a participant may know: the next trial, and the media of the one after it, to be fetched meanwhile."""
    shown = []
    for trial in standing.trials[standing.answered : standing.answered + 2]:
        scene = study.scenes(trial.kind)[trial.scene]
        left, right = scene.side(trial.left).media, scene.side(other(trial.left)).media
        shown.append({"prompt": scene.prompt, "left": left, "right": right})
    return {
        "id": name,
        "answered": standing.answered,
        "total": standing.total,
        "trial": {"position": standing.answered, **shown[0]} if shown else None,
        "soon": [scene[side] for scene in shown[1:] for side in ("left", "right")],
    }
