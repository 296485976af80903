"""The report written: the page in the output folder, its figures, and a small picture of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.operations.report.cohort import gather_cohort
from atlaspatch_core.operations.report.labels import MapLabels, SlideLabels, read_labels
from atlaspatch_core.operations.report.page import Page, make_page, render_report
from atlaspatch_core.operations.report.rendering import write_page
from atlaspatch_core.operations.report.values import Failures
from atlaspatch_core.pipeline.preview import Picture, encode_small_jpeg
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.states import State

COLUMNS, ROWS, SIDE = 6, 4, 96
"""Pictures of the contact sheet, and the side of each, px."""
MOST_BYTES = 8000


@dataclass(frozen=True, slots=True)
class Report:
    """A report that was written."""

    path: Path
    numbers: dict[str, int]
    """Counts of slides and outputs."""
    picture: bytes
    """JPEG of at most 8 kB: the slides to look at first; empty where no slide has a picture."""
    labels: SlideLabels | None = None
    """What the table of labels says, where one was given."""


def write_report(
    recipe: Recipe,
    failures: Failures | None = None,
    path: Path | None = None,
    *,
    cohorts: Sequence[str] = (),
    discovery: Discovery | None = None,
    labels: MapLabels | None = None,
) -> Report:
    """Write the page about all slides of a project: one HTML file that opens from disk.

    Records, GeoJSON and HDF5 files are read; no slide is opened.

    Args:
        recipe: The project's.
        failures: Output to stem to why the last attempt failed, where that is known from elsewhere.
        path: Where the page goes; ``<output>/cohort_report.html`` by default.
        cohorts: Only slides of these; all by default.
        discovery: The slides, where they were found already; those in the project's folders by default.
        labels: A table of labels, and the columns by which the map of embeddings is coloured.

    Returns:
        The path, counts of slides and outputs, and a JPEG of at most 8 kB.

    Raises:
        OSError, UnwritableOutput: The page cannot be written.
        UnknownName: No slide is of a cohort.
        InvalidLabels: The table of labels cannot be used, lacks a column, or has no row of a slide.

    Example:
        >>> report = write_report(recipe, path=Path("cohort.html"))
        >>> report.numbers["slides"], report.numbers["patches"]
        (1, 56)
    """
    target = path or Store(recipe.project.output).report()
    cohort = gather_cohort(recipe, failures, cohorts, discovery)
    of_slides = read_labels(labels, [slide.stem for slide in cohort.slides]) if labels else None
    page = make_page(cohort, recipe.project, target.parent, of_slides)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_page(target, render_report(page))
    return Report(target, numbers(page), contact_sheet(page), of_slides)


def numbers(page: Page) -> dict[str, int]:
    """Return what the page counts."""
    states = [output.state for slide in page.cohort.slides for output in slide.outputs]
    return {
        "slides": len(page.cohort.slides),
        "failed_slides": len(page.failed),
        "odd_slides": len(page.odd),
        **{f"outputs_{state}": states.count(state) for state in State},
        "patches": sum(count for slide in page.cohort.slides for count in slide.patches.values()),
        "slides_in_map": max((len(each.points) for each in page.maps), default=0),
    }


def contact_sheet(page: Page) -> bytes:
    """Return the pictures of the first slides of the page side by side."""
    paths = [card.summary.picture for card in page.cards if card.summary.picture][: COLUMNS * ROWS]
    tiles = [tile for tile in map(_tile, paths) if tile is not None]
    if not tiles:
        return b""
    columns = min(COLUMNS, len(tiles))
    blank = np.full((SIDE, SIDE, 3), 255, np.uint8)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return encode_small_jpeg(np.vstack(rows), MOST_BYTES)


def _tile(path: Path) -> Picture | None:
    """Return a picture in the middle of a square; None where it is no picture."""
    read = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR_RGB)
    if read is None:
        return None
    factor = (SIDE - 4) / max(read.shape[:2])
    size = max(1, round(read.shape[1] * factor)), max(1, round(read.shape[0] * factor))
    small = cv2.resize(read, size, interpolation=cv2.INTER_AREA)
    tile = np.full((SIDE, SIDE, 3), 255, np.uint8)
    y, x = (SIDE - small.shape[0]) // 2, (SIDE - small.shape[1]) // 2
    tile[y : y + small.shape[0], x : x + small.shape[1]] = small
    return tile
