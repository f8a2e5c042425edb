"""A W&B server on loopback, enough for online mode: start, resume, history, media, artifacts, `wandb sync`.

with WandbServer() as server:
    ... train in a subprocess with the variables of server.env() ...
    server.runs["demo-1a2b3c"].history
"""

from __future__ import annotations

import gzip
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

KEY = "0123456789abcdef" * 2 + "00000000"
"""The key of `WandbServer.env`; to be found in no file."""


@dataclass
class ServedRun:
    """What arrived for one run id."""

    name: str
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    exit_code: int | None = None
    starts: int = 0


class WandbServer:
    """Serves until the block ends. Set ``mode`` at any time, before or in the middle of a run.

    Args:
        mode: ok; hang, which takes requests and never answers; or a status that every request is answered
            with.
    """

    def __init__(self, mode: Literal["ok", "hang"] | int = "ok") -> None:
        self.mode = mode
        self.runs: dict[str, ServedRun] = {}
        self.operations: list[str] = []
        self.entity = "lab"
        self._closed = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def env(self) -> dict[str, str]:
        """Variables that send a run here."""
        return {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": KEY,
            "WANDB_MODE": "online",
            "WANDB_ENTITY": self.entity,
        }

    def __enter__(self) -> WandbServer:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def run(self, name: str) -> ServedRun:
        """The run of this id, made where it is new."""
        return self.runs.setdefault(name, ServedRun(name))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                """Nothing."""

            def answer(self) -> None:
                body = self._body()
                if "/otel/" in self.path:  # wandb's own telemetry
                    return self._send(200, b"{}")
                while server.mode == "hang" and not server._closed.wait(0.05):
                    pass
                if isinstance(server.mode, int):
                    return self._send(server.mode, b'{"errors": [{"message": "not now"}]}')
                self._send(200, json.dumps(server._answer(self.path, body)).encode())

            do_GET = do_POST = do_PUT = answer

            def _body(self) -> bytes:
                if self.headers.get("transfer-encoding") == "chunked":
                    body = b""
                    while size := int(self.rfile.readline().split(b";")[0], 16):
                        body += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                else:
                    body = self.rfile.read(int(self.headers.get("content-length") or 0))
                return gzip.decompress(body) if self.headers.get("content-encoding") == "gzip" else body

            def _send(self, status: int, body: bytes) -> None:
                try:
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    pass  # whoever asked gave up

        return Handler

    def _answer(self, path: str, body: bytes) -> dict[str, Any]:
        if path.startswith("/graphql"):
            query = json.loads(body)
            match = re.search(r"(?:query|mutation)\s+(\w+)", query.get("query", ""))
            operation = query.get("operationName") or (match.group(1) if match else "")
            self.operations.append(operation)
            variables = query.get("variables") or {}
            answer = getattr(self, f"_on_{operation}", lambda v: {})
            return {"data": answer({**variables, **(variables.get("input") or {})})}
        if match := re.match(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", path):
            self._stream(self.run(match.group(1)), json.loads(body or b"{}"))
        elif match := re.match(r"/upload/([^/]+)/(.*)", path):
            self.run(match.group(1)).files[match.group(2)] = body
        return {}

    def _stream(self, run: ServedRun, message: dict[str, Any]) -> None:
        for name, chunk in (message.get("files") or {}).items():
            lines = [json.loads(line) for line in chunk.get("content", [])]
            if name == "wandb-history.jsonl":
                run.history[chunk.get("offset", 0) :] = lines
            elif name == "wandb-summary.json":
                for line in lines:
                    run.summary.update(line)
        if message.get("complete") or message.get("exitcode") is not None:
            run.exit_code = message.get("exitcode")

    # --- what the GraphQL operations answer; the names are W&B's ---

    def _project(self, name: str | None) -> dict[str, Any]:
        return {"id": "p1", "name": name, "entity": {"id": "e1", "name": self.entity}}

    def _on_Viewer(self, v: dict[str, Any]) -> dict[str, Any]:
        teams = {"edges": [{"node": {"name": self.entity}}]}
        viewer = {
            "id": "u1",
            "entity": self.entity,
            "username": "u",
            "flags": "{}",
            "admin": False,
            "teams": teams,
        }
        return {"viewer": {**viewer, "email": "u@localhost"}}

    def _on_ServerFeaturesQuery(self, v: dict[str, Any]) -> dict[str, Any]:
        return {"serverInfo": {"features": []}}

    def _on_RunResumeStatus(self, v: dict[str, Any]) -> dict[str, Any]:
        project = {**self._project(v.get("project")), "bucket": None}
        run = self.runs.get(v.get("name") or "")
        if run and run.starts:
            project["bucket"] = {
                "id": f"b-{run.name}",
                "name": run.name,
                "displayName": run.name,
                "summaryMetrics": json.dumps(run.summary),
                "config": json.dumps({key: {"value": value} for key, value in run.config.items()}),
                "wandbConfig": json.dumps({"t": 1}),  # without "t" the run counts as never started
                "logLineCount": 0,
                "historyLineCount": len(run.history),
                "eventsLineCount": 0,
                "historyTail": json.dumps([json.dumps(row) for row in run.history[-1:]]),
                "eventsTail": json.dumps([json.dumps({"_runtime": 1})]),
                "tags": [],
                "notes": None,
            }
        return {"model": project}

    def _on_UpsertBucket(self, v: dict[str, Any]) -> dict[str, Any]:
        run = self.run(v.get("name") or v.get("id") or "unnamed")
        for key, value in json.loads(v.get("config") or "{}").items():
            run.config[key] = value.get("value") if isinstance(value, dict) else value
        run.starts += 1
        bucket = {
            "id": f"b-{run.name}",
            "name": run.name,
            "displayName": v.get("displayName") or run.name,
            "description": None,
            "config": v.get("config") or "{}",
            "sweepName": None,
            "historyLineCount": len(run.history),
            "project": self._project(v.get("project")),
        }
        return {"upsertBucket": {"inserted": run.starts == 1, "bucket": bucket}}

    def _on_CreateRunFiles(self, v: dict[str, Any]) -> dict[str, Any]:
        files = [{"name": f, "uploadUrl": f"{self.url}/upload/{v['run']}/{f}"} for f in v.get("files", [])]
        return {"createRunFiles": {"runID": f"b-{v['run']}", "uploadHeaders": [], "files": files}}

    def _on_RunStoppedStatus(self, v: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"run": {"stopped": False}}}

    def _on_OrganizationCoreWeaveOrganizationID(self, v: dict[str, Any]) -> dict[str, Any]:
        return {"entity": {"organization": None}}

    # Artifacts can be logged and used, but not be downloaded again.

    def _on_ArtifactType(self, v: dict[str, Any]) -> dict[str, Any]:
        return {"project": {"artifact": None}}

    def _on_CreateArtifact(self, v: dict[str, Any]) -> dict[str, Any]:
        artifacts = self.run(v.get("runName") or "unnamed").artifacts
        artifacts.append(
            {
                "name": v.get("artifactCollectionName"),
                "type": v.get("artifactTypeName"),
                "aliases": [alias.get("alias") for alias in (v.get("aliases") or [])],
                "metadata": json.loads(v.get("metadata") or "{}"),
                "id": f"{v.get('runName')}-{len(artifacts)}",
                "used": False,
            }
        )
        sequence = {"id": "s1", "latestArtifact": None}
        created = {
            "id": artifacts[-1]["id"],
            "state": "PENDING",
            "digest": v.get("digest"),
            "artifactSequence": sequence,
        }
        return {"createArtifact": {"artifact": created}}

    def _on_UseArtifact(self, v: dict[str, Any]) -> dict[str, Any]:
        for artifact in (artifact for run in self.runs.values() for artifact in run.artifacts):
            artifact["used"] |= artifact["id"] == v.get("artifactID")
        return {"useArtifact": {"artifact": {"id": v.get("artifactID")}}}

    def _on_CreateArtifactManifest(self, v: dict[str, Any]) -> dict[str, Any]:
        name = v.get("name")
        file = {"id": "f1", "name": name, "displayName": name, "uploadHeaders": []}
        manifest = {"id": "m1", "file": {**file, "uploadUrl": f"{self.url}/upload/_artifacts/{name}"}}
        return {"createArtifactManifest": {"artifactManifest": manifest}}

    _on_UpdateArtifactManifest = _on_CreateArtifactManifest

    def _on_CreateArtifactFiles(self, v: dict[str, Any]) -> dict[str, Any]:
        edges = []
        for number, file in enumerate(v.get("artifactFiles") or []):
            node = {
                "id": f"f{number}",
                "name": file.get("name"),
                "displayName": file.get("name"),
                "artifact": {"id": file.get("artifactID")},
                "storagePath": None,
                "uploadUrl": f"{self.url}/upload/_artifacts/{file.get('name')}",
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
            }
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _on_CommitArtifact(self, v: dict[str, Any]) -> dict[str, Any]:
        return {"commitArtifact": {"artifact": {"id": v.get("artifactID"), "digest": "x"}}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing: wandb resets its idle connections."""
