"""What needs a person today, as one page."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core import __version__
from atlaspatch_core.operations.report.needs import MEANINGS, Need
from atlaspatch_core.operations.report.rendering import Coverage, current_time, render_template

MOST_STEMS = 200
"""Slides of a group that are named; the status page has all."""


@dataclass(frozen=True, slots=True)
class NeedsPage:
    """What the template shows."""

    output: Path
    slide_count: int
    busy_count: int
    """Slides that are worked on now."""
    needs: Sequence[Need]
    coverage: Coverage
    notes: Sequence[str]
    """What holds everything up, in sentences."""
    links: Mapping[str, str]
    """Name to URL of the other pages."""
    link_of: Callable[[Need, str], str]
    """Returns the URL of a page about a slide, or an empty text."""
    made_at: str = ""
    version: str = __version__


def render_needs_page(page: NeedsPage) -> str:
    """Return the page as HTML that needs nothing beside it."""
    return render_template(
        "needs.html", page=page, meanings=MEANINGS, most=MOST_STEMS, made_at=page.made_at or current_time()
    )
