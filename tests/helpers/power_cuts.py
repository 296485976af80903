"""What no test can see, a power cut, costs none any time: nothing waits until the disk has what was written.

A process that is killed loses nothing by it, as the system has what it wrote.
"""

import os
from sqlite3 import Connection
from typing import Any

from sqlalchemy import event
from sqlalchemy.engine import Engine


def ignore_power_cuts() -> None:
    """Let files and databases of this process be written without waiting for the disk, from now on."""
    os.fsync = lambda _: None
    if not event.contains(Engine, "connect", _do_not_wait):
        event.listen(Engine, "connect", _do_not_wait)


def _do_not_wait(connection: Any, _: object) -> None:
    if isinstance(connection, Connection):
        connection.execute("PRAGMA synchronous=OFF")
