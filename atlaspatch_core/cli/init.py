"""``atlaspatch init``: a project file to edit."""

from pathlib import Path

import click

from atlaspatch_core.cli.declaring import FOLDER, documented_command
from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.types import SlidePaths
from atlaspatch_core.config.fields import FILE_NAME
from atlaspatch_core.config.template import project_text
from atlaspatch_core.errors import AtlasPatchError, UnwritableOutput
from atlaspatch_core.remote.places import RemotePlace, shown_path
from atlaspatch_core.storage.atomic import replacing
from atlaspatch_core.wording import format_count


@documented_command(
    "init",
    section="Begin",
    summary="Write a project file to edit",
    examples=(
        "atlaspatch init --slides /data/slides",
        "atlaspatch init kidney --slides '/data/kidney/**/*.svs'",
    ),
)
@click.argument("directory", metavar="[DIR]", default=".", type=FOLDER)
@click.option(
    "--slides",
    type=SlidePaths(),
    multiple=True,
    help="A slide, a folder of slides, a URL, or a pattern such as 'slides/**/*.svs'; may be repeated. Default: the "
    "folder slides beside the project file.",
)
@click.option("--force", is_flag=True, help="Replace a project file that is there.")
@click.pass_context
def init(context: click.Context, directory: Path, slides: tuple[Path, ...], force: bool) -> None:
    """Write a project file, atlaspatch.toml, with every setting, its default and its meaning.

    Beside it comes workspace.yaml, by which the web UI finds the project; one that is there stays. The device is the
    one that this machine has.
    """
    path = directory / FILE_NAME
    if path.exists() and not force:
        raise click.ClickException(f"{path} is there already; edit it, or replace it with --force")
    hooks = context.obj if isinstance(context.obj, Hooks) else Hooks()
    folders = [shown_path(slide if RemotePlace.of_url(slide) else slide.resolve()) for slide in slides] or ["slides"]
    device = _device()
    _write(path, project_text({"slides.folders": folders, "runtime.device": device}))
    for name, text in hooks.files_beside_project:
        if not (directory / name).exists():
            _write(directory / name, text)
    click.echo(f"{path} written; edit it to say what to make of {', '.join(folders)}")
    if device == "cpu":
        click.echo('This machine has no GPU: device = "cpu" in [runtime]; "auto" takes one where there is one')
    click.echo(_slides_line(path))
    if hooks.next_commands:
        click.echo(f"Next: {hooks.next_commands(path)}")


def _write(path: Path, text: str) -> None:
    try:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except UnwritableOutput as error:
        raise click.ClickException(str(error)) from error


def _device() -> str:
    """Return the device that this machine has."""
    from atlaspatch_core.encoders.devices import present_device

    return present_device() or "cpu"


def _slides_line(path: Path) -> str:
    """Return how many slides the project that was written has, or why it has none, and what to do then."""
    from atlaspatch_core.config.project import load_project
    from atlaspatch_core.discovery.find import find_slides

    try:
        project = load_project(path)
        if any(RemotePlace.of_placeholder(folder) for folder in project.slides.folders):
            return "Slides in an object store are counted by 'atlaspatch status'"
        discovery = find_slides(project, remember=False)
    except AtlasPatchError as error:
        return f"WARNING: {error}; folders stands in [slides]"
    aside = f"; {discovery.pictures_left_out}" if discovery.pictures else ""
    return f"{format_count(len(discovery.paths), 'slide', ',')} found{aside}"
