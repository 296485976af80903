"""What a cluster's API says, as far as a launcher asks: it takes jobs, and says how they are."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml


@dataclass
class ClusterAPI:
    """A server on a free port that keeps what is posted, under the path that it is then found by."""

    server: ThreadingHTTPServer
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write_configuration(self, path: Path) -> Path:
        """Write what kubectl would have in ~/.kube/config for it."""
        address = f"http://127.0.0.1:{self.server.server_port}"
        context = {"name": "test", "context": {"cluster": "test", "user": "test"}}
        cluster, user = {"name": "test", "cluster": {"server": address}}, {"name": "test", "user": {"token": "none"}}
        stated = {"contexts": [context], "clusters": [cluster], "users": [user], "current-context": "test"}
        path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **stated}))
        return path

    def end_job(self, name: str) -> None:
        """Say from now on that the pod of a job is gone, as of a node that was taken away."""
        [path] = [path for path in self.jobs if path.endswith(f"/{name}")]
        self.jobs[path]["status"] = {"failed": 1}


@contextmanager
def serve_cluster() -> Iterator[ClusterAPI]:
    jobs: dict[str, dict[str, Any]] = {}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            jobs[f"{self.path}/{job['metadata']['name']}"] = job | {"status": {"active": 1}}
            self.answer(201, job)

        def do_GET(self) -> None:
            job = jobs.get(self.path.partition("?")[0].removesuffix("/status"))
            self.answer(200 if job else 404, job or {"kind": "Status", "code": 404})

        def answer(self, code: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield ClusterAPI(server, jobs)
    finally:
        server.shutdown()
        server.server_close()
