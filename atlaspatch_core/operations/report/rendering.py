"""The templates of the two pages, filled in: one environment, one way of writing the time."""

import base64
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import jinja2

from atlaspatch_core.storage.atomic import replacing
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.states import State, Validity

MOST_EMBEDDED = 100
"""Slides up to which pictures, at most 8 kB each, are part of the page; beyond, they are linked."""
SYMBOLS = {State.FRESH: "✓", State.STALE: "↻", State.MISSING: "·", State.FAILED: "✗"}


Coverage = tuple[tuple[OutputKey, Mapping[State, int]], ...]
"""Of every step, how many slides or cases are in which state."""


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


def count_states(steps: Iterable[OutputKey], outputs: Iterable[Validity]) -> Coverage:
    """Return of every step how many of the outputs are in which state."""
    counts = {step: Counter[State]() for step in steps}
    for output in outputs:
        counts[output.step][output.state] += 1
    return tuple(counts.items())


def write_page(path: Path, html: str) -> None:
    """Write a page, whole or not at all. Raises OSError, UnwritableOutput."""
    with replacing(path) as temporary:
        temporary.write_text(html, encoding="utf-8", errors="backslashreplace")


def picture_url(path: Path | None, folder: Path, *, embed: bool) -> str:
    """Return a JPEG as a URL for a page in ``folder``, as data or as a link; empty where there is none."""
    if path is None:
        return ""
    if embed:
        return f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}"
    return quote(Path(os.path.relpath(path.absolute(), folder)).as_posix())
