"""As much of a W&B server as a run needs: what the client sends is kept, and resumed from."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """with Server() as server: WANDB_BASE_URL=server.url"""

    def __init__(self):
        self.history: list[dict] = []
        self.runs: list[dict] = []  # the variables of every UpsertBucket
        self.exit_codes: list[int] = []
        self.operations: list[str] = []
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if self.path == "/graphql":
                    request = json.loads(body)
                    content = owner.graphql(request.get("operationName"), request.get("variables", {}))
                else:
                    content = owner.stream(json.loads(body)) if self.path.endswith("/file_stream") else {}
                data = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = answer  # noqa: N815

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error):
        self.http.shutdown()
        self.http.server_close()

    def graphql(self, operation, variables):
        self.operations.append(operation)
        answer = getattr(self, f"_{operation}", None)
        return {"data": answer(variables)} if answer else {"errors": [{"message": f"{operation} is not known"}]}

    def stream(self, body):
        part = body.get("files", {}).get("wandb-history.jsonl")
        if part:
            self.history[part["offset"] :] = [json.loads(line) for line in part["content"]]
        if "exitcode" in body:
            self.exit_codes.append(body["exitcode"])
        return {}

    def _RunResumeStatus(self, variables):
        if not self.runs:
            return {"model": None}
        last = self.runs[-1]
        bucket = {
            "id": "x",
            "name": variables["name"],
            "summaryMetrics": "{}",
            "displayName": last["displayName"],
            "logLineCount": 0,
            "historyLineCount": len(self.history),
            "eventsLineCount": 0,
            "historyTail": json.dumps([json.dumps(row) for row in self.history[-1:]]),
            "eventsTail": "[]",
            "config": "{}",
            "tags": [],
            "notes": None,
            "wandbConfig": json.dumps({"t": 1}),  # or the run is taken for one that never began
        }
        return {"model": {"id": "p", "name": "gsd", "entity": {"id": "e", "name": "me"}, "bucket": bucket}}

    def _UpsertBucket(self, variables):
        self.runs.append(variables)
        project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": "me"}}
        bucket = {
            "id": "x",
            "name": variables["name"],
            "displayName": variables["displayName"],
            "description": None,
            "config": None,
            "sweepName": None,
            "project": project,
            "historyLineCount": len(self.history),
        }
        return {"upsertBucket": {"inserted": len(self.runs) == 1, "bucket": bucket}}

    def _Viewer(self, variables):
        viewer = {"id": "u", "username": "me", "entity": "me", "email": "", "flags": "{}", "admin": False}
        return {"viewer": viewer | {"teams": {"edges": []}, "apiKeys": {"edges": []}}}

    def _CreateRunFiles(self, variables):
        files = [{"name": name, "uploadUrl": f"{self.url}/upload"} for name in variables["files"]]
        return {"createRunFiles": {"runID": "x", "uploadHeaders": [], "files": files}}
