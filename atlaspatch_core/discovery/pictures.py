"""Pictures that lie beside slides in a folder: exports, macros, masks. They are no slides unless somebody says so."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from atlaspatch_core.discovery.search import FolderContents, LeftOut, ResultPictures, known_suffixes
from atlaspatch_core.discovery.slide_names import SlideNames
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.slides.slide import stem_of
from atlaspatch_core.wording import format_count

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm", ".pgm")
"""JPEG 2000 is not among them: whole slides are kept in it."""
TIFFS = (".tif", ".tiff")
DICOM = ".dcm"
MOST_SIDE = 4096
"""px; a TIFF with a longer side may be a slide that does not say its scale."""
MOST_BYTES = 4 * MOST_SIDE**2

Found = FolderContents | LeftOut | ResultPictures
"""What a search yields."""


@dataclass(frozen=True, slots=True)
class PictureBesideSlides:
    """A picture that is not taken for a slide."""

    path: Path
    real: str
    """Where it lies."""


def set_pictures_apart(
    place: Path, contents: Iterable[Found], named: Iterable[str]
) -> list[Found | PictureBesideSlides]:
    """Return what was found in one place, its pictures set apart where other slides lie there.

    Where all are pictures they are the slides, and so is what a pattern asks for (``slides/*.png``), and a picture that
    a table of µm/px names, ``named``, unless a slide has its stem.
    """
    contents = list(contents)
    slides = [one for one in contents if isinstance(one, FolderContents)]
    is_asked_for = place.name.lower().endswith((*PICTURES, *TIFFS))
    pictures = [] if is_asked_for else [one for one in slides if is_picture(one.path)]
    if not pictures or len(pictures) == len(slides):
        return [*contents]
    apart = {one.path for one in pictures}
    others = (one.path for one in slides if one.path not in apart)
    by_stem = {stem_of(path): path for path in (*apart, *others)}
    names = SlideNames(by_stem)
    apart -= {by_stem[stem] for stem in map(names.stem, named) if stem is not None}
    return [
        PictureBesideSlides(one.path, one.real) if isinstance(one, FolderContents) and one.path in apart else one
        for one in contents
    ]


def is_picture(path: Path) -> bool:
    """Tell whether a file is an ordinary picture: PNG, JPEG and the like by name, a TIFF by what it says."""
    name = path.name.lower()
    if name.endswith(PICTURES):
        return True
    if not name.endswith(TIFFS) or RemotePlace.of_placeholder(path):
        return False
    try:
        status = path.stat()
    except OSError:
        return False
    return status.st_size <= MOST_BYTES and _is_plain_tiff(str(path), status.st_size, status.st_mtime_ns)


def pictures_line(pictures: Sequence[Path], slides: Iterable[Path]) -> str:
    """Return in a sentence how many pictures were left out, and what takes them, too; empty for none."""
    if not pictures:
        return ""
    suffixes = dict.fromkeys([*_suffixes(slides), *_suffixes(pictures)])
    verb = "is" if len(pictures) == 1 else "are"
    return (
        f"{format_count(len(pictures), 'picture', ',')} beside slides {verb} left out; "
        f"--wsi-ext {','.join(suffixes)} takes them, too"
    )


def _suffixes(paths: Iterable[Path]) -> list[str]:
    """Return suffixes by which files are found; a folder without one holds DICOM instances."""
    suffixes, of_slides = {path.suffix.lower() for path in paths}, known_suffixes()
    return sorted({suffix if suffix in of_slides else DICOM for suffix in suffixes})


@lru_cache(maxsize=100_000)
def _is_plain_tiff(path: str, _size: int, _changed: int) -> bool:
    """Tell whether a TIFF is one small page in strips that states no scale; one that cannot be read is none."""
    import tifffile

    from atlaspatch_core.slides.file_scale import is_plausible, scale_of_file
    from atlaspatch_core.slides.readers.damage import DAMAGED_FILE
    from atlaspatch_core.slides.readers.tiff_properties import properties_of

    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            size = (page.imagewidth, page.imagelength)
            if len(tiff.pages) > 1 or page.is_tiled or tiff.is_ome or max(size) > MOST_SIDE:
                return False
            scale = scale_of_file(path, properties_of(tiff, page), (), size).mpp
            return scale is None or not is_plausible(scale.value)
    except (*DAMAGED_FILE, AtlasPatchError):
        return False
