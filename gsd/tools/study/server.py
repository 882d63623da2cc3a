"""The study as a web page: a few files, the films, and answers as JSON. No condition's name ever leaves study.json.

GET  /api/study                     consent text and questions
POST /api/participants              begins, after consent -> 201 and the standing
GET  /api/participants/ID           the standing: trials answered and in total; the next prompt and the next films
POST /api/participants/ID/answers   an answer -> 201 and the standing; 409 for one that was given or is not due
"""

from __future__ import annotations

from mimetypes import guess_type
from pathlib import Path

import uvicorn
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gsd.tools.study.study import MEDIA, QUESTIONS, Study, complaint, trials
from gsd.tools.study.votes import Answer, RefusedError, Votes

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


def server(folder: Path, study: Study, votes: Votes) -> uvicorn.Server:
    """To be run on a socket that listens. It logs only its own faults: requests would come with raters' addresses."""
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

    page = Starlette(
        routes=[  # what is not async runs in a thread
            Route("/api/study", lambda request: JSONResponse({"consent": study.consent, "questions": QUESTIONS})),
            Route("/api/participants", lambda request: told(votes.enrol(), 201), methods=["POST"]),
            Route("/api/participants/{id}", lambda request: told(request.path_params["id"], 200)),
            Route("/api/participants/{id}/answers", answer, methods=["POST"]),
            Route("/{path:path}", file),
        ],
        exception_handlers={
            RefusedError: lambda _, error: PlainTextResponse(*error.args),
            ClientDisconnect: lambda _, error: Response(),  # nobody is there to be told
        },
        max_body_size=4096,
    )
    page.router.redirect_slashes = False
    config = uvicorn.Config(
        page,
        http="h11",  # which limits the size of headers
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        headers=[*HEADERS.items()],
        timeout_graceful_shutdown=5,
    )
    return uvicorn.Server(config)
