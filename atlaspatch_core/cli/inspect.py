"""``atlaspatch inspect``: what a slide's file holds, what is taken of it, and why."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atlaspatch_core.cli.declaring import FOLDER, documented_command
from atlaspatch_core.cli.fields import field_options
from atlaspatch_core.cli.logs import logging_to_stderr
from atlaspatch_core.cli.reading import reads_only
from atlaspatch_core.cli.slide_options import OPENING, READER_PLUGINS, slides_section, stated_mpps, with_readers_of
from atlaspatch_core.cli.types import SlidePaths
from atlaspatch_core.config.input_fields import SlidesFields
from atlaspatch_core.errors import AtlasPatchError

if TYPE_CHECKING:
    from atlaspatch_core.config.sections import Slides
    from atlaspatch_core.discovery.sources import SlideSource


class PngPath(click.Path):
    """A file to write that ends with .png."""

    def __init__(self) -> None:
        super().__init__(dir_okay=False, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path. Fails for another suffix."""
        path = Path(str(super().convert(value, param, ctx)))
        if path.suffix.lower() != ".png":
            self.fail(f"{path} is no PNG; let its name end with .png", param, ctx)
        return path


@reads_only
@documented_command(
    "inspect",
    section="Begin",
    summary="Say what the file of a slide holds",
    examples=(
        "atlaspatch inspect slide.svs",
        "atlaspatch inspect slide.czi --series all --json",
    ),
)
@click.argument("slide", type=SlidePaths())
@field_options(SlidesFields, only=OPENING)
@READER_PLUGINS
@click.option("--picture", type=PngPath(), help="Write a PNG of the slide with its frame, scanned part and tissue.")
@click.option(
    "--output",
    "-o",
    type=FOLDER,
    help="Folder of results whose tissue mask --picture shows. Without it, or a mask there, the tissue is sought.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object; with --series all, an array of them.")
@click.pass_context
def inspect(
    context: click.Context,
    slide: Path,
    picture: Path | None,
    output: Path | None,
    as_json: bool,
    feature_plugin: tuple[Path, ...],
    **_: object,
) -> None:
    """Say what the file of a SLIDE holds, what is taken of it, and why; with --series all, of each of its sections.

    Levels, pixels, every statement of the scale and the one that counts, all pages or images of the file and what they
    are, each reader's answer, and warnings. Nothing but --picture is written. A file is opened as encode-slide does
    with the same options.

    Exit code: 0 when the slide can be worked on; 1 when it is refused, or the picture cannot be made; 2 for wrong
    usage.
    """
    from atlaspatch_core.cli.inspect_text import inspection_lines
    from atlaspatch_core.operations.slide_files.inspection import inspect_slide_file
    from atlaspatch_core.operations.slide_files.json_values import inspection_values

    slides = slides_section(context)
    context.with_resource(with_readers_of(feature_plugin))
    sources = _sources(context.with_resource(_placeholder(slide)), slides)
    if picture and len(sources) > 1:
        raise click.UsageError("--picture is of one section; name its number by --series")
    with logging_to_stderr(False):
        values = [inspection_values(inspect_slide_file(source, slides)) for source in sources]
        if as_json:
            click.echo(json.dumps(values if slides.series == "all" else values[0], indent=1, ensure_ascii=False))
        else:
            click.echo("\n\n".join("\n".join(inspection_lines(of_one)) for of_one in values))
        is_drawn = not picture or (bool(values[0]["taken"]) and _draw(sources[0], slides, picture, output))
    context.exit(0 if is_drawn and not any(of_one["error"] for of_one in values) else 1)


@contextmanager
def _placeholder(path: Path) -> Iterator[Path]:
    """Give where a slide lies, of a URL its placeholder. Raises click.ClickException."""
    from atlaspatch_core.remote.mirror import mirrored

    try:
        with mirrored(path) as place:
            yield place
    except AtlasPatchError as error:
        raise click.ClickException(str(error)) from error


def _sources(path: Path, slides: "Slides") -> "list[SlideSource]":
    """Return the slide, or the sections of its file, with the µm per px that a table states."""
    from atlaspatch_core.discovery.gathering import sections_in, with_mpp_of_file, with_mpps
    from atlaspatch_core.discovery.sections import SectionSearch
    from atlaspatch_core.slides.slide import stem_of

    files = {stem_of(path): path}
    sections, _ = sections_in(files, {}, SectionSearch(slides.series, slides.reader))
    sources = with_mpps(sections, stated_mpps(slides), files)
    return list(with_mpp_of_file(sources, slides.model_copy(update={"folders": (path,)})))


def _draw(source: "SlideSource", slides: "Slides", picture: Path, output: Path | None) -> bool:
    """Write the picture and say where it lies; tell whether that was possible."""
    from atlaspatch_core.operations.slide_files.picture import write_picture

    try:
        whose = write_picture(source, slides, picture, output)
    except AtlasPatchError as error:
        click.echo(f"no picture: {error}", err=True)
        return False
    click.echo(f"picture: {picture}, tissue {whose}", err=True)
    return True
