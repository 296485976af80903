"""The slides of a project, or what to tell the user when they cannot be had."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.logs import notice
from atlaspatch_core.errors import AtlasPatchError, NoSlides
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_core.config.project import Project
    from atlaspatch_core.discovery.shards import Shard
    from atlaspatch_core.discovery.sources import Discovery
    from atlaspatch_core.validity.recipe import Recipe


def slides_of(project: "Project") -> "Discovery":
    """Return the slides that the project points at; what had to be left out is told on stderr.

    Raises click.UsageError for a table that cannot be used, click.ClickException where there is no slide.
    """
    discovery = _find(project)
    report_unused(project, discovery)
    return discovery


def slides_at_rest(
    project: "Project",
    *,
    strict: bool = False,
    shard: "Shard | None" = None,
    choose: "Callable[[Discovery], Collection[str]] | None" = None,
) -> "Discovery":
    """Return the slides that can be worked on now: as ``slides_of``, without those that are still being copied.

    Of those that ``choose`` returns the stems of, or of all, a ``shard`` takes its part.
    """
    from atlaspatch_core.discovery.stability import leave_copies

    every = _find(project)
    discovery = every.of(choose(every)) if choose else every
    if shard:
        discovery = _part_of(discovery, project, shard)
    discovery = leave_copies(discovery)
    report_unused(project, replace(every, left_out=discovery.left_out), strict=strict)
    return discovery


def _part_of(discovery: "Discovery", project: "Project", shard: "Shard") -> "Discovery":
    """Return what a shard takes, which is told in one line."""
    if shard.origin and len(discovery.paths) == 1:
        notice(f"Shard {shard} ({shard.origin}): one slide is not divided")
        return discovery
    from atlaspatch_core.discovery.shard_slides import take_shard

    part = take_shard(discovery, project, shard)
    notice(part.text)
    return part.discovery


def left_out_line(discovery: "Discovery") -> str:
    """Return how much was left out, for the end of a run, or an empty text."""
    count = len(discovery.left_out)
    return (
        f"{count} left out: {'; '.join(omission.why for omission in discovery.left_out[:3])}{' …' * (count > 3)}"
        if count
        else ""
    )


def tell_former_results(recipe: "Recipe") -> None:
    """Say, before anything is computed, what lies under a former name of a geometry and can be taken over."""
    from atlaspatch_core.operations.former_results import find_former_results

    for former in find_former_results(recipe):
        notice(f"WARNING: {former.text}")


def _find(project: "Project") -> "Discovery":
    from atlaspatch_core.discovery.find import find_slides

    try:
        return find_slides(project)
    except NoSlides as error:
        raise click.ClickException(str(error)) from error
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error


def report_unused(project: "Project", discovery: "Discovery", *, strict: bool = False) -> None:
    """Say what is left out, and which rows and masks served no slide.

    Raises click.UsageError where none did, and with ``strict`` where one did not.
    """
    from atlaspatch_core.discovery.private_slides import results_under_file_names
    from atlaspatch_core.discovery.unused import slides_without_mask, unused_inputs

    if earlier := results_under_file_names(project, discovery):
        notice(f"WARNING: {earlier}")
    if discovery.not_searched:
        notice(f"NOT SEARCHED: {discovery.not_searched}")
    if discovery.pictures_left_out:
        notice(f"PICTURES: {discovery.pictures_left_out}")
    for omission in discovery.left_out:
        notice(f"LEFT OUT: {omission.why}")
    for unused in unused_inputs(project.slides, discovery):
        if unused.serves_none or strict:
            raise click.UsageError(f"{unused.text}; {unused.cure}")
        notice(f"WARNING: {unused.text}")
    if stems := slides_without_mask(project.slides, discovery):
        notice(f"NO MASK: {_without_mask(project, stems, len(discovery.paths))}")


def _without_mask(project: "Project", stems: Sequence[str], total: int) -> str:
    shown = f"{', '.join(stems[:3])}{' …' * (len(stems) > 3)}"
    return (
        f"{len(stems)} of {format_count(total, 'slide')} in {project.slides.masks} ({shown}): "
        f"{project.tissue.segmenter} finds the tissue"
    )
