"""``atlaspatch convert``: slides of any readable format to pyramidal, tiled BigTIFF."""

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.declaring import FILE, FOLDER, documented_command
from atlaspatch_core.cli.fields import field_option
from atlaspatch_core.cli.logs import logging_to_stderr
from atlaspatch_core.cli.types import LocalPath, Number, Several, Whole, flat
from atlaspatch_core.cli.working import INTERRUPTED, what_remains
from atlaspatch_core.config.input_fields import SlidesFields
from atlaspatch_core.errors import AtlasPatchError, NoSlides
from atlaspatch_core.isolation.cores import usable_cores
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_core.discovery.sections import SectionSearch
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.interop.convert.conversion import Converted
    from atlaspatch_core.interop.convert.settings import Settings
    from atlaspatch_core.slides.sections import SeriesChoice


@documented_command(
    "convert",
    section="Begin",
    summary="Convert slides and pictures to tiled TIFF",
    examples=(
        "atlaspatch convert slide.vsi --to converted",
        "atlaspatch convert photos --to converted --mpp-csv mpp.csv",
    ),
)
@click.argument("sources", metavar="SRC...", nargs=-1, type=LocalPath())
@click.option("--input-dir", type=LocalPath(), help="The same as SRC, as scripts for TRIDENT have it.")
@click.option(
    "--to", "--job-dir", "folder", required=True, type=FOLDER, help="Folder for the files STEM.tiff; made if need be."
)
@click.option("--mpp-csv", type=FILE, help="CSV with columns wsi,mpp; it wins.")
@click.option(
    "--downscale-by",
    default=1.0,
    show_default=True,
    type=Number(),
    help="Px of the slide per px of the result, 1 or more.",
)
@click.option(
    "--compression",
    type=click.Choice(["jpeg", "deflate"]),
    default="jpeg",
    show_default=True,
    help="deflate loses nothing and takes several times the space.",
)
@click.option("--quality", default=90, show_default=True, type=Whole(1, 100), help="Of JPEG.")
@click.option("--num-workers", default=1, show_default=True, type=Whole(0), help="Slides at once; 0: one per core.")
@click.option(
    "--wsi-ext",
    type=Several(),
    multiple=True,
    help="Only files with these suffixes, such as .svs or .ome.tif, separated by commas or blanks.",
)
@field_option(SlidesFields, "series")
@click.option("--recursive", "--search-nested", is_flag=True, help="Search the folders below SRC too.")
@click.option("--force", is_flag=True, help="Convert anew, also over files that were not made by this command.")
@click.option("--bigtiff", is_flag=True, hidden=True, help="Always so.")
@click.option("--verbose", "-v", is_flag=True, help="Show tracebacks and the warnings of libraries.")
@click.pass_context
def convert(
    context: click.Context,
    sources: tuple[Path, ...],
    input_dir: Path | None,
    folder: Path,
    mpp_csv: Path | None,
    downscale_by: float,
    compression: str,
    quality: int,
    num_workers: int,
    wsi_ext: tuple[tuple[str, ...], ...],
    series: "SeriesChoice",
    recursive: bool,
    force: bool,
    bigtiff: bool,  # noqa: ARG001
    verbose: bool,
) -> None:
    """Convert slides and pictures, files or folders SRC, to pyramidal tiled BigTIFF that OpenSlide reads.

    Transparent pixels become white. Each file is read back and compared with its slide before it gets its name; one
    that lies there already, made of the same slide with the same settings, is verified and kept. Pictures need their µm
    per px in --mpp-csv. Files of more than 8 bits, in CMYK, or of several channels are refused. Memory is bounded,
    whatever the slide; libvips keeps a third of each file in TMPDIR while it writes.

    Exit code: 0 when every slide is converted, 1 when one or more failed, 2 for wrong usage.
    """
    from atlaspatch_core.discovery.sections import SectionSearch
    from atlaspatch_core.interop.convert.settings import Settings

    paths = (*sources, *([input_dir] if input_dir else []))
    if not paths:
        raise click.UsageError("name the slides or folders to convert: SRC")
    try:
        settings = Settings(compression, quality, downscale_by)  # pyright: ignore[reportArgumentType]
        discovery = _discover(paths, folder, mpp_csv, flat(wsi_ext), recursive, SectionSearch(series))
    except NoSlides as error:
        raise click.ClickException(str(error)) from error
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
    workers = num_workers or usable_cores()
    with logging_to_stderr(verbose):
        context.exit(_run(discovery, folder, settings, workers, force))


def _discover(
    paths: Sequence[Path],
    folder: Path,
    mpp_csv: Path | None,
    suffixes: Sequence[str],
    recursive: bool,
    sections: "SectionSearch",
) -> "Discovery":
    """Return the slides to convert. Raises NoSlides, InvalidProject, click.UsageError."""
    from atlaspatch_core.discovery.find import discover
    from atlaspatch_core.discovery.slide_tables import read_mpp_csv

    mpp_by_name = read_mpp_csv(mpp_csv) if mpp_csv else {}
    if suffixes:
        endings = tuple(suffix.lower() if suffix.startswith(".") else f".{suffix.lower()}" for suffix in suffixes)
        every = discover(paths, recursive=recursive, extensions=endings, exclude=[folder])
        paths = _with_suffix(every, endings)
    discovery = discover(paths, recursive=recursive, mpp_by_name=mpp_by_name, exclude=[folder], sections=sections)
    inside = next(
        (source.path for source in discovery.sources if source.path.parent.resolve() == folder.resolve()), None
    )
    if inside:
        raise click.UsageError(f"{inside} lies in --to {folder}: copies would have the same stem; name another folder")
    return discovery


def _with_suffix(discovery: "Discovery", endings: tuple[str, ...]) -> list[Path]:
    from atlaspatch_core.errors import NoSlides

    paths = [source.path for source in discovery.sources] + [
        path for clash in discovery.clashes for path in clash.paths
    ]
    matching = [path for path in paths if path.name.lower().endswith(endings)]
    if not matching:
        raise NoSlides(f"none of the {len(paths)} slides found has the suffix {' or '.join(endings)}; give another")
    return matching


def _run(discovery: "Discovery", folder: Path, settings: "Settings", workers: int, force: bool) -> int:
    """Convert, print a line per slide and a last one, and return the exit code."""
    from atlaspatch_core.interop.convert.conversion import convert_slides
    from atlaspatch_core.validity.outcome import Status

    if discovery.pictures_left_out:
        click.echo(f"PICTURES: {discovery.pictures_left_out}", err=True)
    counts = {Status.COMPUTED: 0, Status.REUSED: 0, Status.FAILED: len(discovery.clashes)}
    warned = 0
    for clash in discovery.clashes:
        click.echo(f"{clash.stem}  FAILED: {_without_stem(clash.stem, str(clash.error))}")
    try:
        with closing(convert_slides(discovery.sources, folder, settings, workers=workers, force=force)) as results:
            for done in results:
                click.echo(line(done))
                counts[done.status] += 1
                if done.warnings:
                    click.echo(f"{done.stem}  WARNING: {'; '.join(done.warnings)}")
                    warned += 1
    except KeyboardInterrupt:
        click.echo(f"\nInterrupted: {what_remains(folder)}.", err=True)
        return INTERRUPTED
    except AtlasPatchError as error:
        raise click.ClickException(str(error)) from error
    total = sum(counts.values())
    words = f"{counts[Status.COMPUTED]} converted, {counts[Status.REUSED]} verified and kept"
    odd = f", {format_count(warned, 'slide')} with warnings" if warned else ""
    click.echo(f"{format_count(total, 'slide')}: {words}, {counts[Status.FAILED]} failed{odd}; files in {folder}")
    return 1 if counts[Status.FAILED] else 0


def line(done: "Converted") -> str:
    """Return what became of one slide."""
    why = _without_stem(done.stem, done.why)
    if done.info is None or done.path is None:
        return f"{done.stem}  FAILED: {why}"
    info, size = done.info, done.path.stat().st_size / 1e6
    fate = "verified and kept" if done.status == "reused" else "converted"
    numbers = f"{info.width} × {info.height} px, {info.mpp:.4g} µm/px, {len(info.levels)} levels, {size:.1f} MB"
    return f"{done.stem}  {fate}  {numbers}  {done.seconds:.1f} s" + (f"  ({why})" if why else "")


def _without_stem(stem: str, why: str) -> str:
    return " ".join(why.removeprefix(f"{stem}: ").split())
