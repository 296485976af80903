"""The templates of the two pages, filled in: one environment, one way of writing the time."""

from datetime import UTC, datetime

import jinja2

from atlaspatch_core.validity.states import State

SYMBOLS = {State.FRESH: "✓", State.STALE: "↻", State.MISSING: "·", State.FAILED: "✗"}


def render_template(name: str, **values: object) -> str:
    """Return the page as HTML that needs nothing beside it, but for linked pictures."""
    loader = jinja2.PackageLoader("atlaspatch_core.operations.report", "template")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.get_template(name).render(State=State, symbols=SYMBOLS, **values)


def current_time() -> str:
    """Return the time as the head of a page states it."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
