"""Results for other programs: a table of layouts, and the export of a project or of an output folder."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from atlaspatch_core.errors import UnknownName
from atlaspatch_core.interop.export.anndata import ANNDATA
from atlaspatch_core.interop.export.clam import CLAM
from atlaspatch_core.interop.export.folder import select_folder
from atlaspatch_core.interop.export.geojson import GEOJSON
from atlaspatch_core.interop.export.parquet import PARQUET
from atlaspatch_core.interop.export.pt import PT
from atlaspatch_core.interop.export.run import check, export
from atlaspatch_core.interop.export.selection import Choice
from atlaspatch_core.interop.export.trident import TRIDENT
from atlaspatch_core.interop.export.valid_results import Selection, select
from atlaspatch_core.interop.export.values import Exported, ExportLayout, ExportStatus, Options, Target
from atlaspatch_core.validity.recipe import Recipe

__all__ = [
    "LAYOUTS",
    "Choice",
    "ExportLayout",
    "ExportStatus",
    "Exported",
    "Options",
    "Selection",
    "Target",
    "export_selected",
    "export_slides",
    "find_layout",
    "select",
    "select_folder",
]

LAYOUTS: Mapping[str, ExportLayout] = MappingProxyType(
    {layout.name: layout for layout in (TRIDENT, CLAM, PT, ANNDATA, PARQUET, GEOJSON)}
)
"""Name to layout."""
EVERYTHING_FRESH = Choice()
DEFAULTS = Options()


def find_layout(name: str) -> ExportLayout:
    """Return the layout of a name. Raises UnknownName."""
    if name not in LAYOUTS:
        raise UnknownName(f"there is no layout {name}; choose among {', '.join(LAYOUTS)}")
    return LAYOUTS[name]


def export_slides(
    recipe: Recipe,
    layout: str,
    folder: Path,
    *,
    stems: Collection[str] | None = None,
    choice: Choice = EVERYTHING_FRESH,
    options: Options = DEFAULTS,
    dry_run: bool = False,
    force: bool = False,
) -> Iterator[Exported]:
    """Yield what becomes of every slide of a project, or of these, as its files are written to ``folder``.

    What was exported before from the very same results is left alone. No slide is opened.

    Args:
        recipe: What the project asks for; results are read from its output folder.
        layout: A name in ``LAYOUTS``: trident, clam, pt, anndata, parquet or geojson.
        folder: Where the files go.
        stems: Slides to export; all by default.
        choice: Encoders and geometries, and whether stale results go too; by default all that is fresh.
        options: What layouts differ in, such as ``.pt`` beside ``.h5``.
        dry_run: Say what would be written, and write nothing.
        force: Replace files that this export did not write.

    Yields:
        One outcome a slide: written, unchanged, or refused with the reason.

    Raises:
        UnknownName: There is no such layout; raised at once, as are the others.
        InvalidProject: The folder cannot be the target, say for it is the output itself.
        MissingExtra: A library of the layout is not installed.

    Example:
        >>> [exported] = export_slides(recipe, "geojson", Path("qupath"))
        >>> exported.stem, [path.name for path in exported.written]
        ('CMU-1-Small-Region', ['CMU-1-Small-Region.geojson'])
    """
    target = Target(folder, find_layout(layout), options, dry_run=dry_run, force=force)
    return export_selected(select(recipe, choice, stems), target)


def export_selected(selection: Selection, target: Target) -> Iterator[Exported]:
    """Yield the same of a selection. Raises at once InvalidProject and MissingExtra."""
    check(selection, target)
    choice = replace(selection.choice, kinds=target.layout.holds(target.options))
    return export(replace(selection, choice=choice), target)
