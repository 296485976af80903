"""``atlaspatch up``: the web UI, the daemon, the code and the pages of projects, started and stopped together."""

import json
import os
import signal
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from filelock import FileLock, Timeout

from atlaspatch_assets.cli.home import ready_home
from atlaspatch_assets.cli.pages import LOCAL, listen
from atlaspatch_assets.cli.services import Service, Services, script
from atlaspatch_assets.lib.home import VARIABLE, loss_of_home
from atlaspatch_assets.lib.page_links import VARIABLE as PAGES_VARIABLE
from atlaspatch_core.cli.declaring import documented_command
from atlaspatch_core.cli.projects import FILE_NAME, recipe_of_file
from atlaspatch_core.cli.projects import VARIABLE as PROJECT_VARIABLE
from atlaspatch_core.cli.shared_names import tell_shared_names_of
from atlaspatch_core.cli.types import Whole
from atlaspatch_core.texts import parse_json

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project

PORT, PAGES_PORT = 3000, 3001
LOCATION = "atlaspatch"
"""Name of the code location of a project that is alone."""
MODULE = "atlaspatch_assets.definitions"
LOCK, STARTED = "atlaspatch-up.lock", "atlaspatch-up.json"
"""In Dagster's home: the kernel lock of the one start, and what it says of itself."""
STOPPED = "the service was stopped"


@dataclass(frozen=True, slots=True)
class Address:
    """Where the servers listen."""

    host: str
    port: int
    pages_port: int | None
    """Of the first project; None: no pages are served."""

    @property
    def url(self) -> str:
        """Where the web UI is."""
        return f"http://{self.host}:{self.port}"

    def pages_port_of(self, index: int) -> int | None:
        """Return where the pages of the project of this number are."""
        return None if self.pages_port is None else self.pages_port + index

    def pages_url_of(self, index: int) -> str:
        """Return the URL that events of the project of this number link to; empty where no pages are served."""
        port = self.pages_port_of(index)
        return os.environ.get(PAGES_VARIABLE, f"http://{self.host}:{port}") if port else ""


@documented_command(
    "up",
    section="Web interface",
    summary="Start Dagster's web UI and daemon for projects",
    examples=(
        "atlaspatch up",
        "atlaspatch up --project a/atlaspatch.toml --project b/atlaspatch.toml --port 3100",
    ),
)
@click.option(
    "--project",
    "project_files",
    type=click.Path(dir_okay=False, path_type=Path),
    envvar=PROJECT_VARIABLE,
    multiple=True,
    default=[FILE_NAME],
    show_default=True,
    help="The project file, or several, each of a project with a name.",
)
@click.option("--host", default=LOCAL, show_default=True, help="Address to listen on.")
@click.option("--port", type=Whole(1, 65535), default=PORT, show_default=True, help="Port of the web UI.")
@click.option(
    "--pages-port",
    type=Whole(1, 65535),
    default=PAGES_PORT,
    show_default=True,
    help="Port of 'atlaspatch pages'; a further project has the next one.",
)
@click.option("--no-pages", is_flag=True, help="Do not serve 'atlaspatch pages'.")
def up(project_files: tuple[Path, ...], host: str, port: int, pages_port: int, no_pages: bool) -> None:
    """Start Dagster for projects: web UI, daemon with sensors and schedules, runs, and the pages beside it.

    Runs in the foreground until Ctrl+C or SIGTERM, which end all of it; runs that this cuts off are started again next
    time and reuse what they had finished. Dagster's home is DAGSTER_HOME (~/.atlaspatch/dagster by default); it gets
    our settings unless it has some, and is of one start at a time.

    Dagster has no login: listen on others than 127.0.0.1 only behind something that asks who it is.

    Exit code: 0 when it was stopped, 1 when a part ended by itself or the home is in use, 2 for wrong usage.
    """
    projects = read_projects(project_files)
    tell_shared_names_of(*projects.values())
    home = ready_home()
    address = Address(host, port, None if no_pages else pages_port)
    with ExitStack() as stack:
        stack.enter_context(only_start(home, address.url))
        for wanted_port in filter(None, [port, *(address.pages_port_of(index) for index in range(len(projects)))]):
            listen(host, wanted_port).close()
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="atlaspatch-up-")))
        end_dead_runs(projects.values())
        run_services(make_services(projects, folder, address), address, home, projects.values())


def read_projects(files: Sequence[Path]) -> dict[Path, "Project"]:
    """Return the projects of these files. Raises click.UsageError where one cannot be used or two have one name."""
    projects = {file.absolute(): recipe_of_file(file).project for file in files}
    names = [project.name for project in projects.values()]
    if len(projects) > 1 and (None in names or len(set(names)) < len(names)):
        raise click.UsageError("several projects share one Dagster: give each a 'name' of its own in its project file")
    return projects


@contextmanager
def only_start(home: Path, url: str) -> Iterator[None]:
    """Be the one start of a home. Raises click.ClickException where there is one already."""
    started = home / STARTED
    try:
        with FileLock(home / LOCK).acquire(timeout=0):
            started.write_text(json.dumps({"pid": os.getpid(), "url": url}))
            yield
    except Timeout as error:
        raise click.ClickException(
            f"{home}: its Dagster is up already ({_described(started)}); stop that, or give another {VARIABLE}"
        ) from error


def _described(started: Path) -> str:
    try:
        values = parse_json(started.read_bytes())
        return f"process {values['pid']}, {values['url']}"
    except (OSError, ValueError, KeyError):
        return "its lock is held"


def make_services(projects: Mapping[Path, "Project"], folder: Path, address: Address) -> list[Service]:
    """Return a code server for each project, the daemon, the web server, and the pages of each project.

    ``folder`` gets the sockets of the code servers and the file that names them.
    """
    names = [project.name if len(projects) > 1 and project.name else LOCATION for project in projects.values()]
    sockets = {name: folder / f"{index}.socket" for index, name in enumerate(names)}
    workspace = folder / "workspace.yaml"
    servers = [{"grpc_server": {"socket": str(path), "location_name": name}} for name, path in sockets.items()]
    workspace.write_text(json.dumps({"load_from": servers}))  # JSON is YAML
    web = ["--host", address.host, "--port", str(address.port), "--workspace", str(workspace)]
    return [
        *(
            _code_server(name, file, sockets[name], address.pages_url_of(index))
            for index, (name, file) in enumerate(zip(names, projects, strict=True))
        ),
        Service("dagster-daemon", [script("dagster-daemon"), "run", "--workspace", str(workspace)]),
        Service("dagster-webserver", [script("dagster-webserver"), *web], place=(address.host, address.port)),
        *_pages(names, projects, address),
    ]


def _code_server(name: str, file: Path, path: Path, pages_url: str) -> Service:
    arguments = ["--socket", str(path), "--module-name", MODULE, "--location-name", name]
    command = [script("dagster"), "code-server", "start", *arguments]
    variables = {PROJECT_VARIABLE: str(file)} | ({PAGES_VARIABLE: pages_url} if pages_url else {})
    return Service(f"code server of {file}", command, variables, str(path))


def _pages(names: Sequence[str], files: Mapping[Path, "Project"], address: Address) -> Iterator[Service]:
    for index, file in enumerate(files):
        if port := address.pages_port_of(index):
            where = ["--host", address.host, "--port", str(port), "--web-ui", address.url]
            yield Service(f"pages of {names[index]}", [script("atlaspatch"), "pages", "--project", str(file), *where])


def run_services(services: Sequence[Service], address: Address, home: Path, projects: Collection["Project"]) -> None:
    """Run services until a signal ends them. Raises click.ClickException where one ends by itself or the home fails."""
    running = Services()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _interrupt)
    try:
        for service in services:
            running.begin(service)
            running.wait_for(service)
        _tell_address(address)
        raise click.ClickException(f"{running.wait(lambda: loss_of_home(home))}; all of it was stopped")
    except KeyboardInterrupt:
        click.echo("Stopping …", err=True)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        running.end()
        if not loss_of_home(home):
            end_dead_runs(projects, STOPPED)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _tell_address(address: Address) -> None:
    click.echo(f"{address.url} is the web UI; Ctrl+C ends it")
    if address.pages_port:
        click.echo(f"http://{address.host}:{address.pages_port} shows what needs you")


def end_dead_runs(projects: Collection["Project"], cause: str = "") -> None:
    """End runs whose processes are gone, so that nothing waits for them, and tell of them."""
    import dagster as dg

    from atlaspatch_assets.definitions import build_definitions
    from atlaspatch_assets.lib import dead_runs
    from atlaspatch_assets.lib.run_executor import locked_jobs

    jobs = {job for of in projects for job in locked_jobs(build_definitions(of).get_repository_def())}
    with dg.DagsterInstance.get() as instance:
        for run in dead_runs.end_dead_runs(instance, jobs, cause or dead_runs.CAUSE):
            click.echo(f"Run {run.run_id} ({run.job_name}) was cut off; it is started again", err=True)
