"""The slides of a project, or what to tell the user when they cannot be had."""

from typing import TYPE_CHECKING

import click

from atlaspatch_core.errors import AtlasPatchError, NoSlides

if TYPE_CHECKING:
    from atlaspatch_core.discovery import Discovery
    from atlaspatch_core.project import Project


def slides_of(project: "Project") -> "Discovery":
    """Return the slides that the project points at.

    Raises click.UsageError for a table of mpp that cannot be used, click.ClickException where there is no slide.
    """
    from atlaspatch_core.discovery import find_slides

    try:
        return find_slides(project)
    except NoSlides as error:
        raise click.ClickException(str(error)) from error
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error
