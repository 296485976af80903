"""``atlaspatch pages``: the small server beside Dagster's web UI."""

import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.declaring import documented_command
from atlaspatch_core.cli.projects import PROJECT, recipe_of_file
from atlaspatch_core.cli.reading import reads_only
from atlaspatch_core.cli.types import Whole
from atlaspatch_core.errors import AtlasPatchError

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project

LOCAL = "127.0.0.1"
PORT = 3001


@reads_only
@documented_command(
    "pages",
    section="Web interface",
    summary="Serve what needs you, pictures and metrics",
    examples=(
        "atlaspatch pages",
        "atlaspatch pages --port 3002",
    ),
)
@PROJECT
@click.option("--host", default=LOCAL, show_default=True, help="Address to listen on.")
@click.option("--port", type=Whole(0, 65535), default=PORT, show_default=True, help="Port to listen on.")
@click.option(
    "--web-ui",
    default="http://127.0.0.1:3000",
    show_default=True,
    help='Where Dagster\'s web UI is, for links to it; "" for none.',
)
def pages(project_file: Path, host: str, port: int, web_ui: str) -> None:
    """Serve what needs you today, pictures, reports and metrics of a project; read-only.

    What is failed, stale, stuck, odd or removed is grouped by reason, each with what mends it, as it is when the page
    is loaded: http://127.0.0.1:3001/. Prometheus reads /metrics there. Only the output folder is served.

    Whoever can reach the address sees the names and pictures of slides: listen on others than 127.0.0.1 only behind
    something that asks who it is.

    Exit code: 0 when it was stopped, 1 when it cannot listen, 2 for wrong usage.
    """
    import dagster as dg
    import uvicorn

    from atlaspatch_assets.lib.home import dagster_home
    from atlaspatch_assets.pages import build_app
    from atlaspatch_assets.pages.view import ProjectView

    recipe = recipe_of_file(project_file)
    dagster_home()
    hosts = [LOCAL, "localhost", host, socket.gethostname(), socket.getfqdn()]
    with dg.DagsterInstance.get() as instance, listen(host, port) as listening:
        view = ProjectView(recipe, instance, lambda: _notes(recipe.project))
        click.echo(f"http://{host}:{listening.getsockname()[1]}/ shows what needs you; Ctrl+C ends it")
        server = uvicorn.Server(uvicorn.Config(build_app(view, hosts=hosts, web_ui=web_ui), log_level="warning"))
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):  # uvicorn ends in order, and raises the signal again
            server.run(sockets=[listening])


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens. Raises click.ClickException where the port is taken or the address is not here."""
    try:
        return socket.create_server((host, port))
    except OSError as error:
        cause = error.strerror or error
        raise click.ClickException(f"{host}:{port} cannot be listened on ({cause}); give another --port") from error


def _notes(project: "Project") -> Sequence[str]:
    """Return what ``doctor`` finds of the instance, in sentences."""
    from atlaspatch_assets.cli.doctor import dagster_findings
    from atlaspatch_core.operations.doctor.values import DoctorLevel

    try:
        every = list(dagster_findings(project))
    except AtlasPatchError as error:
        return [str(error)]
    return [f"{each.name}: {each.text}; {each.cure}." for each in every if each.level is not DoctorLevel.OK]
