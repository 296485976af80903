"""A bucket on this machine, with S3's protocol, whose answers may be slow, refused, cut short or gone."""

import json
import math
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.serving import WSGIRequestHandler

from atlaspatch_core.isolation.leases import end_processes
from atlaspatch_core.remote.store import SECONDS_VARIABLE, open_store

BUCKET = "slides"
_used: list[str] = []
"""Address of the bucket that this process uses."""


@dataclass
class Faults:
    """What the server does to requests for objects, and what it counted."""

    seconds: float = 0.0
    """Before each answer."""
    refused: float = 0.0
    """Share of requests that are answered 503."""
    cut: float = 0.0
    """Share of answers that break off in their middle."""
    gone: bool = False
    """Every connection breaks off without an answer."""
    gone_after: float = math.inf
    """Requests from which on that is so."""
    chance: random.Random = field(default_factory=lambda: random.Random(0))
    requests: int = 0
    in_hand: int = 0
    """Requests that are not answered yet."""
    bytes_sent: int = 0
    """Of bodies of objects."""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def rolls(self, share: float) -> bool:
        """Tell whether this request is one of that share."""
        with self.lock:
            return self.chance.random() < share

    @contextmanager
    def taking(self) -> Iterator[int]:
        """Count a request, which is in hand until the block ends; give its number."""
        with self.lock:
            self.requests += 1
            self.in_hand += 1
            number = self.requests
        try:
            yield number
        finally:
            with self.lock:
                self.in_hand -= 1


@dataclass(frozen=True)
class Bucket:
    """A bucket and the server that it lies on."""

    endpoint: str
    faults: Faults
    client: Any

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to find it."""
        return {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint, "AWS_ALLOW_HTTP": "true", SECONDS_VARIABLE: "60",
        }  # fmt: skip

    def put(self, key: str, content: bytes) -> None:
        """Put an object."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=content)

    def put_folder(self, folder: Path, prefix: str) -> None:
        """Put every file below a folder."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.put(f"{prefix}/{file.relative_to(folder).as_posix()}", file.read_bytes())

    def remove(self, key: str) -> None:
        """Remove an object."""
        self.client.delete_object(Bucket=BUCKET, Key=key)

    def clear(self) -> None:
        """Remove all objects."""
        for key in self.listed_keys():
            self.remove(key)

    def content(self, key: str) -> bytes:
        """Return what an object holds."""
        return self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()

    def listed_keys(self) -> list[str]:
        """Return the keys of all objects, sorted."""
        return sorted(one["Key"] for one in self.client.list_objects_v2(Bucket=BUCKET).get("Contents", ()))


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        pass


def faulty(application: Callable, faults: Faults) -> Callable:
    """Return an application that serves as another one, with faults."""

    changing = threading.Lock()

    def answer(environ: dict[str, Any], start: Callable) -> Iterable[bytes]:
        """Change one object at a time: who asks for a change on a condition has to see those of others."""
        with nullcontext() if environ["REQUEST_METHOD"] in ("GET", "HEAD") else changing:
            return application(environ, start)

    def serve(environ: dict[str, Any], start: Callable) -> Iterable[bytes]:
        if not environ["HTTP_USER_AGENT"].startswith("object_store"):
            return answer(environ, start)
        with faults.taking() as number:
            return serve_faultily(environ, start, number)

    def serve_faultily(environ: dict[str, Any], start: Callable, number: int) -> Iterable[bytes]:
        time.sleep(faults.seconds)
        if faults.gone or number > faults.gone_after:
            environ["werkzeug.socket"].close()
            raise ConnectionError
        if faults.rolls(faults.refused):
            start("503 Slow Down", [("Content-Length", "0")])
            return []
        return _body(answer(environ, start), environ, faults)

    return serve


def _body(parts: Iterable[bytes], environ: dict[str, Any], faults: Faults) -> Iterator[bytes]:
    whole = b"".join(parts)
    is_cut = len(whole) > 1 and environ["REQUEST_METHOD"] == "GET" and faults.rolls(faults.cut)
    content = whole[: len(whole) // 2] if is_cut else whole
    with faults.lock:
        faults.bytes_sent += len(content) if environ["REQUEST_METHOD"] == "GET" else 0
    yield content
    if is_cut:
        raise ConnectionError("cut")


@contextmanager
def running_bucket() -> Iterator[Bucket]:
    """Give an empty bucket."""
    boto3, server = pytest.importorskip("boto3"), pytest.importorskip("moto.server")
    from werkzeug.serving import make_server

    faults = Faults()
    application = faulty(server.DomainDispatcherApplication(server.create_backend_app), faults)
    running = make_server("127.0.0.1", 0, application, threaded=True, request_handler=_Quiet)
    running.daemon_threads = True  # pyright: ignore[reportAttributeAccessIssue]
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    endpoint = f"http://127.0.0.1:{running.server_port}"
    client = boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    client.create_bucket(Bucket=BUCKET)
    bucket = Bucket(endpoint, faults, client)
    bucket.clear()  # servers of one process share what they hold
    try:
        yield bucket
    finally:
        running.shutdown()


def use_bucket(bucket: Bucket, patch: pytest.MonkeyPatch) -> None:
    """Have this process, and those that it starts, find a bucket."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    for name, value in bucket.environment.items():
        patch.setenv(name, value)
    if bucket.endpoint not in _used:
        _forget_stores()
        _used[:] = [bucket.endpoint]


@contextmanager
def giving_up_after(seconds: float) -> Iterator[None]:
    """Ask a store that fails for no longer than that, where a test takes it away; elsewhere it may be slow."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SECONDS_VARIABLE, str(seconds))
        _forget_stores()
        try:
            yield
        finally:
            _forget_stores()


def _forget_stores() -> None:
    """Have stores set up anew, here and by processes that isolate: they are as the environment was then."""
    open_store.cache_clear()
    end_processes()


@contextmanager
def running_web(folder: Path, faults: Faults | None = None) -> Iterator[str]:
    """Give the URL of a web server that shows a folder, with pages that list folders, and sends parts of files.

    Of ``faults`` it may be slow; it counts what it sends.
    """
    from werkzeug.exceptions import NotFound
    from werkzeug.serving import make_server
    from werkzeug.utils import send_file
    from werkzeug.wrappers import Request, Response

    counted = faults or Faults()

    def page(place: Path) -> Response:
        names = sorted(f"{entry.name}/" if entry.is_dir() else entry.name for entry in place.iterdir())
        links = "".join(f'<li><a href="{quote(name)}">{name}</a></li>' for name in names)
        return Response(f'<a href="../">up</a><a href="?C=N">name</a><ul>{links}</ul>', mimetype="text/html")

    @Request.application
    def serve(request: Request) -> Response:
        place = folder / request.path.strip("/")
        time.sleep(counted.seconds)
        if place.is_dir():
            return page(place)
        if not place.is_file():
            return NotFound().get_response()
        response = send_file(place, request.environ, conditional=True)
        with counted.lock:
            counted.requests += 1
            counted.bytes_sent += (response.content_length or 0) if request.method == "GET" else 0
        return response

    running = make_server("127.0.0.1", 0, serve, threaded=True, request_handler=_Quiet)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{running.server_port}"
    finally:
        running.shutdown()


def main() -> None:
    """Serve a folder as a process of its own: say its address, then answer each line with what was sent so far.

    The arguments are how many seconds each answer takes, and the folder.
    """
    faults = Faults(seconds=float(sys.argv[1]))
    with running_web(Path(sys.argv[2]), faults) as url:
        print(url, flush=True)
        for _ in sys.stdin:
            print(json.dumps({"requests": faults.requests, "bytes": faults.bytes_sent}), flush=True)


if __name__ == "__main__":
    main()
