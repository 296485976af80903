"""Files held against each other and against the name of their folder."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import isclose
from typing import Any

from atlaspatch_core.interop.audit.files import InspectedFile, pictured
from atlaspatch_core.interop.audit.findings import AuditFinding
from atlaspatch_core.layouts.found import Group, Holds, ResultFolder
from atlaspatch_core.layouts.hdf5_files import StatedGeometry
from atlaspatch_core.layouts.names import GeometryName
from atlaspatch_core.patches.scale import MPP_TOLERANCE
from atlaspatch_core.slides.mpp import UM_TIMES_MAGNIFICATION

MOST_EXACT = 2.0
"""Times that a slide's own magnification may be its nominal one: less than from one nominal one to the next."""
NOMINAL = (1.25, 2.5, 5, 10, 20, 40, 60, 80, 100)
"""Magnifications that objectives have: a file that states one means it; 16 comes from 0.2 µm per px of a 40x scan."""
GEOMETRY = ("patch_size", "target_magnification", "overlap")


def of_group(result_folder: ResultFolder, group: Group, inspected: Sequence[InspectedFile]) -> Iterator[AuditFinding]:
    """Yield what does not go together among the files of one geometry."""
    yield from _geometries(group, inspected)
    yield from _scales(inspected)
    yield from _forms(inspected)
    yield from _of_slides(result_folder, inspected)
    for entry in inspected:
        name = entry.stated.name if entry.stated else ""
        if name and name != entry.file.stem:
            yield _of(entry, "other_name", f"says that it is of slide {name}", name, entry.file.stem)


def _of(inspected: InspectedFile, kind: str, text: str, value: object = "", bound: object = "") -> AuditFinding:
    return AuditFinding(kind, inspected.file.stem, inspected.file.path, text, str(value), str(bound))


def _geometries(group: Group, inspected: Sequence[InspectedFile]) -> Iterator[AuditFinding]:
    """Yield files whose patches are of another geometry than the folder says, or than most files in it."""
    geometries = [(entry, _stated_values(entry.stated)) for entry in inspected if entry.stated]
    whole = [geometry for _, geometry in geometries if None not in geometry]
    usual = Counter(whole).most_common(1)[0][0] if whole else (None, None, None)
    expected = _expected_values(group.name)
    for entry, geometry in geometries:
        kind, bound = ("folder_name", expected) if group.name else ("mixed_geometry", usual)
        differs = _differs(geometry, bound)
        if entry.stated and _is_exact_scale(entry.stated, differs):
            kind = "exact_scale"
        if differs:
            text = "; ".join(f"{name} is {value:g}, {_where(kind)} {least:g}" for name, value, least in differs)
            yield _of(entry, kind, text, *(" ".join(f"{part[i]:g}" for part in differs) for i in (1, 2)))


def _where(kind: str) -> str:
    return "most files here say" if kind == "mixed_geometry" else "the folder's name says"


def _is_exact_scale(stated: StatedGeometry, differs: Sequence[tuple[str, float, float]]) -> bool:
    """Tell whether a file differs in nothing but that it states the magnification that its size of patches gives.

    Slides of one nominal magnification have pixels of many sizes: 19.961x is a patch of 20x.
    """
    parts = (stated.level0_magnification, stated.patch_size, stated.patch_size_level0)
    if [name for name, _, _ in differs] != ["target_magnification"] or not all(parts):
        return False
    [(_, value, nominal)] = differs
    level0, size, size_level0 = (float(part or 0) for part in parts)
    is_derived = abs(size * level0 / value - size_level0) < 1 and value not in NOMINAL
    return is_derived and max(value / nominal, nominal / value) < MOST_EXACT


def _stated_values(stated: StatedGeometry) -> tuple[float | None, ...]:
    return stated.patch_size, stated.target_magnification, stated.overlap


def _expected_values(name: GeometryName | None) -> tuple[float | None, ...]:
    return (name.patch_size, name.magnification, name.overlap) if name else (None, None, None)


def _differs(values: Sequence[float | None], bounds: Sequence[float | None]) -> list[tuple[str, float, float]]:
    pairs = zip(GEOMETRY, values, bounds, strict=True)
    return [(name, a, b) for name, a, b in pairs if a is not None and b is not None and not isclose(a, b, rel_tol=1e-6)]


def _scales(inspected: Iterable[InspectedFile]) -> Iterator[AuditFinding]:
    """Yield files whose patches are, by their mpp, of another scale than their magnification stands for."""
    for entry in inspected:
        scale = _true_scale(entry.stated) if entry.stated else None
        if scale and abs(scale[0] / scale[1] - 1) > MPP_TOLERANCE:
            text = f"patches are {scale[0]:.4g} µm/px, their magnification stands for {scale[1]:.4g} µm/px"
            yield _of(entry, "true_scale", text, f"{scale[0]:.4g}", f"{scale[1]:.4g} ± {MPP_TOLERANCE:.0%}")


def _true_scale(stated: StatedGeometry) -> tuple[float, float] | None:
    """Return µm/px of the patches, and µm/px of their magnification, where both are told."""
    parts = (stated.mpp, stated.patch_size, stated.patch_size_level0, stated.target_magnification)
    if not all(parts):
        return None
    mpp, size, level0, magnification = (float(part or 0) for part in parts)
    return mpp * level0 / size, UM_TIMES_MAGNIFICATION / magnification


def _forms(inspected: Sequence[InspectedFile]) -> Iterator[AuditFinding]:
    """Yield features and embeddings whose dim or type is not that of most of their encoder."""
    tables: defaultdict[tuple[Holds, str], list[tuple[InspectedFile, Any]]] = defaultdict(list)
    for entry in inspected:
        for table in entry.tables:
            if table.dim:
                tables[table.holds, table.encoder].append((entry, table))
    for (_, encoder), of_encoder in tables.items():
        yield from _odd(of_encoder, "mixed_dims", encoder, lambda table: table.dim, "dims")
        yield from _odd(of_encoder, "mixed_dtypes", encoder, lambda table: table.dtype, "as type")


def _odd(
    of_encoder: Sequence[tuple[InspectedFile, Any]], kind: str, encoder: str, of: Callable[[Any], object], word: str
) -> Iterator[AuditFinding]:
    usual = Counter(of(table) for _, table in of_encoder).most_common(1)[0][0]
    for entry, table in of_encoder:
        if of(table) != usual:
            yield _of(entry, kind, f"{encoder or 'features'} has {of(table)} {word}, others {usual}", of(table), usual)


def _of_slides(result_folder: ResultFolder, inspected: Iterable[InspectedFile]) -> Iterator[AuditFinding]:
    """Yield what does not fit among the files of each slide: coords on their own, features, and their tensors."""
    slides: defaultdict[str, list[InspectedFile]] = defaultdict(list)
    for entry in inspected:
        slides[entry.file.stem].append(entry)
    for of_slide in slides.values():
        yield from _of_slide(result_folder, of_slide)


def _of_slide(result_folder: ResultFolder, of_slide: Sequence[InspectedFile]) -> Iterator[AuditFinding]:
    coords = [entry for entry in of_slide if entry.file.holds is Holds.COORDS]
    results = [entry for entry in of_slide if entry.file.holds in (Holds.FEATURES, Holds.EMBEDDING)]
    if len(coords) > 1:
        names = " and ".join(pictured(entry.file.path, result_folder.folder) for entry in coords)
        yield _of(coords[1], "stem_clash", f"{names} are both its coords", len(coords), 1)
    if coords and not results and not any(entry.tables for entry in of_slide) and coords[0].patches:
        yield _of(coords[0], "no_features", "has coords and no features", 0)
    coords_file = next((entry for entry in coords if entry.patches is not None), None)
    for entry in results:
        if not coords:
            yield _of(entry, "no_coords", "there is no file of coords beside it", 0, 1)
        elif coords_file:
            yield from _against(coords_file, entry)


def _against(coords: InspectedFile, features: InspectedFile) -> Iterator[AuditFinding]:
    """Yield how features differ from the coords that lie beside them."""
    rows = [table.rows for table in features.tables if table.holds is Holds.FEATURES]
    if features.patches is None and rows and rows[0] != coords.patches:
        yield _of(features, "rows", f"has {rows[0]} rows for the {coords.patches} coords", rows[0], coords.patches)
    elif features.patches is not None and features.patches != coords.patches:
        text = f"was made from {features.patches} patches, the coords are {coords.patches}"
        yield _of(features, "rows", text, features.patches, coords.patches)
    elif features.corners and coords.corners and features.corners != coords.corners:
        yield _of(
            features,
            "other_coords",
            f"was made from {features.patches} other patches than the coords",
            features.corners,
            coords.corners,
        )
