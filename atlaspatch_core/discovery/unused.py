"""What a person gave that served no slide: rows of tables, and masks. A typo there would change results in silence."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.slide_names import SlideNames
from atlaspatch_core.discovery.slide_tables import read_mpp_csv
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.discovery.usable_names import printable
from atlaspatch_core.slides.private_links import stems_of
from atlaspatch_core.slides.slide import folded, stem_of
from atlaspatch_core.tissue.supplied_masks import MASK_ENDINGS, SUFFIXES, MaskFolder, is_of_another
from atlaspatch_core.wording import format_count

MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class UnusedInput:
    """Rows of a table, or files of a folder, that served no slide."""

    source: Path
    names: tuple[str, ...]
    """As they are written there, or where they stand; empty for files whose names nobody is to read."""
    total: int
    """How many there are."""
    kind: str
    """``row`` or ``mask``."""

    @property
    def serves_none(self) -> bool:
        """Whether not a single one served a slide: the wrong file, or names of another form."""
        return len(self.names) == self.total

    cure = "write the names of slides as they are, or leave it out"

    @property
    def text(self) -> str:
        """One sentence that names them."""
        count = "none" if self.serves_none else f"{len(self.names)}"
        verb = "belongs" if self.serves_none or len(self.names) == 1 else "belong"
        kinds = self.kind if self.total == 1 else f"{self.kind}s"
        negated = f"{verb} to a slide" if self.serves_none else f"{verb} to no slide"
        return f"{self.source}: {count} of {self.total} {kinds} {negated} that was found{_named(self.names, ': ')}"


@dataclass(frozen=True, slots=True)
class UnreadMasks:
    """What lies in a folder of masks and is none that is read: a file of another format, a folder."""

    source: Path
    names: tuple[str, ...]
    """Empty for files whose names nobody is to read."""
    serves_none: bool
    """Whether the folder holds no mask at all that is read."""

    @property
    def cure(self) -> str:
        """What to do."""
        if any(name.endswith(".zarr/") for name in self.names):
            return "store the label images of Zarr stores as PNG or TIFF, one a slide, and name that folder"
        return f"put masks ({' '.join(SUFFIXES)}) into the folder itself, or leave it out"

    @property
    def text(self) -> str:
        """One sentence that names them."""
        if not self.serves_none:
            what = _named(self.names) or format_count(len(self.names), "file")
            return f"{self.source}: {what} is of no format in which masks are read ({' '.join(SUFFIXES)})"
        return f"{self.source}: there is no mask in it{_named(self.names, ', but ')}"


def unused_inputs(slides: Slides, discovery: Discovery) -> tuple[UnusedInput | UnreadMasks, ...]:
    """Return what of the table of µm/px, and of the folder of masks, served none of the slides that were found."""
    paths = discovery.paths
    served = (*_rows(slides, paths), *_masks(slides, paths))
    return (*(inputs for inputs in served if inputs.names), *_unread(slides, paths))


def slides_without_mask(slides: Slides, discovery: Discovery) -> tuple[str, ...]:
    """Return the stems for which the folder of masks, where there is one, has none: a segmenter finds their tissue."""
    if not slides.masks:
        return ()
    return tuple(stem for stem, path in discovery.paths.items() if not _masks_of(slides.masks, stem, path))


def _masks_of(folder: Path, stem: str, path: Path) -> list[Path]:
    """Return the masks of a slide; what bears the name of another slide beside it is that one's."""
    masks = [mask for name in stems_of(path, stem) for mask in MaskFolder(folder).of(name)]
    return [mask for mask in masks if not is_of_another(mask, stem, path.parent)]


def _named(names: Sequence[str], before: str = "") -> str:
    """Return names in a sentence, after ``before``; nothing where none may be read."""
    shown = ", ".join(map(printable, filter(None, names[:MOST_NAMED])))
    return f"{before}{shown}{' ...' * (len(names) > MOST_NAMED)}" if shown else ""


def _readable(slides: Slides, names: Iterable[str]) -> tuple[str, ...]:
    """Return names of files; empty where slides have pseudonyms."""
    return tuple("" if slides.has_pseudonyms else name for name in names)


def _rows(slides: Slides, paths: Mapping[str, Path]) -> Iterator[UnusedInput]:
    """A row may name a file of several slides, or one of them."""
    if slides.mpp_csv:
        rows = read_mpp_csv(slides.mpp_csv, is_private=slides.has_pseudonyms)
        files = SlideNames({stem_of(path): path for path in paths.values()})
        sections = SlideNames(paths)
        unknown = tuple(name for name in rows if files.stem(name) is None and sections.stem(name) is None)
        shown = tuple(rows[name].where.rpartition(", ")[2] for name in unknown) if slides.has_pseudonyms else unknown
        yield UnusedInput(slides.mpp_csv, shown, len(rows), "row")


def _masks(slides: Slides, paths: Mapping[str, Path]) -> Iterator[UnusedInput]:
    if slides.masks:
        folder = MaskFolder(slides.masks)
        served = {mask for stem, path in paths.items() for mask in _masks_of(folder.folder, stem, path)}
        files = folder.files
        names = _readable(slides, (path.name for path in files if path not in served))
        yield UnusedInput(slides.masks, names, len(files), "mask")


def _unread(slides: Slides, paths: Mapping[str, Path]) -> Iterator[UnreadMasks]:
    """A file is meant as a mask where it bears the name of a slide; all that lies there is where nothing is a mask."""
    folder = MaskFolder(slides.masks) if slides.masks else None
    stems = {folded(name) for stem, path in paths.items() for name in stems_of(path, stem)}
    if folder and not folder.files:
        yield UnreadMasks(folder.folder, _readable(slides, folder.others), serves_none=True)
    elif folder and (meant := tuple(name for name in folder.others if _is_of_one(name, stems))):
        yield UnreadMasks(folder.folder, _readable(slides, meant), serves_none=False)


def _is_of_one(name: str, stems: Set[str]) -> bool:
    """Tell whether a name is that of a slide with something behind it: ``a.bmp``, ``a_mask.npy``, ``a.svs.xml``."""
    whole = folded(name)
    heads = {whole[:place] for place, sign in enumerate(whole) if sign == "."}
    return bool(stems & {head.removesuffix(ending) for head in heads for ending in ("", *MASK_ENDINGS)})
