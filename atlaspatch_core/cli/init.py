"""``atlaspatch init``: a project file to edit."""

import json
from pathlib import Path

import click

from atlaspatch_core.cli.template import PROJECT
from atlaspatch_core.cli.types import SlidePaths

FILE_NAME = "atlaspatch.toml"
"""Equal to that of ``atlaspatch_core.config.project``, which is not imported here because it loads OpenCV."""


@click.command()
@click.argument("directory", metavar="[DIR]", default=".", type=click.Path(file_okay=False, path_type=Path))
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
        path.write_text(project_text(folders), encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written ({error.strerror}); choose another folder") from error
    click.echo(f"{path} written; edit it to say what to make of {', '.join(folders)}")


def project_text(folders: list[str]) -> str:
    """Return the text of a project file for these slides."""
    return PROJECT.replace("@FOLDERS@", json.dumps(folders, ensure_ascii=False))
