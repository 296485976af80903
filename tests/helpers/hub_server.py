"""A small server in place of the hub: one repository, whose files and refusals a test says."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def digest(data: bytes) -> str:
    return sha256(data).hexdigest()


@dataclass
class Hub:
    """What the server gives: bytes by path inside the one repository, or a refusal."""

    files: dict[str, bytes] = field(default_factory=dict)
    refusal: str | None = None
    asked: list[str] = field(default_factory=list)


@contextmanager
def serve_hub() -> Iterator[tuple[Hub, str]]:
    """Give what the server gives, and its address."""
    given = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer()

        def do_GET(self) -> None:
            self.wfile.write(self.answer())

        def answer(self) -> bytes:
            given.asked.append(self.path)
            data = given.files.get(self.path.rpartition("/resolve/main/")[2])
            code = {"GatedRepo": 403, "RepoNotFound": 404}.get(given.refusal or "", 404 if data is None else 200)
            self.send_response(code)
            if code == 200:
                self.send_header("ETag", f'"{digest(data or b"")}"')
                self.send_header("X-Repo-Commit", COMMIT)
            else:
                self.send_header("X-Error-Code", given.refusal or "EntryNotFound")
            self.send_header("Content-Length", str(len(data or b"") if code == 200 else 0))
            self.end_headers()
            return (data or b"") if code == 200 else b""

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield given, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
