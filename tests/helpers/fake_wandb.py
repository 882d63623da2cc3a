"""A W&B that knows a user, a project and its saved views: the part of its GraphQL that gsd.tools.dashboard asks for."""

import base64
import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

KEY = "0123456789" * 4
USER, PROJECT = "me", "gsd"
REPORT, WORKSPACE = "runs", "project-view"  # types of views


class Wandb:
    """What is on the server. A view is saved under its id where it is given one, and is new where it is not."""

    def __init__(self, status=200):
        self.status = status  # of every answer
        self.views = []  # as they were sent, with an id
        self.keys = set()  # with which it was asked

    def of(self, kind):
        return [view for view in self.views if view["type"] == kind]

    def answer(self, query, variables):
        name = query.split("(")[0].split("{")[0].split()[-1]
        return getattr(self, name)(**variables)

    def Viewer(self):
        return {
            "viewer": {"id": "1", "entity": USER, "username": USER, "email": "", "flags": "{}", "teams": {"edges": []}}
        }

    def GetDefaultEntity(self):
        return {"viewer": {"id": "1", "entity": USER}}

    def GetProjects(self, entity, **rest):
        node = {"id": "1", "name": PROJECT, "entityName": entity, "createdAt": "", "isBenchmark": False, "user": None}
        edge = {"cursor": "", "node": node}
        return {"models": {"edges": [edge], "pageInfo": {"endCursor": None, "hasNextPage": False}}}

    def ProjectViews(self, entity, project, reportLimit, reportCursor, viewName):
        """Reports, two to a page."""
        if (entity, project) != (USER, PROJECT):
            return {"project": None}
        first = int(reportCursor or 0)
        found = self.of(REPORT)[first:]
        edges = [{"node": _told(view), "cursor": str(first + k + 1)} for k, view in enumerate(found[:2])]
        return {
            "project": {"allViews": {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": len(found) > 2}}}
        }

    def View(self, entityName, name, viewType, viewName, **rest):
        """Workspaces, by their internal names."""
        assert (entityName, name, viewType) == (USER, PROJECT, WORKSPACE)
        edges = [{"node": _told(view)} for view in self.of(WORKSPACE) if view["name"] == viewName]
        return {"project": {"allViews": {"edges": edges}}}

    def SpecificReport(self, reportId):
        return {"view": _told(next(view for view in self.views if view["id"] == reportId))}

    def upsertView(self, id=None, **sent):
        """Of a report."""
        known = [view for view in self.views if view["id"] == id]
        assert known or id is None
        if known:
            known[0].update(sent)
        else:
            id = base64.b64encode(f"View:{len(self.views) + 1}".encode()).decode()
            self.views.append(sent | {"id": id})
        return {
            "upsertView": {"view": _told(next(view for view in self.views if view["id"] == id)), "inserted": not known}
        }

    UpsertView2 = upsertView  # of a workspace


def _told(view):
    project = {"id": "1", "name": view["projectName"], "entityName": view["entityName"]}
    return {"user": None, "createdAt": None, "updatedAt": None, **view, "project": project}


@contextmanager
def serving(wandb):
    """The address at which it answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.path != "/graphql":  # wandb's telemetry
                return self.reply(404, b"")
            request = json.loads(body)
            wandb.keys.add(base64.b64decode(self.headers["Authorization"].removeprefix("Basic ")).decode())
            if wandb.status != 200:
                return self.reply(wandb.status, b'{"errors": [{"message": "permission denied"}]}')
            data = wandb.answer(request["query"], request.get("variables") or {})
            return self.reply(200, json.dumps({"data": data}).encode())

        def reply(self, status, content):
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
