"""Opening slides: one file per backend, one table."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from traceback import walk_tb

from atlaspatch_core.errors import AtlasPatchError, UnknownName, UnreadableSlide
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.remote.sparse_file import close_holes
from atlaspatch_core.slides.dicom_files import SUFFIXES as DICOM_SUFFIXES
from atlaspatch_core.slides.dicom_files import series_of
from atlaspatch_core.slides.mpp import Mpp, StatedMpp
from atlaspatch_core.slides.readers.advice import BIOFORMATS, FOREIGN
from atlaspatch_core.slides.readers.claims import check_files
from atlaspatch_core.slides.readers.content import no_slide, what_is_wrong, without_its_folder
from atlaspatch_core.slides.readers.cucim import CUCIM
from atlaspatch_core.slides.readers.dicom import DICOM
from atlaspatch_core.slides.readers.level_check import with_true_levels
from atlaspatch_core.slides.readers.omezarr import OMEZARR
from atlaspatch_core.slides.readers.openslide import OPENSLIDE
from atlaspatch_core.slides.readers.openslide_tiff import VENDORS
from atlaspatch_core.slides.readers.reader import Reader, UnsupportedSlide
from atlaspatch_core.slides.readers.selected_levels import with_series
from atlaspatch_core.slides.readers.square_pixels import AS_STORED, with_square_pixels
from atlaspatch_core.slides.readers.table import (
    READERS,
    SUFFIXES,
    all_readers,
    installed_readers,
    needs_plugin_file,
    reader_suffixes,
)
from atlaspatch_core.slides.readers.tiff import TIFF
from atlaspatch_core.slides.slide import Slide, stem_of

__all__ = [
    "FOREIGN", "READERS", "SUFFIXES", "all_readers", "check_file", "installed_readers", "is_slide_folder",
    "needs_plugin_file", "open_slide", "reader_suffixes", "readers_of", "series_of",
]  # fmt: skip

Refused = Callable[[str, AtlasPatchError], object]
"""Called with the name of a reader and why it does not open a slide."""
BY_THE_WAY = (TIFF.name, DICOM.name, OMEZARR.name, CUCIM.name)
"""Readers of formats in which pages, instances or arrays are levels because they lie beside the slide."""
IN_PARTS = (OPENSLIDE.name, TIFF.name)
"""Readers that ask for the bytes of tiles before these are read, so that a copy of an object may lack the others."""

log = logging.getLogger(__name__)
PACKAGE = __name__.partition(".")[0]


def unheeded(name: str, error: AtlasPatchError) -> None:
    """Do nothing about a refusal."""


def open_slide(
    path: Path,
    *,
    mpp: float | None = None,
    mpp_source: str = "",
    mpp_keys: Sequence[str] = (),
    reader: str | None = None,
    series: int | None = None,
    square_pixels: bool = False,
    stem: str | None = None,
    on_refusal: Refused = unheeded,
) -> Slide:
    """Open a slide with the first reader that knows its content, or else its suffix, or with the ``reader`` named.

    A slide is a file, a ``.zarr`` folder, or a folder of DICOM instances. Where a reader knows the format and cannot
    decode the slide, say for its compression, the next that knows the content is asked.

    Args:
        path: The slide.
        mpp: The user's µm per px of level 0; it wins over the file's.
        mpp_source: Where that was stated.
        mpp_keys: Further properties that state the mpp, asked before those that are known.
        reader: A name in ``READERS``, or of a plugin in use; chosen by content, then by suffix, when left out.
        series: Which image of the file, counted from 0; the largest scan when left out.
        square_pixels: Pixels that are not square are read as squares of their longer side; or else refused beyond 10 %.
        stem: What the slide is called, and errors of opening it; the file's name without suffix when left out.
        on_refusal: Called for every reader that was asked and refused, in their order.

    Returns:
        The slide, open until it is closed; a context manager.

    Raises:
        UnreadableSlide: The file is missing, empty, damaged, of no known format, or no brightfield.
        UnknownScale: Nobody states µm/px.
        ImplausibleScale: What is stated cannot be.
        MissingExtra: The reader's library is not installed.
        UnknownName: There is no such reader.

    Example:
        >>> with open_slide(Path("CMU-1-Small-Region.svs")) as slide:
        ...     pixels = slide.read_region(Region(x=0, y=0, level=0, width=64, height=32))
        >>> slide.info.width, slide.info.height, slide.info.mpp  # level-0 px, µm/px
        (2220, 2967, 0.499)
        >>> pixels.shape, pixels.dtype.name
        ((32, 64, 3), 'uint8')
    """
    stated = StatedMpp(None if mpp is None else Mpp(mpp, mpp_source or "stated"), tuple(mpp_keys), square_pixels)
    check_file(path)
    refusal = UnsupportedSlide(f"{stem_of(path)}: {path.name} {_unknown(path)}")
    for candidate in readers_of(path, reader):
        try:
            slide = _open_by(candidate, path, stated, series)
        except AtlasPatchError as error:
            refusal = named_as(error, path, stem)
            on_refusal(candidate.name, refusal)
            if not isinstance(error, UnsupportedSlide):
                raise
        else:
            return finished(slide, series, stem)
    raise refusal


def _open_by(reader: Reader, path: Path, stated: StatedMpp, series: int | None) -> Slide:
    """Return a slide that a reader opened. Raises UnreadableSlide for whatever its library raises."""
    try:
        if reader.name not in IN_PARTS:
            close_holes(path)
        return reader.open(path, stated, series)
    except (AtlasPatchError, MemoryError):
        raise
    except Exception as error:  # damaged bytes lead libraries to any error: of names, of tables, of enumerations
        if _is_ours(error):
            raise
        log.debug("%s: %s", path, reader.name, exc_info=True)
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} is damaged, {reader.name} cannot read what it says of itself ({cause}); "
            "copy it again from its source"
        ) from error


def _is_ours(error: Exception) -> bool:
    """Tell whether an error is a mistake of this package: a name that is not there, looked up by its own code."""
    last = next(reversed(list(walk_tb(error.__traceback__))))[0]
    return isinstance(error, AttributeError | NameError) and last.f_globals.get("__name__", "").startswith(PACKAGE)


def named_as(error: AtlasPatchError, path: Path, stem: str | None) -> AtlasPatchError:
    """Return an error that begins with what the slide is called where that is not the file's stem."""
    own = f"{stem_of(path)}: "
    if stem is not None and str(error).startswith(own):
        error.args = (f"{stem}: {str(error).removeprefix(own)}",)
    return error


def finished(slide: Slide, series: int | None, stem: str | None = None) -> Slide:
    """Return an open slide with the levels that are its own, and with the image that was asked for in its identity.

    Where its pixels are to be made square, they are.

    The levels of vendors' formats that OpenSlide knows are those that the format names.
    """
    info = slide.info
    with ExitStack() as opened:
        opened.callback(slide.close)
        check_files(info)
        if info.reader in BY_THE_WAY or (info.reader == OPENSLIDE.name and info.vendor in (*VENDORS, "dicom")):
            slide = with_true_levels(slide)
        if series is not None or stem not in (None, info.stem):
            slide = with_series(slide, series, stem or info.stem)
        slide = slide if info.file_px == AS_STORED else with_square_pixels(slide)
        opened.pop_all()  # who asked for the slide closes it
        return slide


def readers_of(path: Path, name: str | None = None) -> Iterator[Reader]:
    """Yield the reader of that name, or else those that know the content, or else the one of the suffix, or none.

    Content is looked at as far as the caller goes. Raises UnknownName, or UnreadableSlide for formats known to nobody.
    """
    readers, suffix = all_readers(), path.suffix.lower()
    if name is not None and name not in readers:
        raise UnknownName(f"no reader is called {name!r}; there are {', '.join(readers)}")
    if suffix in FOREIGN and not any(suffix in reader.suffixes for reader in readers.values()):
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} is {FOREIGN[suffix]}, which no reader opens; convert it to OME-TIFF with "
            f"{BIOFORMATS}"
        )
    if name is not None:
        yield readers[name]
        return
    is_known = False
    for reader in readers.values():
        if reader.recognises(path):
            is_known = True
            yield reader
    if not is_known:
        yield from (reader for reader in readers.values() if suffix in reader.suffixes)


def _unknown(path: Path) -> str:
    """Return what to say of a file that no reader knows, by content or suffix."""
    suffixes = reader_suffixes()
    return what_is_wrong(path) if path.suffix.lower() in suffixes else no_slide(suffixes)


def is_slide_folder(path: Path) -> bool:
    """Say whether a folder is one slide: a ``.zarr`` store, or the DICOM instances of one series and no other slide.

    Cheap: names are read, and the headers of DICOM files until one is of another series. False for what is no folder.
    """
    if not path.is_dir():
        return False
    if OMEZARR.is_folder(path):
        return True
    suffixes = reader_suffixes()
    return DICOM.is_folder(path) and not any(
        _is_other_slide(name, suffixes) for name in sorted(entry.name for entry in path.iterdir())
    )


def _is_other_slide(name: str, suffixes: tuple[str, ...]) -> bool:
    return name.lower().endswith(suffixes) and not name.lower().endswith(DICOM_SUFFIXES)


def check_file(path: Path) -> None:
    """Raise UnreadableSlide when there is no readable file with something in it, and no folder that is one slide."""
    stem = stem_of(path)
    if place := RemotePlace.of_placeholder(path):
        raise UnreadableSlide(f"{stem}: {path} stands for {place.url} and holds nothing; open it through a project")
    if path.is_dir():
        if not is_slide_folder(path) and not OMEZARR.recognises(path):
            raise UnreadableSlide(
                f"{stem}: {path} is a folder and not one slide; name a slide in it, a Zarr store, or a folder "
                f"that holds the DICOM instances of one series"
            )
        return
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        raise UnreadableSlide(
            f"{stem}: {path} cannot be read ({error.strerror}); check the path and its permissions"
        ) from error
    if empty:
        raise UnreadableSlide(f"{stem}: {path.name} is empty; copy it again from its source")
    if lack := without_its_folder(path):
        raise UnreadableSlide(f"{stem}: {path.name} {lack}")
