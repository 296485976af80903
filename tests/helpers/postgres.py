"""A real Postgres server, which a test starts for itself."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from paths import ROOT
from server import free_port

STORAGES = ("sqlite", "postgres")
"""What we deploy an instance on."""


@contextmanager
def storage_of(name: str) -> Iterator[dict[str, str]]:
    """Give the variables by which Dagster reaches one of ``STORAGES``, set here, too; none for SQLite, the default."""
    if name == "sqlite":
        yield {}
        return
    with postgres_server() as variables, pytest.MonkeyPatch.context() as patch:
        for variable, value in variables.items():
            patch.setenv(variable, value)
        yield variables


def put_in_place(home: Path) -> None:
    """Make a home whose instance is the one that we deploy on Postgres."""
    home.mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "dagster.postgres.yaml", home / "dagster.yaml")


def binary(name: str) -> str | None:
    """Return where a program of Postgres lies; Debian keeps the servers' out of the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(debian[-1]) if debian else None)


def server_user() -> str | None:
    """Return whom the server runs as: it refuses to run as root."""
    if os.geteuid():
        return pwd.getpwuid(os.geteuid()).pw_name
    return "postgres" if "postgres" in [user.pw_name for user in pwd.getpwall()] else None


@dataclass(slots=True)
class PostgresServer:
    """A server of a database."""

    pg_ctl: str
    folder: Path
    port: str
    as_user: Mapping[str, Any]

    @property
    def variables(self) -> dict[str, str]:
        """By which Dagster reaches it."""
        reach = {"HOST": "127.0.0.1", "PORT": self.port, "USERNAME": "dagster", "PASSWORD": "unused", "DB": "postgres"}
        return {f"DAGSTER_PG_{name}": value for name, value in reach.items()}

    def start(self) -> None:
        """Start it, after what was committed is there again, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={self.folder} -c fsync=off"
        self._control("-l", self.folder / "log", "-o", options, "start")

    def cut_off(self) -> None:
        """Stop it amid what it does, as a kill does: all connections break, and nothing is put in order."""
        self._control("-m", "immediate", "stop")

    def _control(self, *words: str | Path) -> None:
        subprocess.run([self.pg_ctl, "-D", self.folder / "data", "-w", "-t", "600", *words], **self.as_user)


@contextmanager
def postgres() -> Iterator[PostgresServer]:
    """Start a server on a free port; skip where there is none."""
    pytest.importorskip("dagster_postgres", reason="pip install 'atlaspatch[postgres]' for this test")
    initdb, pg_ctl, user = binary("initdb"), binary("pg_ctl"), server_user()
    if initdb is None or pg_ctl is None or user is None:
        pytest.skip("no Postgres server is installed: apt-get install postgresql")
    folder = Path(tempfile.mkdtemp(prefix="atlaspatch-postgres-"))
    try:
        shutil.chown(folder, user)
        as_user = {
            "user": user if not os.geteuid() else None,
            "check": True,
            "cwd": folder,
            "stdout": subprocess.DEVNULL,
        }
        subprocess.run([initdb, "-D", folder / "data", "-U", "dagster", "-A", "trust", "--no-sync"], **as_user)
        server = PostgresServer(pg_ctl, folder, str(free_port()), as_user)
        server.start()
        try:
            yield server
        finally:
            server.cut_off()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres_server() -> Iterator[dict[str, str]]:
    """Start a server, and give the variables by which Dagster reaches it; skip where there is none."""
    with postgres() as server:
        yield server.variables
