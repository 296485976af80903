"""The processes of one start: begun together, watched, and ended together with all that they began."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_CONNECT = 5.0
SECONDS_TO_END = 20.0
"""How long services may take to end by themselves; then they are killed."""
SET_PARENT_DEATH_SIGNAL = 1
"""PR_SET_PDEATHSIG of Linux."""


@dataclass(frozen=True, slots=True)
class Service:
    """A process that is to run as long as the others."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables beside those of this process."""
    place: str | tuple[str, int] | None = None
    """Path of a socket, or host and port, where it listens once it is ready."""


@dataclass(slots=True)
class Services:
    """Services that run; each in a process group of its own, where its own children are as well."""

    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    """By the name of the service, in the order in which they were begun."""

    def begin(self, service: Service) -> None:
        """Start a service. Where this process is killed, the kernel of Linux ends it."""
        self.processes[service.name] = subprocess.Popen(
            list(service.command),
            env=os.environ | dict(service.environment),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )

    def wait_for(self, service: Service) -> None:
        """Wait until a service listens where it is to, or one of all ended."""
        while service.place and not is_listened_to(service.place) and self.ended() is None:
            time.sleep(SECONDS_BETWEEN_LOOKS)

    def ended(self) -> tuple[str, int] | None:
        """Return name and exit code of a service that ended by itself; None while all run."""
        codes = ((name, process.poll()) for name, process in self.processes.items())
        return next(((name, code) for name, code in codes if code is not None), None)

    def wait(self, fault: Callable[[], str | None]) -> str:
        """Wait until a service ends by itself, or ``fault`` says of one; return which, in a sentence."""
        while (ended := self.ended()) is None:
            if reason := fault():
                return reason
            time.sleep(SECONDS_BETWEEN_LOOKS)
        name, code = ended
        return f"{name} ended by itself (exit code {code})"

    def end(self) -> None:
        """End all services, the last first, and then whatever they began and left: runs, and what these began.

        A run that is killed leaves whole files alone.
        """
        for process in reversed(self.processes.values()):
            if process.poll() is None:
                process.terminate()
        until = time.monotonic() + SECONDS_TO_END
        for process in self.processes.values():
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, until - time.monotonic()))
        for process in self.processes.values():
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def is_listened_to(place: str | tuple[str, int]) -> bool:
    """Tell whether somebody listens on a socket."""
    try:
        if isinstance(place, str):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(place)
        else:
            socket.create_connection(place, SECONDS_TO_CONNECT).close()
    except OSError:
        return False
    return True


def script(name: str) -> str:
    """Return the console script of a package, of the environment that this process runs in."""
    path = Path(sysconfig.get_path("scripts"), name)
    return str(path) if path.exists() else shutil.which(name) or name


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _end_with_parent() -> None:
    """Have the kernel end this process with the one that began it."""
    if _libc is not None:
        _libc.prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGTERM)
