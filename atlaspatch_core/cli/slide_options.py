"""Options of commands that open slides without a project: how they are opened, and their scale."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.fields import section_values
from atlaspatch_core.errors import AtlasPatchError

if TYPE_CHECKING:
    from atlaspatch_core.config.sections import Slides
    from atlaspatch_core.discovery.slide_tables import TableMpp

OPENING = ("mpp", "mpp_csv", "mpp_keys", "reader", "series", "square_pixels")
"""Fields of ``[slides]`` that decide how a slide is opened."""


def slides_section(context: click.Context) -> "Slides":
    """Return what the options of a command say of slides. Raises click.UsageError for a value that cannot be."""
    from pydantic import ValidationError

    from atlaspatch_core.config.sections import Slides

    try:
        return Slides(**section_values(context)["slides"])
    except ValidationError as error:
        raise click.UsageError(
            "; ".join(problem["msg"].removeprefix("Value error, ") for problem in error.errors())
        ) from error


def stated_mpps(slides: "Slides") -> "Mapping[str, TableMpp]":
    """Return name to µm/px as the table states them. Raises click.UsageError for one that cannot be used."""
    from atlaspatch_core.discovery.slide_tables import read_mpp_csv

    try:
        return read_mpp_csv(slides.mpp_csv) if slides.mpp_csv else {}
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
