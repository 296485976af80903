"""Commands and scripts in processes of their own, which a warm process forks: real ones, without their imports.

What depends on a new interpreter (what is imported, variables that libraries read when they are imported, the console
script) starts one with ``subprocess``.
"""

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO, Any

from paths import HELPERS, ROOT
from waiting import SECONDS, until

WARM = f"\0atlaspatch-tests-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
"""Where the process that forks listens: imports for all processes of tests of one run are done once."""
ATLASPATCH = "from atlaspatch_assets.cli.main import main; main()"


class Child:
    """A process, with the methods of ``subprocess.Popen`` that tests use; output is text."""

    def __init__(self, streams: Sequence[int], report: int) -> None:
        stdin, stdout, stderr = streams
        self.stdin: IO[str] = os.fdopen(stdin, "w")
        self.stdout: IO[str] = os.fdopen(stdout)
        self.stderr: IO[str] = os.fdopen(stderr)
        self.returncode: int | None = None
        self._report = os.fdopen(report, "rb")
        self.pid = int.from_bytes(self._report.read(8), "little")

    def __enter__(self) -> "Child":
        return self

    def __exit__(self, *_: object) -> None:
        self.wait()
        for stream in (self.stdin, self.stdout, self.stderr, self._report):
            stream.close()

    def poll(self) -> int | None:
        """Return the exit code, negative for a signal, or None as long as the process lives."""
        return self._ended(0)

    def wait(self, timeout: float = SECONDS) -> int:
        if self._ended(timeout) is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
        return self.returncode  # pyright: ignore[reportReturnType]

    def _ended(self, seconds: float) -> int | None:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._report, selectors.EVENT_READ)
                if selector.select(seconds):
                    status = int.from_bytes(self._report.read(8), "little")
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float = SECONDS) -> tuple[str, str]:
        """Close stdin, and return what the process wrote until it ended."""
        self.stdin.close()
        chunks: dict[IO[str], list[bytes]] = {self.stdout: [], self.stderr: []}
        with selectors.DefaultSelector() as selector:
            for stream in chunks:
                selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                if not (ready := selector.select(timeout)):
                    raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
                for key, _ in ready:
                    chunks[key.fileobj].append(part := os.read(key.fd, 1 << 16))  # pyright: ignore
                    if not part:
                        selector.unregister(key.fileobj)
        self.wait(timeout)
        out, errors = (b"".join(parts).decode() for parts in chunks.values())
        return out, errors


@cache
def warm_process() -> socket.socket:
    """Return where the process that forks hears requests, which ends with the last process of tests that asks it."""
    ours = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    until("the process that forks listens", lambda: ours.connect_ex(WARM) == 0 or start_warm_process())
    return ours


def start_warm_process() -> None:
    """Start the process that forks, unless another process of tests did."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener, suppress(OSError):
        listener.bind(WARM)
        listener.listen()
        command = [sys.executable, str(HELPERS / "warm_process.py"), str(listener.fileno())]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "DAGSTER_HOME": ""}
        subprocess.Popen(command, pass_fds=[listener.fileno()], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL)


def start_code(
    code: str,
    *argv: object,
    folder: Path = ROOT,
    environment: Mapping[str, str] | None = None,
    new_session: bool = False,
) -> Child:
    """Run code as ``python -c`` with these words, in a folder, with variables added to the environment."""
    return fork(["-c", *map(str, argv)], code, folder, environment or {}, new_session=new_session)


def start_cli(
    *words: object, folder: Path = ROOT, environment: Mapping[str, str] | None = None, new_session: bool = False
) -> Child:
    """Run ``atlaspatch`` with these words."""
    return fork(["atlaspatch", *map(str, words)], ATLASPATCH, folder, environment or {}, new_session=new_session)


def run_cli(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run ``atlaspatch`` to its end."""
    with start_cli(*words, **options) as child:
        out, errors = child.communicate()
    return subprocess.CompletedProcess(["atlaspatch", *words], child.wait(), out, errors)


def fork(argv: list[str], code: str, folder: Path, environment: Mapping[str, str], *, new_session: bool) -> Child:
    known = os.environ | {"DAGSTER_HOME": "", "OMP_NUM_THREADS": "1"} | environment
    request = {"argv": argv, "code": code, "folder": str(folder), "environment": known, "new_session": new_session}
    (stdin, our_stdin), (our_stdout, stdout), (our_stderr, stderr), (our_report, report) = (os.pipe() for _ in range(4))
    theirs = (stdin, stdout, stderr, report)
    socket.send_fds(warm_process(), [json.dumps(request).encode()], theirs)
    for file in theirs:
        os.close(file)
    return Child((our_stdin, our_stdout, our_stderr), our_report)
