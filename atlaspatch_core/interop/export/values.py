"""What an export deals with: results of a slide, files to make of them, and what became of a slide."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from atlaspatch_core.patches.scale import Sampling
from atlaspatch_core.slides.slide import WHOLE_SLIDE, OutlineFrame, SlideInfo
from atlaspatch_core.storage.attention import read_attention
from atlaspatch_core.storage.hdf5 import read_array, read_attributes, stored_fingerprint
from atlaspatch_core.storage.schema import (
    ATLASPATCH_VERSION,
    COORDS,
    CREATED_AT,
    FILE_PX,
    FINGERPRINT,
    INPUTS,
    OVERLAP,
    PATCH_MPP,
    PATCH_SIZE,
    PATCH_SIZE_LEVEL0,
    RECIPE,
    STEP_SIZE_LEVEL0,
    TARGET_MAGNIFICATION,
    TISSUE_FRACTION,
    attention_of,
)
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.contours import read_geojson, written_frame
from atlaspatch_core.tissue.outline_origin import Origin

ALL_KINDS = frozenset({"tissue_mask", "patch_features", "slide_embedding"})


class ExportStatus(StrEnum):
    """What became of a slide, or of one file."""

    WRITTEN = "written"
    UNCHANGED = "unchanged"
    """It was exported before, from the very same results."""
    PLANNED = "planned"
    """It would be written: this was a dry run."""
    MISSING = "missing"
    """Something that was asked for was never made; all else was exported."""
    REFUSED = "refused"
    """Something is not valid, or a file that is not ours lies in its place; all else was exported."""
    FAILED = "failed"
    """Nothing of the slide was written."""

    @property
    def fine(self) -> bool:
        """Whether all that was asked for is in the target, or would be."""
        return self in (ExportStatus.WRITTEN, ExportStatus.UNCHANGED, ExportStatus.PLANNED)


@dataclass(frozen=True, slots=True)
class Exported:
    """What became of one slide."""

    stem: str
    fate: ExportStatus
    why: str = ""
    """Why something was refused or failed: one sentence."""
    written: tuple[Path, ...] = ()
    """Files that were written; in a dry run, that would be."""
    unchanged: tuple[Path, ...] = ()
    """Files that were there already, made of the very same results."""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Options:
    """What some layouts let the user choose."""

    pt: bool = False
    """trident: write features as ``.pt`` too."""
    column: str = TISSUE_FRACTION
    """geojson: ``tissue_fraction``, ``norm``, ``pc1`` to ``pc3``, or the number of a feature from 0 on."""


@dataclass(frozen=True, slots=True)
class ExportResult:
    """One result as it lies in a file."""

    path: Path
    dataset: str
    """Path in the HDF5 file; empty for a mask, which is a GeoJSON file."""
    fingerprint: str
    name: str = ""
    """Encoder; empty for masks and coords."""

    def read(self) -> NDArray[Any]:
        """Return the array. Raises OutOfDate when another process has replaced it meanwhile."""
        return read_array(self.path, self.dataset, self.fingerprint)

    def read_features(self) -> NDArray[np.float32]:
        """Return features or an embedding. Raises OutOfDate."""
        return self.read().astype(np.float32, copy=False)

    @property
    def has_attention(self) -> bool:
        """Whether attention that goes with it is kept: beside some embeddings it is."""
        name = attention_of(self.dataset)
        return bool(name) and stored_fingerprint(self.path, name) == self.fingerprint

    def read_attention(self) -> NDArray[np.float32]:
        """Return how much each patch counts in an embedding, (n,) or (n, heads). Raises NoAttention, OutOfDate."""
        return read_attention(self.path, self.dataset, self.fingerprint)

    def attributes(self) -> dict[str, Any]:
        """Return the attributes of the dataset."""
        return read_attributes(self.path, self.dataset)

    def provenance(self) -> dict[str, str]:
        """Return where the result comes from, under names that no other program uses."""
        names = (FINGERPRINT, RECIPE, INPUTS, ATLASPATCH_VERSION, CREATED_AT)
        attributes = self.attributes()
        return {
            f"atlaspatch_{name.removeprefix('atlaspatch_')}": str(attributes[name])
            for name in names
            if name in attributes
        }


@dataclass(frozen=True, slots=True)
class GeometryResults:
    """The results of one slide and geometry that are to be exported."""

    name: str
    """Of the geometry in the project, empty for the only one."""
    coords: ExportResult
    file: Mapping[str, Any]
    """Attributes of the HDF5 file."""
    features: tuple[ExportResult, ...] = ()
    embeddings: tuple[ExportResult, ...] = ()

    @property
    def home(self) -> Path:
        """Subfolder for the geometry, where projects have several; relative."""
        return Path(self.name)

    @property
    def folder(self) -> str:
        """Name by magnification, patch size and overlap, such as ``20x_256px_0px_overlap``."""
        file = self.file
        return f"{file[TARGET_MAGNIFICATION]:g}x_{file[PATCH_SIZE]}px_{file[OVERLAP]}px_overlap"

    def read_coords(self) -> NDArray[np.int64]:
        """Return the top-left corners, shape (n, 2): x, y, level-0 px."""
        return np.ascontiguousarray(self.coords.read()[:, :2], dtype=np.int64)

    def read_tissue_fraction(self) -> NDArray[np.float32]:
        """Return the tissue share of each patch, shape (n,); NaN where it was never measured."""
        if TISSUE_FRACTION in self.file["datasets"]:
            return read_array(self.coords.path, TISSUE_FRACTION)
        return np.full(len(self.coords.read()), np.nan, np.float32)

    def sampling(self) -> Sampling:
        """Return how the patches are cut; without any patch, from level 0."""
        file, rows = self.file, read_array(self.coords.path, COORDS)[:1]
        size = int(file[PATCH_SIZE_LEVEL0])
        read, level = (int(rows[0, 2]), int(rows[0, 4])) if len(rows) else (size, 0)
        step, mpp = int(file.get(STEP_SIZE_LEVEL0, size)), float(file.get(PATCH_MPP, np.nan))
        return Sampling(int(file[PATCH_SIZE]), level, read, size, step, mpp)


@dataclass(frozen=True, slots=True)
class SlideResults:
    """The results of one slide that are to be exported, and what of it is not."""

    stem: str
    store: Store
    info: SlideInfo | None = None
    """None where nothing is remembered of the slide itself."""
    slide: str = ""
    """Fingerprint of the slide."""
    mask: ExportResult | None = None
    geometries: tuple[GeometryResults, ...] = ()
    refused: tuple[str, ...] = ()
    """Results that are there and not valid, and why."""
    missing: tuple[str, ...] = ()
    """Outputs that were asked for and never made."""
    origin: Origin = "auto"
    """From where its outlines count, if they do not say so."""

    @property
    def frame(self) -> OutlineFrame:
        """From where outlines count, and in which px."""
        return self.info.outline_frame if self.info else WHOLE_SLIDE

    @property
    def written_frame(self) -> OutlineFrame:
        """From where coordinates for QuPath count, and in which px."""
        return written_frame(self.frame, self.origin)

    def read_outlines(self, mask: ExportResult) -> tuple[shapely.Polygon, ...]:
        """Return the polygons of its mask, level-0 px."""
        self.store.check_outlines(self.stem)
        return read_geojson(mask.path, frame=self.frame, origin=self.origin)

    @property
    def in_file_px(self) -> "SlideResults":
        """The same without results whose coords count squares that are made of the px of the file."""
        squares = [geometry for geometry in self.geometries if FILE_PX in geometry.file]
        if not squares:
            return self
        across, down = squares[0].file[FILE_PX]
        why = (
            f"its coords count squares of {across:g} × {down:g} px of the file (--square-pixels), and readers of this "
            "layout would cut other places by them; export features as pt or anndata, and patches as geojson"
        )
        rest = tuple(geometry for geometry in self.geometries if FILE_PX not in geometry.file)
        return replace(self, geometries=rest, refused=(*self.refused, why))

    @property
    def without_patches(self) -> bool:
        """Whether its coords are there and have no row: then it has no embedding, and lacks none."""
        return bool(self.geometries) and not any(len(geometry.coords.read()) for geometry in self.geometries)


@dataclass(frozen=True, slots=True)
class Placed:
    """What became of one file."""

    path: Path
    fate: ExportStatus
    why: str = ""


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file to make."""

    path: Path
    """Relative to the target folder."""
    of: str
    """What decides its content, hashed; an equal one is not written again."""
    write: Callable[[Path], object]
    own: Path | None = None
    """File of the project that it is a copy of: where both are one, nothing is to be done."""
    is_folder: bool = False
    """Whether it is a folder with files in it, such as a Zarr store."""


def check_nothing(options: Options) -> None:
    """Find any options good."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where files go, and how."""

    folder: Path
    layout: "ExportLayout"
    options: Options = Options()
    dry_run: bool = False
    force: bool = False
    """Replace files that this export did not write."""


@dataclass(frozen=True, slots=True)
class ExportLayout:
    """How files lie in the target folder, for whoever reads them: a file or several a slide, or one for all."""

    name: str
    summary: str
    artifacts: Callable[[SlideResults, Target], Iterator[Artifact]] | None = None
    """Returns the files of one slide; None where all slides go into one file."""
    cohort: Callable[[Sequence[SlideResults], Target], Placed] | None = None
    """Makes what is one file for all slides."""
    needs: tuple[str, str] | None = None
    """Module that must be installed, and the extra that brings it."""
    kinds: Callable[[Options], frozenset[str]] | frozenset[str] = ALL_KINDS
    """Kinds of steps whose results it holds, beside coords, which it always does."""
    options: frozenset[str] = field(default_factory=frozenset)
    """Names of the fields of Options that it heeds."""
    check: Callable[[Options], None] = check_nothing
    """Raises InvalidProject for options that it cannot heed."""
    beside: bool = False
    """Whether it may lie in the output folder that it is made from."""
    cuts_patches: bool = False
    """Whether its readers cut patches from the slide's file by the coords, which then must count px of the file."""
    plugin: str | None = None
    """sha256 of the plugin file that declares it."""

    def __post_init__(self) -> None:
        if self.artifacts is None and self.cohort is None:
            raise ValueError(f"the layout {self.name} makes no file; give it artifacts=, a function")

    def holds(self, options: Options) -> frozenset[str]:
        """Return the kinds of steps whose results it holds."""
        return self.kinds if isinstance(self.kinds, frozenset) else self.kinds(options)
