"""``atlaspatch init``: a project file to edit."""

from pathlib import Path

import click

from atlaspatch_core.cli.declaring import FOLDER
from atlaspatch_core.cli.types import SlidePaths
from atlaspatch_core.config.fields import FILE_NAME
from atlaspatch_core.config.template import project_text


@click.command()
@click.argument("directory", metavar="[DIR]", default=".", type=FOLDER)
@click.option(
    "--slides",
    type=SlidePaths(),
    multiple=True,
    help="A slide, a folder of slides, or a pattern such as 'slides/**/*.svs'; may be repeated. Default: the folder "
    "slides beside the project file.",
)
@click.option("--force", is_flag=True, help="Replace a project file that is there.")
def init(directory: Path, slides: tuple[Path, ...], force: bool) -> None:
    """Write a project file, atlaspatch.toml, with every setting, its default and its meaning."""
    path = directory / FILE_NAME
    if path.exists() and not force:
        raise click.ClickException(f"{path} is there already; edit it, or replace it with --force")
    folders = [str(slide.resolve()) for slide in slides] or ["slides"]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(project_text({"slides.folders": folders}), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written ({error.strerror}); choose another folder") from error
    click.echo(f"{path} written; edit it to say what to make of {', '.join(folders)}")
