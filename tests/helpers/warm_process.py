"""A process that has imported everything once, and forks for each request: its children start without any import.

Started as a script by processes.py, once for all processes of tests that run side by side. A child runs the code of
its request as ``python -c`` would, in the environment and folder of the request, and ends as an interpreter ends: exit
codes, signals and atexit are real.
"""

import atexit
import gc
import importlib
import json
import os
import pkgutil
import selectors
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterable
from types import ModuleType
from typing import Any, NoReturn

from power_cuts import ignore_power_cuts

LIBRARIES = ("cv2", "dagster", "h5py", "imagecodecs", "openslide", "tifffile", "timm", "torch", "torchvision")
PACKAGES = ("atlaspatch_core", "atlaspatch_assets")


def import_all() -> None:
    for name in LIBRARIES:
        importlib.import_module(name)
    for package in map(importlib.import_module, PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def serve(listener: socket.socket) -> dict[str, Any]:
    """Return the request, in the child that was forked for it; the parent serves until nobody asks any more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    clients = {listener.accept()[0]}
    while clients:
        for client in select(clients | {listener}):
            if client is listener:
                clients.add(listener.accept()[0])
                continue
            message, files, _, _ = socket.recv_fds(client, 1 << 20, 4)
            if not message:
                clients.remove(client)
                client.close()
            elif os.fork() == 0:
                for other in (listener, *clients):
                    other.close()
                if fork_and_report(*files):
                    return json.loads(message)
            for file in files:
                os.close(file)
    os._exit(0)


def select(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """Return the sockets at which somebody asks, as soon as there is one."""
    with selectors.DefaultSelector() as selector:
        for one in sockets:
            selector.register(one, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select()]  # pyright: ignore[reportReturnType]


def fork_and_report(stdin: int, stdout: int, stderr: int, report: int) -> bool:
    """Return in a grandchild whose streams these are; the child writes pid and wait status of that, and ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    streams = (stdin, stdout, stderr)
    if (pid := os.fork()) == 0:
        os.close(report)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        return True
    for stream in (*streams, 0, 1, 2):
        os.close(stream)
    os.write(report, pid.to_bytes(8, "little"))
    os.write(report, os.waitpid(pid, 0)[1].to_bytes(8, "little"))
    os._exit(0)


def enter(request: dict[str, Any]) -> None:
    """Take on what a new interpreter would begin with."""
    if request["new_session"]:
        os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    paths = filter(None, request["environment"].get("PYTHONPATH", "").split(os.pathsep))
    sys.path[1:1] = [path for path in paths if path not in sys.path]
    sys.argv = request["argv"]
    sys.modules["__main__"] = ModuleType("__main__")
    tempfile.tempdir = None


def run(code: str) -> int:
    """Run code as the main module, and return the exit code that an interpreter would end with."""
    try:
        exec(compile(code, "<string>", "exec"), sys.modules["__main__"].__dict__)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return (end.code or 0) & 0xFF
        print(end.code, file=sys.stderr)
        return 1
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return -signal.SIGINT if isinstance(error, KeyboardInterrupt) else 1
    return 0


def leave(code: int) -> NoReturn:
    """End as an interpreter does, but for half a second in which it would free every module."""
    threading._shutdown()  # pyright: ignore[reportAttributeAccessIssue]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    if code == -signal.SIGINT:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    os._exit(code)


if __name__ == "__main__":
    sys.path = ["", *sys.path[1:], sys.path[0]]  # as in python -c; the helpers come last
    import_all()
    ignore_power_cuts()
    gc.freeze()
    request = serve(socket.socket(fileno=int(sys.argv[1])))
    enter(request)
    leave(run(request["code"]))
