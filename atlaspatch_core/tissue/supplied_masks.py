"""Masks that a person supplies: GeoJSON or mask images, one file per slide, found by the slide's stem."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import numpy as np
import shapely

from atlaspatch_core.errors import AtlasPatchError, UnusableMask
from atlaspatch_core.hidden_names import without_hidden_names
from atlaspatch_core.slides.content_hash import file_signature
from atlaspatch_core.slides.isolated import call_reader
from atlaspatch_core.slides.readers import reader_suffixes
from atlaspatch_core.slides.slide import WHOLE_SLIDE, Bounds, NamesOf, OutlineFrame, SlideInfo, folded, only_stem
from atlaspatch_core.tissue.contours import (
    Contour,
    atlaspatch_contours,
    in_order,
    mask_to_polygons,
    read_outlines,
)
from atlaspatch_core.tissue.mask_images import JPEG, TIFF, is_of_slide_or_part, read_mask_image
from atlaspatch_core.tissue.mask_labels import SHARED, TABLES, is_outlines, values_of
from atlaspatch_core.tissue.morphology import Mask
from atlaspatch_core.tissue.outline_origin import Origin
from atlaspatch_core.tissue.outline_places import misplaced
from atlaspatch_core.tissue.outlines import TissueOutlines, within

SUPPLIED_CURE = "give them in px of level 0, or say from where they count (--masks-origin slide or bounds)"

UNCLEAR_PART = (
    "has the proportions of the slide and of the part of it that was scanned, and is taken for one of the whole slide; "
    "say which it is (--masks-origin slide or bounds)"
)
OUTLINED = 2
"""Version of how images are read and outlined: those of another are read again, and stale where outlines differ."""
GEOJSON = (".geojson", ".json")
IGNORED = "ignored_outlines"
"""Number of a mask: outlines that were cut out because they were to be."""
SUFFIXES = (*GEOJSON, ".png", *JPEG, *TIFF)
"""What a mask may be called behind its stem, in any case of letters."""
MASK_ENDINGS = ("_mask", "-mask", ".ome")
"""What tools put between stem and suffix."""


@dataclass(frozen=True, slots=True)
class MaskFolder:
    """A folder of masks, and which of them is whose."""

    folder: Path

    @property
    def files(self) -> list[Path]:
        """All that may be masks, by name."""
        return sorted(path for paths in _listing(self.folder).values() for path in paths)

    @property
    def others(self) -> tuple[str, ...]:
        """Names of what is neither a mask nor a table of labels; folders end with a slash."""
        if not self.folder.is_dir():
            return ()
        tables = {path.name for path in self.folder.iterdir() if path.suffix.lower() in TABLES}
        masks_and_tables = tables | {path.name for path in self.files}
        names = (path.name + "/" * path.is_dir() for path in self.folder.iterdir() if not path.name.startswith("."))
        return tuple(sorted(name for name in names if name not in masks_and_tables))

    def of(self, stem: str) -> list[Path]:
        """Return the masks of a slide, more than one where it is not clear which.

        ``STEM.png`` wins over what differs in capitals or in the composition of accents, and that over the names that
        other tools give: ``STEM_mask.png``, ``STEM.svs.geojson``.
        """
        listing = _listing(self.folder)
        exact = [path for path in listing.get(folded(stem), ()) if _base(path) == stem]
        ways = (exact, *(listing.get(folded(stem) + ending, ()) for ending in ("", *MASK_ENDINGS)))
        similar = next((list(paths) for paths in ways if paths), [])
        return similar or [path for suffix in reader_suffixes() for path in listing.get(folded(stem) + suffix, ())]


def find_mask(
    folder: Path | None, stem: str, names_of: NamesOf = only_stem, slide_folder: Callable[[], Path] | None = None
) -> Path | None:
    """Return the file in ``folder`` that holds the mask of a slide, or None; ``names_of`` tells its names.

    ``slide_folder`` returns where the slide lies: ``a_mask.png`` is no mask of ``a`` where there is a slide ``a_mask``.
    Raises UnusableMask when there are two.
    """
    every = [mask for name in names_of(stem) for mask in MaskFolder(folder).of(name)] if folder else []
    masks = list(dict.fromkeys(every))
    if slide_folder and any(has_ending(mask, name) for mask in masks for name in names_of(stem)):
        masks = [mask for mask in masks if not is_of_another(mask, stem, slide_folder())]
    if len(masks) > 1:
        raise UnusableMask(f"{stem}: {' and '.join(map(str, masks))} are both its mask; leave one")
    return masks[0] if masks else None


def has_ending(mask: Path, name: str) -> bool:
    """Tell whether a mask is called after a slide with an ending that other tools give: ``a_mask.png`` for ``a``."""
    return folded(_base(mask)) in {folded(name) + ending for ending in MASK_ENDINGS}


def is_of_another(mask: Path, stem: str, slide_folder: Path) -> bool:
    """Tell whether a slide beside that of ``stem`` has the very name of a mask."""
    if folded(_base(mask)) == folded(stem) or slide_folder == mask.parent:
        return False
    return any((slide_folder / f"{_base(mask)}{suffix}").exists() for suffix in reader_suffixes())


def _listing(folder: Path) -> dict[str, tuple[Path, ...]]:
    """Return the folded name, without the suffix of a mask, to the files that have it; read again when it changes."""
    try:
        return _listing_at(folder, folder.stat().st_mtime_ns)
    except OSError:
        return {}


@lru_cache(maxsize=4)
def _listing_at(folder: Path, mtime_ns: int) -> dict[str, tuple[Path, ...]]:  # noqa: ARG001
    files = [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()]
    tables = _tables(files)
    listing: dict[str, tuple[Path, ...]] = {}
    for path in sorted(set(files) - tables, key=lambda path: (SUFFIXES.index(path.suffix.lower()), path.name)):
        key = folded(_base(path))
        listing[key] = (*listing.get(key, ()), path)
    return listing


def _tables(files: Sequence[Path]) -> set[Path]:
    """Return those ``.json`` files that name the values of masks, of one or of all."""
    named = {SHARED} | {folded(name) for path in files if is_image(path) for name in (_base(path), path.name)}
    return {path for path in files if folded(_base(path)) in named and not is_image(path) and not is_outlines(path)}


def _base(path: Path) -> str:
    return path.name[: -len(path.suffix)]


def is_image(path: Path) -> bool:
    """Tell whether a mask is an image, to be outlined, rather than outlines."""
    return path.suffix.lower() not in GEOJSON


def tissue_values(path: Path, stem: str, labels: Sequence[int | str]) -> tuple[int, ...]:
    """Return the values of a mask image that are tissue, as numbers; none for outlines, which have no values.

    Raises UnusableMask for a name that the table of labels beside the mask does not have.
    """
    return values_of(path, stem, labels) if is_image(path) else ()


AS_DRAWN = " as drawn 2"
"""In the signature of a mask whose drawing decides patches; the number goes up with how drawings are told apart."""


def supplied_signature(
    path: Path, frame: OutlineFrame, origin: Origin, tissue_values: Sequence[int] = (), *, as_drawn: bool = False
) -> str:
    """Return what tells one state of a supplied file from another: its signature, and how it is read.

    ``as_drawn``: patches depend on every corner of it, too.
    """
    counted = f" {origin} {frame.x} {frame.y}" if any(frame[:2]) else ""
    counted += f" in px of {frame.across:.9g} {frame.down:.9g}" if frame[2:] != WHOLE_SLIDE[2:] else ""
    labels = f" values {','.join(map(str, tissue_values))}" if tissue_values and is_image(path) else ""
    outlined = f" outlined {OUTLINED}" if is_image(path) else ""
    return f"{file_signature(path)}{counted}{labels}{outlined}{AS_DRAWN * as_drawn}"


@dataclass(frozen=True, slots=True)
class SuppliedMask:
    """What a mask that a person supplied says."""

    polygons: tuple[shapely.Polygon, ...]
    """Valid, disjoint, within the slide, from top to bottom; level-0 px. No tissue is an empty mask."""
    notes: tuple[str, ...] = ()
    """What a person should know of it, a clause each: what was left out, what lies beside the slide."""
    numbers: Mapping[str, int] = field(default_factory=dict)
    """``ignored_outlines``: how many were cut out because they were to be, where some were."""
    drawing: str = ""
    """What tells it, corner for corner and px for px, from others of equal polygons."""


def read_mask(
    path: Path, info: SlideInfo, simplify_um: float, origin: Origin = "auto", tissue_values: Sequence[int] = ()
) -> SuppliedMask:
    """Return the mask that a person supplied.

    GeoJSON is ours, QuPath's or TRIDENT's, as ``read_outlines`` reads it; ``origin`` is from where it counts. An image
    covers the whole slide, or its bounds, at any scale; its outlines lie within ``simplify_um`` µm of its own;
    ``tissue_values`` are its labels that are tissue, all but zero where none is named. Raises UnusableMask when the
    file cannot be read, all its outlines lie beside the slide, or an image has other proportions or no background.
    """
    if is_image(path):
        mask, part = _read_image(path, info, origin, tissue_values)
        stretch = np.array([part.width / mask.shape[1], part.height / mask.shape[0]])
        polygons = mask_to_polygons(mask, stretch, info, simplify_um / info.mpp)
        place = np.array([part.x, part.y])
        is_unclear = origin == "auto" and is_of_slide_or_part(mask.shape[1], mask.shape[0], info)
        notes = (without_hidden_names(f"{path} {UNCLEAR_PART}"),) if is_unclear else ()
        placed = tuple(shapely.transform(piece, lambda points: points + place) for piece in polygons)
        return SuppliedMask(placed, notes, drawing=_drawing_of_image(mask, part))
    outlines = _read_outlines(path, info, origin)
    notes = outline_notes(path, outlines, info, SUPPLIED_CURE)
    inside = within(outlines.united(), info.width, info.height)
    return SuppliedMask(in_order(inside), notes, ignored_number(outlines), _drawing_of_outlines(outlines))


def read_drawing(
    path: Path,
    info: SlideInfo,
    origin: Origin = "auto",
    tissue_values: Sequence[int] = (),
    least_share: float = 0.0,
    drawing: str = "",
) -> tuple[tuple[shapely.Polygon, ...] | None, list[tuple[Contour, list[Contour]]] | None]:
    """Return a supplied mask as it was drawn, level-0 px, where it says more than its polygons do.

    Of outlines the polygons, corner for corner and in the order of the file; of an image the contours that AtlasPatch
    draws. Pieces below ``least_share`` of the slide's area are left out. Raises UnusableMask, also where the file is no
    longer the ``drawing`` that was taken over, if one is named.
    """
    if is_image(path):
        mask, part = _read_image(path, info, origin, tissue_values)
        _check_drawing(path, info.stem, drawing, _drawing_of_image(mask, part))
        contours = atlaspatch_contours(mask, part.width, part.height, least_share)
        place = np.array([part.x, part.y], np.int32)
        return None, [(exterior + place, [hole + place for hole in holes]) for exterior, holes in contours]
    least = least_share * info.width * info.height
    outlines = _read_outlines(path, info, origin)
    _check_drawing(path, info.stem, drawing, _drawing_of_outlines(outlines))
    return tuple(piece for piece in outlines.polygons if shapely.Polygon(piece.exterior).area >= least), None


def _read_image(path: Path, info: SlideInfo, origin: Origin, tissue_values: Sequence[int]) -> tuple[Mask, Bounds]:
    doing = f"while its mask {path} was read"
    return call_reader(info.stem, doing, read_mask_image, path, info, origin, tissue_values)


def _read_outlines(path: Path, info: SlideInfo, origin: Origin) -> TissueOutlines:
    try:
        return read_outlines(path, frame=info.outline_frame, origin=origin)
    except AtlasPatchError as error:
        cause = f" ({error.__cause__})" if isinstance(error.__cause__, ValueError) else ""
        raise UnusableMask(
            f"{info.stem}: its mask {path} is no GeoJSON that can be read{cause}; mend it or take it away"
        ) from error


def _check_drawing(path: Path, stem: str, taken_over: str, present: str) -> None:
    if taken_over not in ("", present):
        raise UnusableMask(
            f"{stem}: its mask {path} is not the one that was taken over; put that back, or run the step tissue_mask"
        )


def _drawing_of_image(mask: Mask, part: Bounds) -> str:
    return _hash(np.packbits(mask), np.array(mask.shape), np.array([part.x, part.y, part.width, part.height]))


def _drawing_of_outlines(outlines: TissueOutlines) -> str:
    return _hash(shapely.get_coordinates(list(outlines.polygons)) if outlines.polygons else np.zeros((0, 2)))


def _hash(*arrays: np.ndarray) -> str:
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()[:16]


def ignored_number(outlines: TissueOutlines) -> dict[str, int]:
    """Return ``ignored_outlines``, if there are any: what a person wants left out is counted, and no warning."""
    return {IGNORED: outlines.ignored} if outlines.ignored else {}


def outline_notes(path: Path, outlines: TissueOutlines, info: SlideInfo, cure: str) -> tuple[str, ...]:
    """Return what was left out of outlines, and which lie beside the slide, or beside what was scanned of it.

    Raises UnusableMask where all lie there; ``cure`` is what to do about it.
    """
    count, clause = misplaced(outlines.polygons, info)
    beside = f"in {path} {clause}; {cure}" if count else ""
    if count and count == len(outlines.polygons):
        raise UnusableMask(f"{info.stem}: {beside}")
    left_out = f"{path}: {outlines.left_out} left out of the tissue" if outlines.left_out else ""
    return tuple(without_hidden_names(note) for note in (left_out, beside) if note)
