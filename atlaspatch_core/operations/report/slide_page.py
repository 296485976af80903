"""One slide as a page: the state of each output, what is odd, and the pictures there are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core import __version__
from atlaspatch_core.operations.report.rendering import current_time, picture_url, render_template
from atlaspatch_core.operations.report.status_page import MEANINGS
from atlaspatch_core.operations.tracking.project_status import ProjectStatus
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.states import Validity


@dataclass(frozen=True, slots=True)
class SlidePage:
    """What the template shows."""

    stem: str
    output: Path
    """Folder of the outputs."""
    outputs: tuple[Validity, ...]
    """Of a slide or a case, upstream first."""
    warnings: tuple[str, ...]
    pictures: tuple[tuple[str, str], ...]
    """What each shows, and its URL."""
    made_at: str
    version: str
    link_of: Callable[[OutputKey], str]
    """Returns the URL of a page about an output of this slide, or an empty text."""


def slide_page(status: ProjectStatus, stem: str, folder: Path, link_of: Callable[[OutputKey], str]) -> SlidePage | None:
    """Return the page of a slide or case, None where the project has none of this name.

    ``folder`` is where the page will lie; pictures are linked from there.
    """
    outputs = tuple(each for each in (*status.outputs, *status.cases) if each.stem == stem)
    if not outputs:
        return None
    store = Store(status.recipe.project.output)
    names = [geometry.name for geometry in status.recipe.project.geometry]
    pictures = tuple(
        (words, picture_url(path, folder, embed=False))
        for words, path in _pictures(store, stem, names)
        if path.is_file()
    )
    warnings = status.warnings.get(stem, ())
    return SlidePage(stem, store.output.resolve(), outputs, warnings, pictures, current_time(), __version__, link_of)


def _pictures(store: Store, stem: str, geometries: list[str]) -> Iterator[tuple[str, Path]]:
    yield "thumbnail", store.thumbnail(stem)
    yield "outlines of the tissue", store.contours(stem)
    for name in geometries:
        yield f"patches {name}".strip(), store.visualization(stem, name)


def render_slide_page(page: SlidePage) -> str:
    """Return the page as HTML that needs nothing beside it but the linked pictures."""
    return render_template("slide.html", page=page, meanings=MEANINGS)
