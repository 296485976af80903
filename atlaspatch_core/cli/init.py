"""``atlaspatch init``: a project file to edit."""

from pathlib import Path

import click

from atlaspatch_core.cli.declaring import FOLDER, documented_command
from atlaspatch_core.cli.types import SlidePaths
from atlaspatch_core.config.fields import FILE_NAME
from atlaspatch_core.config.template import project_text
from atlaspatch_core.errors import UnwritableOutput
from atlaspatch_core.remote.places import RemotePlace, shown_path
from atlaspatch_core.storage.atomic import replacing


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
def init(directory: Path, slides: tuple[Path, ...], force: bool) -> None:
    """Write a project file, atlaspatch.toml, with every setting, its default and its meaning."""
    path = directory / FILE_NAME
    if path.exists() and not force:
        raise click.ClickException(f"{path} is there already; edit it, or replace it with --force")
    folders = [shown_path(slide if RemotePlace.of_url(slide) else slide.resolve()) for slide in slides] or ["slides"]
    try:
        with replacing(path) as temporary:
            temporary.write_text(project_text({"slides.folders": folders}), encoding="utf-8")
    except UnwritableOutput as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"{path} written; edit it to say what to make of {', '.join(folders)}")
