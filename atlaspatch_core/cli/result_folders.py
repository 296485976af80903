"""What the commands on results of others take: the folder that holds them, its slides, and a project."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.declaring import EXISTING, EXISTING_FILE, EXISTING_FOLDER, Decorator, group
from atlaspatch_core.cli.fields import field_option
from atlaspatch_core.config.input_fields import SlidesFields

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project
    from atlaspatch_core.slides.sections import SeriesChoice


def result_options(*, project: str, slides: str, mpp_csv: str) -> Decorator:
    """Return the argument and options, each with what it means to the command."""
    table = "Table with the columns wsi and mpp: µm per px of level 0"
    return group(
        click.argument("folder", metavar="DIR", type=EXISTING_FOLDER),
        click.option("--project", "project_file", type=EXISTING_FILE, help=project),
        click.option(
            "--slides", type=EXISTING, help=f"The slide, or the folder of slides, that DIR was made of{slides}"
        ),
        click.option("--recursive", is_flag=True, help="Look for slides in subfolders too."),
        click.option("--mpp-csv", type=EXISTING_FILE, help=f"{table}{mpp_csv}"),
        field_option(SlidesFields, "series"),
    )


def with_slides(
    project: "Project", slides: Path | None, mpp_csv: Path | None, series: "SeriesChoice", *, recursive: bool
) -> "Project":
    """Return a project with the slides, the table of µm per px, and the image of their files, that were typed."""
    typed = {"mpp_csv": mpp_csv, "series": series}
    changes: dict[str, object] = {name: value for name, value in typed.items() if value is not None}
    if slides:
        changes |= {"folders": (slides,), "recursive": recursive or project.slides.recursive}
    return project.model_copy(update={"slides": project.slides.model_copy(update=changes)})
