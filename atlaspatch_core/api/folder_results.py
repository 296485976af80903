"""What a run left in its output folder, read: features, coords, embeddings, and whether each may be used."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.api.embedding_tables import embedding_table
from atlaspatch_core.api.judged_outputs import JudgedOutputs
from atlaspatch_core.api.result_states import state_table
from atlaspatch_core.api.slide_records import slide_table
from atlaspatch_core.api.stored_outputs import StoredEncoders, choose_output
from atlaspatch_core.errors import NoSlides
from atlaspatch_core.operations.label_tables import LabelSource
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.storage.attention import read_attention
from atlaspatch_core.storage.hdf5 import read_attributes
from atlaspatch_core.storage.schema import PATCH_SIZE_LEVEL0
from atlaspatch_core.validity.outcome import OF_CASES, OutputKey
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from spatialdata import SpatialData


@dataclass(frozen=True)
class Results(JudgedOutputs):
    """What lay in an output folder when it was read; ``results`` makes it. Arrays are read when they are asked for."""

    @property
    def stems(self) -> tuple[str, ...]:
        """The slides that have coords, in order."""
        return tuple(sorted({stem for step, of in self.stored.items() if step.kind == "patch_coords" for stem in of}))

    @property
    def geometries(self) -> tuple[str, ...]:
        """Names of the geometries; empty for the one without a name."""
        return tuple(dict.fromkeys(step.geometry for step in self.stored))

    @cached_property
    def encoders(self) -> StoredEncoders:
        """Names of the encoders of which anything is stored."""
        kinds = ("patch_features", "slide_embedding", OF_CASES)
        return StoredEncoders(
            *(tuple(sorted({str(s.encoder) for s in self.stored if s.kind == kind})) for kind in kinds)
        )

    def features(
        self, stem: str, encoder: str | None = None, geometry: str | None = None, *, include_stale: bool = False
    ) -> NDArray[np.float32]:
        """Return the features of a slide's patches, float32 (n, d); row i is of row i of the coords.

        Args:
            stem: The slide.
            encoder: Patch encoder, by any of its names; needed where there are several.
            geometry: Name of the geometry; needed where there are several.
            include_stale: Return features, too, that are stale or unverified.

        Raises:
            UnknownName: There is no such encoder or geometry, or several and none was named.
            NotFresh: They are stale, missing or failed; the reason is named.

        Example:
            >>> read = ap.results("out")
            >>> read.features("CMU-1-Small-Region").shape, read.coords("CMU-1-Small-Region").shape
            ((56, 1280), (56, 2))
        """
        step = self.step("patch_features", encoder, geometry)
        return self.usable(stem, step, include_stale=include_stale).read().astype(np.float32, copy=False)

    def coords(self, stem: str, geometry: str | None = None, *, include_stale: bool = False) -> NDArray[np.int64]:
        """Return the top-left corners of a slide's patches, int64 (n, 2): x, y in level-0 px.

        Raises UnknownName and NotFresh as ``features`` does.
        """
        stored = self.usable(stem, self.step("patch_coords", None, geometry), include_stale=include_stale)
        return np.ascontiguousarray(stored.read()[:, :2], np.int64)

    def embedding(
        self, stem: str, encoder: str | None = None, geometry: str | None = None, *, include_stale: bool = False
    ) -> NDArray[np.float32]:
        """Return the embedding of a slide, float32 (d,). Raises UnknownName and NotFresh as ``features`` does.

        Example:
            >>> ap.results("out").embedding("CMU-1-Small-Region", "mean-efficientnet_lite0").shape
            (1280,)
        """
        step = self.step("slide_embedding", encoder, geometry)
        return self.usable(stem, step, include_stale=include_stale).read().astype(np.float32, copy=False)

    def attention(
        self, stem: str, encoder: str | None = None, geometry: str | None = None, *, include_stale: bool = False
    ) -> NDArray[np.float32]:
        """Return how much each patch counts in a slide's embedding, where that is kept (``keep_attention``).

        Float32 (n,), of an encoder with several heads (n, heads). Row i is of row i of the coords; a head sums to 1.
        Raises NoAttention where none is kept, UnknownName and NotFresh as ``features`` does.
        """
        step = self.step("slide_embedding", encoder, geometry)
        stored = self.usable(stem, step, include_stale=include_stale)
        return read_attention(stored.path, stored.dataset, stored.fingerprint)

    def patient_embedding(
        self, case_id: str, encoder: str | None = None, geometry: str | None = None, *, include_stale: bool = False
    ) -> NDArray[np.float32]:
        """Return the embedding of a case, float32 (d,). Raises UnknownName and NotFresh as ``features`` does."""
        return self.usable(case_id, self.step(OF_CASES, encoder, geometry), include_stale=include_stale).read()

    def patch_size_level0(self, stem: str, geometry: str | None = None) -> int:
        """Return the side of a slide's patches, level-0 px."""
        step = self.step("patch_coords", None, geometry)
        return int(read_attributes(self.usable(stem, step, include_stale=True).path)[PATCH_SIZE_LEVEL0])

    def slide(self, stem: str) -> SlideInfo:
        """Return what is recorded of a slide: path, µm/px, sizes, levels. Raises NoSlides where nothing is.

        Example:
            >>> slide = ap.results("out").slide("CMU-1-Small-Region")
            >>> slide.path.name, slide.mpp, slide.width
            ('CMU-1-Small-Region.svs', 0.499, 2220)
        """
        record = self.store.read_record(stem).slide
        if record is None:
            raise NoSlides(f"{stem}: no such slide is recorded in {self.output}; it has {len(self.stems)}, see .stems")
        return record.info

    def slides(self) -> "pd.DataFrame":
        """Return what is recorded of all slides, a row each, also of those without tissue; the index is the stem.

        Columns: ``path``, ``mpp`` (µm/px of level 0), ``mpp_source``, ``magnification``, ``width`` and ``height``
        (level-0 px), ``levels`` (how many), ``reader``, ``vendor`` and ``stain`` (None where the file states none).
        Slides whose records cannot be read are left out, which one warning says.

        Example:
            >>> ap.results("out").slides()[["mpp", "width", "levels"]].to_dict("list")
            {'mpp': [0.499], 'width': [2220], 'levels': [1]}
        """
        index = self.verdicts.selection.index
        return slide_table(self.store, sorted({*index.slides, *index.broken}))

    def tissue(self, stem: str) -> tuple[shapely.Polygon, ...]:
        """Return the outlines of a slide's tissue, polygons with holes in level-0 px, whoever drew them."""
        slide = self.slide_results(stem, include_stale=True)
        return slide.read_outlines(slide.mask) if slide.mask else ()

    def states(self) -> "pd.DataFrame":
        """Return the state of every output of every slide and case, a row each.

        Columns: ``stem`` (of a case its case_id), ``geometry``, ``output``, ``encoder``, ``state`` (fresh, stale,
        missing, failed or unverified) and ``why``.

        Example:
            >>> set(ap.results("out").states().state)
            {'fresh'}
        """
        of_slides = self.verdicts.selection.verdicts
        rows = [(stem, step, verdict) for stem in sorted(of_slides) for step, verdict in of_slides[stem].items()]
        cases = {(case, step) for step, of in self.stored.items() if step.kind == OF_CASES for case in of}
        of_cases = sorted(cases | self.verdicts.case_verdicts.keys(), key=str)
        return state_table([*rows, *((case, step, self.verdict(case, step)) for case, step in of_cases)])

    def embeddings(
        self,
        encoder: str | None = None,
        geometry: str | None = None,
        *,
        labels: "str | Path | pd.DataFrame | None" = None,
        on: str | None = None,
        patients: bool = False,
        include_stale: bool = False,
    ) -> "pd.DataFrame":
        """Return one row a slide: the columns of a table of labels, then the numbers of its embedding.

        The index is the stem; the numbers are called ``<encoder>_0`` and so on. Slides whose embedding is not fresh,
        and rows on one side of the join alone, are left out, which one warning says.

        Args:
            encoder: Slide encoder, or patient encoder with ``patients``; needed where there are several.
            geometry: Name of the geometry; needed where there are several.
            labels: Path of a CSV or Parquet file, or a table of pandas: a row a slide, or a row a case.
            on: The column of ``labels`` that names slides or cases; by default one called stem, slide_id, case_id …
            patients: Embeddings of cases, the index their case_id.
            include_stale: Embeddings, too, that are stale or unverified.

        Raises:
            UnknownName: There is no such encoder or geometry, or several and none was named.
            InvalidLabels: The table has no column that names slides, or two rows of one slide.

        Example:
            >>> ap.results("out").embeddings("mean-efficientnet_lite0").shape
            (1, 1280)
        """
        step = self.step(OF_CASES if patients else "slide_embedding", encoder, geometry)
        usable, refused = self.usable_outputs(step, include_stale=include_stale)
        case_of = {} if patients else self.verdicts.case_of
        return embedding_table(step, usable, refused, None if labels is None else LabelSource(labels, on, case_of))

    def to_anndata(
        self, stem: str, encoder: str | None = None, geometry: str | None = None, *, include_stale: bool = False
    ) -> "AnnData":
        """Return a slide's patches as AnnData: X features, ``obsm["spatial"]`` centres, the thumbnail for squidpy.

        As ``atlaspatch export --layout anndata`` writes it. Raises MissingExtra without the extra ``anndata``, and
        UnknownName and NotFresh as ``features`` does.
        """
        from atlaspatch_core.interop.export.anndata import to_anndata

        step = self.step("patch_features", encoder, geometry)
        slide = self.usable_results(stem, [step], include_stale=include_stale)
        [of_geometry] = slide.geometries
        return to_anndata(slide, of_geometry, of_geometry.features[0])

    def to_spatialdata(
        self,
        stem: str,
        encoders: Collection[str] | None = None,
        geometry: str | None = None,
        *,
        include_stale: bool = False,
    ) -> "SpatialData":
        """Return a slide as SpatialData: thumbnail, tissue and patches as shapes, a table of features an encoder.

        As ``atlaspatch export --layout spatialdata`` writes it, in the coordinate systems ``global`` (level-0 px) and
        ``um``. Raises MissingExtra without the extra ``spatialdata``, and UnknownName and NotFresh as
        ``features`` does.
        """
        from atlaspatch_core.interop.export.spatialdata import to_spatialdata

        coords = self.step("patch_coords", None, geometry)
        names = self.encoders.patch if encoders is None else encoders
        of_geometry = {step for step in self.stored if step.geometry == coords.geometry}
        steps = [choose_output(of_geometry, "patch_features", name, None, self.output) for name in names]
        slide = self.usable_results(stem, steps or [coords], include_stale=include_stale)
        return to_spatialdata(slide, slide.geometries[0])

    def __repr__(self) -> str:
        slides = format_count(len(self.stems), "slide")
        head = f"{self.output}: {slides} with patches, judged by {self.verdicts.judged_by}"
        return "\n".join([head, *(f"  {step}: {self._counts(step)}" for step in self.stored)])

    def _counts(self, step: OutputKey) -> str:
        usable, refused = self.usable_outputs(step)
        return f"{len(usable)} fresh" + (f", {len(refused)} not" if refused else "")
