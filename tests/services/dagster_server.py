"""A stand-in for Dagster's webserver on a real socket: the GraphQL replies that RADIANT reads."""

import json
import threading
import uuid
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self


class DagsterServer:
    """The server on its own thread; use as a context manager.

    Attributes:
        launched: Run config of every launch that was asked for.
        terminated: Run ids that were asked to stop.
        refuse: Where set, the GraphQL type that answers a launch, for instance ``PythonError``.
        loaded: Whether our code location is loaded.
        unhealthy: Daemon types that are not healthy.
        run_status: Status of every run.
        tags: Tags of every launch that was asked for.
        on_delete: Deletes a run where somebody asks for it.
        on_launch: Executes a run before the launch is answered; returns its id.
    """

    def __init__(self) -> None:
        self.launched: list[dict[str, Any]] = []
        self.tags: list[dict[str, str]] = []
        self.terminated: list[str] = []
        self.refuse: str | None = None
        self.loaded = True
        self.unhealthy: list[str] = []
        self.run_status = "STARTED"
        self.on_launch: Callable[[dict[str, Any]], str] = lambda _config: str(uuid.uuid4())
        self.on_delete: Callable[[str], object] = lambda _run_id: None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                query = json.loads(self.rfile.read(length))
                body = json.dumps({"data": outer.answer(query)}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def answer(self, body: dict[str, Any]) -> dict[str, Any]:
        query, variables = body["query"], body.get("variables") or {}
        if "launchRun" in query:
            return {"launchRun": self._launch(variables["params"])}
        if "terminateRun" in query:
            self.terminated.append(variables["runId"])
            return {"terminateRun": {"__typename": "TerminateRunSuccess"}}
        if "deleteRun" in query:
            self.on_delete(variables["runId"])
            return {"deleteRun": {"__typename": "DeletePipelineRunSuccess"}}
        if "runOrError" in query:
            run = {"__typename": "Run", "status": self.run_status, "startTime": 1, "endTime": None}
            return {"runOrError": run}
        if "locationEntries" in query:
            kind = "RepositoryLocation" if self.loaded else "PythonError"
            entry = {
                "name": "radiant_dagster",
                "loadStatus": "LOADED",
                "locationOrLoadError": {"__typename": kind},
            }
            return {"workspaceOrError": {"__typename": "Workspace", "locationEntries": [entry]}}
        if "daemonHealth" in query:
            statuses = [
                {"daemonType": kind, "healthy": kind not in self.unhealthy, "required": True}
                for kind in ("SENSOR", "SCHEDULER")
            ]
            return {"instance": {"daemonHealth": {"allDaemonStatuses": statuses}}}
        return {"version": "1.13.27"}

    def _launch(self, params: dict[str, Any]) -> dict[str, Any]:
        if self.refuse:
            return {"__typename": self.refuse}
        tags = params["executionMetadata"]["tags"]
        self.tags.append({item["key"]: item["value"] for item in tags})
        config = json.loads(params["runConfigData"])
        self.launched.append(config)
        return {"__typename": "LaunchRunSuccess", "run": {"runId": self.on_launch(config)}}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
