"""One torch file per slide and encoder: a dict of tensors and plain values that ``weights_only=True`` loads."""

from collections.abc import Iterator
from pathlib import Path

from atlaspatch_core.interop.export.files import digest, facts, write_tensor
from atlaspatch_core.interop.export.values import (
    Artifact,
    ExportLayout,
    ExportResult,
    GeometryResults,
    SlideResults,
    Target,
)
from atlaspatch_core.storage.schema import ATTENTION, COORDS, FEATURES, SLIDE_FEATURES, TISSUE_FRACTION

VERSION = 1


def artifacts(slide: SlideResults, target: Target) -> Iterator[Artifact]:  # noqa: ARG001
    """Yield the features of each patch encoder, and the embedding of each slide encoder."""
    for geometry in slide.geometries:
        for kind, results in ((FEATURES, geometry.features), (SLIDE_FEATURES, geometry.embeddings)):
            for result in results:
                path = geometry.home / f"{kind}_{result.name}" / f"{slide.stem}.pt"
                of = digest("pt", VERSION, kind, result.fingerprint, *([ATTENTION] if result.has_attention else []))
                yield Artifact(path, of, _writer(slide, geometry, result))


def _writer(slide: SlideResults, geometry: GeometryResults, result: ExportResult):
    def write(to: Path) -> None:
        attention = {ATTENTION: result.read_attention()} if result.has_attention else {}
        arrays = attention | {
            FEATURES: result.read_features(),
            COORDS: geometry.read_coords(),
            TISSUE_FRACTION: geometry.read_tissue_fraction(),
        }
        write_tensor(to, arrays | facts(slide, geometry, result))

    return write


PT = ExportLayout(
    "pt",
    "one torch file per slide and encoder: a dict of features, coords, tissue_fraction and what they are",
    artifacts,
    kinds=frozenset({"patch_features", "slide_embedding"}),
)
