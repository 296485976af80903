"""A real ``atlaspatch up``: on a free port, in a home of its own, asked over GraphQL, stopped with all it started."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import Any, Self

from processes import ATLASPATCH
from waiting import SECONDS, until

LOCATION = "atlaspatch"
SECONDS_TO_STOP = 15.0
PATIENCE = ("GRPC", "REPOSITORY_GRPC", "SENSOR_GRPC", "SCHEDULE_GRPC")
"""What Dagster's processes wait for of each other; by default a minute."""
LOCAL_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
"""Which ports sockets get that ask for none."""


def free_port() -> int:
    """Return a port that nobody listens on, and that no other socket is given meanwhile where there is such a one."""
    lowest = int(LOCAL_PORTS.read_text().split()[0])
    for port in (*SystemRandom().sample(range(10_000, max(lowest, 10_020)), 20), 0):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return listener.getsockname()[1]
    raise AssertionError


@contextmanager
def refusing_port() -> Iterator[int]:
    """Give a port that refuses connections: it is taken, and nobody listens on it."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        yield silent.getsockname()[1]


@dataclass(slots=True)
class DagsterDev:
    """Web server, daemon and code server of one project file, as ``atlaspatch up`` starts them."""

    home: Path
    """``DAGSTER_HOME``."""
    project_file: Path
    port: int = field(default_factory=free_port)
    variables: Mapping[str, str] = field(default_factory=dict)
    """What else the processes run with."""
    process: subprocess.Popen | None = None

    @property
    def url(self) -> str:
        """Where the web UI is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What the processes print."""
        return self.home.with_name(f"{self.home.name}.log")

    @property
    def environment(self) -> dict[str, str]:
        """Return the variables that the processes run with."""
        ours = {"DAGSTER_HOME": str(self.home), "ATLASPATCH_PROJECT": str(self.project_file), "OMP_NUM_THREADS": "1"}
        return (
            os.environ
            | self.variables
            | ours
            | {f"DAGSTER_{what}_TIMEOUT_SECONDS": f"{SECONDS:.0f}" for what in PATIENCE}
        )

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def start(self) -> None:
        """Begin to start; the output is added to the log."""
        self.home.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-c", ATLASPATCH, "up", "--port", str(self.port), "--no-pages"],
                cwd=self.home.parent,
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Wait until the code location is loaded. Raises RuntimeError with the log where it never will be."""
        until("the web server answers", self._answers, pause=0.5)

    def __exit__(self, *_: object) -> None:
        self.stop()

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Return the data of a GraphQL answer. Raises RuntimeError with what is wrong with the query."""
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.url}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            values = json.load(answer)
        if values.get("errors"):
            raise RuntimeError(str(values["errors"]))
        return values["data"]

    def stop(self) -> None:
        """End every process that was started: politely, then for good."""
        if self.process is None:
            return
        for number, seconds in ((signal.SIGINT, SECONDS_TO_STOP), (signal.SIGKILL, 5.0)):
            for group in self.groups():
                self._signal(group, number)
            end = time.monotonic() + seconds
            while self.groups() and time.monotonic() < end:
                self.process.poll()
                time.sleep(0.2)
        self.process.wait()
        self.process = None

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"atlaspatch up ended:\n{self.log.read_text()[-4000:]}")
        try:
            found = self.ask(
                "query { workspaceOrError { ... on Workspace { locationEntries { "
                "loadStatus locationOrLoadError { __typename ... on PythonError { message } } } } } }"
            )
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return False
        (entry,) = found["workspaceOrError"]["locationEntries"] or [{"loadStatus": "LOADING"}]
        if entry["loadStatus"] == "LOADED" and entry["locationOrLoadError"]["__typename"] == "PythonError":
            raise RuntimeError(entry["locationOrLoadError"]["message"])
        return entry["loadStatus"] == "LOADED"

    def kill(self) -> None:
        """Kill every process that was started, and wait until none is left."""
        while groups := self.groups():
            for group in groups:
                self._signal(group, signal.SIGKILL)
            assert self.process is not None
            self.process.poll()
        if self.process is not None:
            self.process.wait()

    def groups(self) -> set[int]:
        """Return the process groups that live in our home: only what we started has it in its environment."""
        mark = f"DAGSTER_HOME={self.home}".encode()
        found = set()
        for entry in Path("/proc").iterdir():
            try:
                ours = entry.name.isdigit() and mark in (entry / "environ").read_bytes().split(b"\0")
                if ours and int(entry.name) != os.getpid():
                    found.add(os.getpgid(int(entry.name)))
            except OSError:
                continue
        return found - {os.getpgid(0)}

    @staticmethod
    def _signal(group: int, number: signal.Signals) -> None:
        try:
            os.killpg(group, number)
        except ProcessLookupError:
            return
