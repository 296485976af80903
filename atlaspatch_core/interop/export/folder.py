"""What an output folder has to export, without a project file: results that belong together are fresh."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from atlaspatch_core.errors import AtlasPatchError, NoSlides
from atlaspatch_core.fingerprint import is_unverified, upstream_reason
from atlaspatch_core.interop.export.selection import Choice, with_stored_names
from atlaspatch_core.interop.export.valid_results import Selection, Verdict
from atlaspatch_core.storage.hdf5 import StoredResult
from atlaspatch_core.storage.schema import COORDS, FEATURES, PLACES, UNVERIFIED
from atlaspatch_core.storage.slide_index import SlideIndex, read_slide_index
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.identities import input_name
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import SLIDE, TISSUE_MASK
from atlaspatch_core.validity.rules import State, is_automatic

FRESH = Verdict(State.FRESH)
KINDS = {folder: kind for kind, folder in PLACES.items()}


def select_folder(output: Path, choice: Choice, stems: Collection[str] | None = None) -> Selection:
    """Return what lies in an output folder, whatever project made it.

    A result is fresh where its file says that it was computed from the very slide, outlines, coords and features that
    lie there. Raises NoSlides for a folder without results, UnknownName for what it has not.
    """
    store = Store(output)
    files = {name: store.results(name) for name in geometries_of(output)}
    if not any(files.values()):
        raise NoSlides(f"{output}: there is no patches/<slide>.h5 in it; give the --output of encode-slide")
    index = read_slide_index(store)
    stored_stems = sorted({stem for of_geometry in files.values() for stem in of_geometry})
    selected_stems = stored_stems if stems is None else sorted(stems)
    verdicts = {stem: _verdicts(store, index, stem, files) for stem in selected_stems}
    steps = {step for of_slide in verdicts.values() for step in of_slide}
    return Selection(store, index, verdicts, with_stored_names(choice, steps))


def geometries_of(output: Path) -> list[str]:
    """Return the names of the geometries that have a folder of patches; empty for the one without a name."""
    homes = [output, *sorted(home for home in (output.iterdir() if output.is_dir() else ()) if home.is_dir())]
    return ["" if home == output else home.name for home in homes if Store(home).h5("any").parent.is_dir()]


def _verdicts(
    store: Store, index: SlideIndex, stem: str, files: Mapping[str, Collection[str]]
) -> dict[OutputKey, Verdict]:
    verdicts = {TISSUE_MASK: _mask(index, stem)}
    for geometry, datasets in files.items():
        if stem in datasets:
            verdicts |= dict(_of_geometry(store, index, stem, geometry))
    return verdicts


def _mask(index: SlideIndex, stem: str) -> Verdict:
    slide = index.slides.get(stem)
    mask, polygons = slide.mask if slide else None, index.polygons.get(stem)
    if stem in index.broken:
        return Verdict(State.FAILED, index.broken[stem])
    if slide and mask and polygons and is_automatic(mask, polygons) and mask.of_slide != slide.fingerprint:
        return Verdict(State.STALE, upstream_reason(SLIDE.kind))
    return FRESH


def _of_geometry(store: Store, index: SlideIndex, stem: str, geometry: str) -> Iterator[tuple[OutputKey, Verdict]]:
    """Yield coords, features and embeddings with their verdicts, upstream first."""
    try:
        results = store.stored_results(stem, geometry)
    except AtlasPatchError as error:
        yield OutputKey("patch_coords", None, geometry), Verdict(State.FAILED, str(error))
        return
    slide = index.slides.get(stem)
    on_disk = {"slide": slide.fingerprint if slide else None, TISSUE_MASK.kind: index.polygons.get(stem)}
    for dataset in sorted(results, key=lambda name: list(KINDS).index(name.partition("/")[0])):
        folder, _, encoder = dataset.partition("/")
        step = OutputKey(KINDS[folder], encoder or None, geometry)
        verdict = _belongs(results[dataset], on_disk, results[COORDS].shape[0] if folder == FEATURES else None)
        on_disk[input_name(step)] = results[dataset].fingerprint if verdict == FRESH else None
        yield step, verdict


def _belongs(result: StoredResult, on_disk: Mapping[str, str | None], rows: int | None) -> Verdict:
    identity = result.identity
    if identity is None or identity.fingerprint != result.fingerprint:
        return Verdict(UNVERIFIED, "its file does not say what it was computed from")
    if is_unverified(identity):
        return Verdict(UNVERIFIED, str(identity.spec.get("reason", "it was adopted")))
    if rows is not None and result.shape[0] != rows:
        return Verdict(State.STALE, f"{result.shape[0]} rows, but {rows} patches")
    changed = [name for name, fingerprint in identity.inputs.items() if on_disk.get(name) != fingerprint]
    return Verdict(State.STALE, upstream_reason(changed[0])) if changed else FRESH
