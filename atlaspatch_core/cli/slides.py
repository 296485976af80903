"""The slides of a project, or what to tell the user when they cannot be had."""

from typing import TYPE_CHECKING

import click

from atlaspatch_core.errors import AtlasPatchError, NoSlides

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project
    from atlaspatch_core.discovery.find import Discovery


def slides_of(project: "Project") -> "Discovery":
    """Return the slides that the project points at; what had to be left out is told on stderr.

    Raises click.UsageError for a table that cannot be used, click.ClickException where there is no slide.
    """
    found = _find(project)
    tell_unused(project, found)
    return found


def slides_at_rest(project: "Project", *, strict: bool = False) -> "Discovery":
    """Return the slides that can be worked on now: as ``slides_of``, without those that are still being copied."""
    from atlaspatch_core.discovery.stability import leave_copies

    found = leave_copies(_find(project))
    tell_unused(project, found, strict=strict)
    return found


def left_out_line(found: "Discovery") -> str:
    """Return how much was left out, for the end of a run, or an empty text."""
    count = len(found.left_out)
    return (
        f"{count} left out: {'; '.join(left.why for left in found.left_out[:3])}{' …' * (count > 3)}" if count else ""
    )


def _find(project: "Project") -> "Discovery":
    from atlaspatch_core.discovery.find import find_slides

    try:
        return find_slides(project)
    except NoSlides as error:
        raise click.ClickException(str(error)) from error
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error


def tell_unused(project: "Project", found: "Discovery", *, strict: bool = False) -> None:
    """Say what is left out, and which rows and masks served no slide.

    Raises click.UsageError where none did, and with ``strict`` where one did not.
    """
    from atlaspatch_core.discovery.unused import unused_inputs

    if found.not_searched:
        click.echo(f"NOT SEARCHED: {found.not_searched}", err=True)
    for left in found.left_out:
        click.echo(f"LEFT OUT: {left.why}", err=True)
    for unused in unused_inputs(project.slides, found):
        if unused.serves_none or strict:
            raise click.UsageError(f"{unused.text}; write the names of slides as they are, or leave it out")
        click.echo(f"WARNING: {unused.text}", err=True)
