"""Projects with results for tests of the export: painted slides, the encoder that comes with the package."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from painting import paint_slide, stain, white

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.interop.export import Exported, Options, export_slides
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.validity.outcome import Status
from atlaspatch_core.validity.recipe import Recipe, make_recipe

ENCODER, EMBEDDER = "efficientnet_lite0", "mean-efficientnet_lite0"
GEOMETRY = {"patch_size": 256, "target_mag": 20, "precision": "float32", "slide_encoders": [EMBEDDER]}


def recipe_of(folder: Path, *more: Mapping[str, Any], **changes: Any) -> Recipe:
    """Return the recipe of a project with one geometry, changed, or with several."""
    values = {
        "output": folder / "out",
        "geometry": [GEOMETRY | dict(other) for other in (more or [changes.pop("geometry", {})])],
        "tissue": {"min_tissue_um2": 1000.0},
        "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
    }
    return make_recipe(make_project(values | changes, origin="test"))


def paint(folder: Path, stem: str, patches: int = 4, *, mpp: float = 0.5) -> SlideSource:
    """Paint a slide with some 256-px patches of tissue side by side, each of another shade."""
    pixels = white(2048, 1024)
    for number in range(patches):
        stain(pixels, 256 * (number % 4 + 1), 256 * (number // 4 + 1), 256, 256, (200, 80, 100 + 10 * number))
    return SlideSource(stem, paint_slide(folder / f"{stem}.svs", pixels, mpp=mpp))


def make(recipe: Recipe, sources: Iterable[SlideSource]) -> None:
    """Compute everything that the recipe asks for."""
    outcomes = list(process(sources, recipe))
    assert not [outcome.why for outcome in outcomes if outcome.status is Status.FAILED]


def exported(recipe: Recipe, layout: str, folder: Path, **options: Any) -> dict[str, Exported]:
    """Export, and return stem to outcome."""
    chosen = {name: options.pop(name) for name in ("pt", "column") if name in options}
    return {it.stem: it for it in export_slides(recipe, layout, folder, options=Options(**chosen), **options)}
