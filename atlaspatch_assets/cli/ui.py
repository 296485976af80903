"""``atlaspatch ui``: ``atlaspatch up`` for the project that is nearest, from any folder."""

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atlaspatch_assets.cli.pages import LOCAL, listen
from atlaspatch_assets.cli.record import told_of_folder
from atlaspatch_assets.cli.up import PORT, up
from atlaspatch_core.cli.declaring import documented_command
from atlaspatch_core.cli.projects import FILE_NAME, recipe_of_file
from atlaspatch_core.cli.types import Whole
from atlaspatch_core.errors import AtlasPatchError

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project

PORTS_TRIED = 20
MADE = "atlaspatch-ui-"
"""How the folder of a project file begins that is made of runs."""


@documented_command(
    "ui",
    section="Web interface",
    summary="Open the web UI of the nearest project",
    examples=("atlaspatch ui", "atlaspatch ui out --port 3100"),
)
@click.argument("place", metavar="[PLACE]", default=".", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--port",
    type=Whole(1, 65534),
    show_default=f"{PORT}, or the next that is free",
    help="Port of the web UI on this machine; the page of what needs you has the next one.",
)
@click.pass_context
def ui(context: click.Context, place: Path, port: int | None) -> None:
    """Open the web UI of a project on 127.0.0.1, from any folder.

    PLACE is a project file, a folder in or above which one lies, or an output folder of encode-slide: then what its
    runs asked for is the project, and Dagster is told of what they made, as by 'atlaspatch record'. All else is as
    with 'atlaspatch up', which takes several projects and other addresses, and runs as a service.

    Exit code: 0 when it was stopped, 1 when a part ended by itself or the home is in use, 2 for wrong usage.
    """
    with ExitStack() as opened:
        file = opened.enter_context(project_at(place))
        port = port or free_port()
        is_made = file.parent.name.startswith(MADE)
        what = f"what the runs of {place} asked for" if is_made else file
        click.echo(f"The project is {what}; the web UI starts on http://{LOCAL}:{port} …", err=True)
        if is_made:
            tell_dagster(file)
        context.invoke(up, project_files=(file,), host=LOCAL, port=port, pages_port=port + 1, no_pages=False)


@contextmanager
def project_at(place: Path) -> Iterator[Path]:
    """Give the project file of a place; of an output folder one that is made of its runs, for as long as it is used.

    Raises click.UsageError where there is none, and for code that nobody consented to.
    """
    if place.is_file():
        yield place
        return
    folder = place.resolve()
    files = (one / FILE_NAME for one in (folder, *folder.parents))
    if file := next((one for one in files if one.is_file()), None):
        if file.parent != folder and not _is_own(file):
            raise click.UsageError(f"{file} is another user's; if it is meant, name it: atlaspatch ui {file}")
        _check_code(_loaded(file), file)
        yield file
        return
    with tempfile.TemporaryDirectory(prefix=MADE) as temporary:
        file = Path(temporary) / FILE_NAME
        file.write_text(project_toml(_remembered(folder)), encoding="utf-8")
        yield file


def tell_dagster(file: Path) -> None:
    """Tell Dagster what an output folder holds, of which it knows nothing; where that fails it is said and goes on."""
    try:
        click.echo(told_of_folder(recipe_of_file(file)), err=True)
    except AtlasPatchError as error:
        click.echo(f"WARNING: Dagster could not be told what lies there: {error}", err=True)


def free_port() -> int:
    """Return the first port from 3000 on that is free, and the next one, too. Raises click.ClickException for none."""
    for port in range(PORT, PORT + PORTS_TRIED):
        try:
            for one in (port, port + 1):
                listen(LOCAL, one).close()
        except click.ClickException:
            continue
        return port
    raise click.ClickException(f"the ports {PORT} to {PORT + PORTS_TRIED} are in use; give another by --port")


def project_toml(values: Mapping[str, Any]) -> str:
    """Return JSON values of a project as the text of a project file.

    >>> print(project_toml({"output": "out", "runtime": {"device": "cpu"}, "geometry": [{"patch_size": 256}]}))
    output = "out"
    geometry = [{patch_size = 256}]
    runtime = {device = "cpu"}
    """
    ordered = sorted(values.items(), key=lambda item: isinstance(item[1], dict))
    return "\n".join(f"{name} = {_inline(value)}" for name, value in ordered if value is not None)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        parts = (f"{_key(name)} = {_inline(part)}" for name, part in value.items() if part is not None)
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, list):
        return f"[{', '.join(map(_inline, value))}]"
    return json.dumps(value, ensure_ascii=False)


def _key(name: str) -> str:
    return name if name.replace("_", "").isalnum() and name.isascii() else json.dumps(name)


def _loaded(file: Path) -> "Project":
    from atlaspatch_core.config.project import load_project

    try:
        return load_project(file)
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error


def _remembered(folder: Path) -> Mapping[str, Any]:
    """Return what the runs of an output folder asked for, as JSON values. Raises click.UsageError."""
    from atlaspatch_core.operations.tracking.remembered_project import remembered_project

    try:
        project = remembered_project(folder).project
    except AtlasPatchError as error:
        raise click.UsageError(
            f"{folder}: neither in it nor above it is an {FILE_NAME}, and it is no output folder of encode-slide; "
            "'atlaspatch init' writes a project file"
        ) from error
    _check_code(project, folder / FILE_NAME)
    return project.model_dump(mode="json")


def _check_code(project: "Project", file: Path) -> None:
    """Raise click.UsageError for code that a project has executed, where nobody named its file beside results."""
    from atlaspatch_core.discovery.result_folders import check_code_wanted

    try:
        check_code_wanted(project, file)
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error


def _is_own(file: Path) -> bool:
    """Tell whether a file is this user's: one above the folder may be anybody's, and names code to be executed."""
    return not hasattr(os, "getuid") or file.stat().st_uid == os.getuid()
