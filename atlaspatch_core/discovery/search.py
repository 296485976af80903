"""Looking through folders for slides: names only, nothing is opened but the heads of DICOM files."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from glob import has_magic
from pathlib import Path

from atlaspatch_core.discovery.patterns import fits
from atlaspatch_core.discovery.result_folders import picture_folders
from atlaspatch_core.slides.dicom_files import is_dicom_name, slides_among
from atlaspatch_core.slides.files import HAMAMATSU, MIRAX, ZARR, pictures_of
from atlaspatch_core.slides.readers import reader_suffixes


def known_suffixes() -> tuple[str, ...]:
    """Return what slides may be called: lower case, with the dot; those of plugins in use, too."""
    return tuple(dict.fromkeys((*reader_suffixes(), ZARR)))


@dataclass(frozen=True, slots=True)
class FolderContents:
    """A slide, not looked at."""

    path: Path
    """As the user would write it: a file, or the folder of a Zarr store or of DICOM instances."""
    real: str
    """Where it lies, but for links to the slide itself. Text, as it is only compared: a path takes longer to make."""
    instances: tuple[str, ...] = ()
    """Names of the files of a folder of DICOM instances."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """What was come upon and cannot be worked on."""

    path: Path
    why: str
    """One sentence."""
    is_folder: bool = False
    """Whether it is a folder, in which slides may lie that nobody saw."""
    is_count: bool = False
    """Whether the sentence counts files whose names nobody is to read."""


@dataclass(frozen=True, slots=True)
class ResultPictures:
    """A folder that is not searched: its pictures are results."""

    path: Path


@dataclass(frozen=True, slots=True)
class Listing:
    """What lies in one folder, but for hidden names."""

    files: list[str]
    folders: list[tuple[str, bool]]
    """Name, and whether it is a link."""
    dangling: list[str]
    """Links that lead nowhere, or in a ring."""


@dataclass(frozen=True, slots=True)
class Search:
    """How folders are looked through."""

    suffixes: tuple[str, ...] = field(default_factory=known_suffixes)
    """Lower case, with the dot."""
    depth: int | None = 0
    """How many folders to go down, None without end. One deeper, folders are seen that are one slide themselves."""
    excluded: frozenset[str] = frozenset()
    """Resolved folders that are not looked through, unless they are where the search begins."""

    def takes(self, name: str) -> bool:
        """Say whether a name has one of the suffixes, in any case of letters."""
        return name.lower().endswith(self.suffixes)


def search(folder: Path, how: Search) -> Iterator[FolderContents | LeftOut | ResultPictures]:
    """Yield the slides of a folder and of those below it, in no particular order; each folder once, whatever links say.

    A folder that is one slide itself is that slide, and is not looked through.
    """
    real = str(folder.resolve())
    if real.lower().endswith(ZARR):
        yield FolderContents(with_name(folder, real), real)
        return
    visited, waiting = set(how.excluded) - {real}, [(folder, real, 0)]
    while waiting:
        here, real, down = waiting.pop()
        if real in visited:
            continue
        visited.add(real)
        within = how.depth is None or down <= how.depth
        try:
            listing = list_folder(here)
        except OSError as error:
            if within:
                yield LeftOut(
                    here, f"{here}: cannot be listed ({error.strerror}); allow reading it, or move it away", True
                )
            continue
        if whole := folder_of_instances(here, real, listing, how):
            yield whole
        elif within:
            yield from slides_in(here, real, listing, how)
            pictures = picture_folders(here, listing.files, [name for name, _ in listing.folders], how.takes)
            waiting += (one for one in below(here, real, listing, down + 1) if one[0].name not in pictures)
            if how.depth is None or down < how.depth:
                yield from (
                    ResultPictures(here / name) for name in sorted(pictures) if f"{real}/{name}" not in how.excluded
                )


def with_name(folder: Path, real: str) -> Path:
    """Return the folder, or where it really lies if it is written without its name, as ``.`` is."""
    return Path(real) if folder.name in ("", "..") else folder


def list_folder(folder: Path) -> Listing:
    """Return what lies in a folder, without hidden names. Raises OSError when it cannot be listed."""
    listing = Listing([], [], [])
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                put(entry, listing)
    return listing


def put(entry: os.DirEntry[str], listing: Listing) -> None:
    """Put an entry where it belongs."""
    link = entry.is_symlink()
    if link and not leads_somewhere(entry):
        listing.dangling.append(entry.name)
    elif entry.is_dir():
        listing.folders.append((entry.name, link))
    else:
        listing.files.append(entry.name)


def leads_somewhere(entry: os.DirEntry[str]) -> bool:
    """Say whether there is something at the other end of a link."""
    try:
        entry.stat()
    except OSError:
        return False
    return True


def folder_of_instances(here: Path, real: str, listing: Listing, how: Search) -> FolderContents | None:
    """Return the folder as a slide where it holds several DICOM instances of one series, no folder, no other slide."""
    dicom = [name for name in listing.files if is_dicom_name(name)]
    if len(dicom) < 2 or listing.folders or not any(map(how.takes, dicom)):
        return None
    suffixes = known_suffixes()
    if any(name.lower().endswith(suffixes) and not is_dicom_name(name) for name in listing.files):
        return None
    slides = slides_among(here, dicom)
    return FolderContents(with_name(here, real), real, slides[0]) if len(slides) == 1 else None


def slides_in(here: Path, real: str, listing: Listing, how: Search) -> Iterator[FolderContents | LeftOut]:
    """Yield the slides that lie directly in a folder; those of several DICOM files are named by the first."""
    dicom = [name for name in listing.files if is_dicom_name(name)]
    slides = slides_among(here, dicom) if any(map(how.takes, dicom)) else ()
    data = pictures_in(here, listing.files)
    stores = [name for name, _ in listing.folders if name.lower().endswith(ZARR)]
    files = [name for name in listing.files if not is_dicom_name(name) and name not in data]
    for name in (*files, *stores, *(names[0] for names in slides)):
        if how.takes(name):
            yield FolderContents(here / name, f"{real}/{name}")
    for name in filter(how.takes, listing.dangling):
        yield LeftOut(here / name, f"{here / name} is a link that leads to nothing; put back its target, or delete it")


def pictures_in(here: Path, files: Sequence[str]) -> set[str]:
    """Return the pictures that are data of Hamamatsu slides."""
    indices = [name for name in files if name.lower().endswith(HAMAMATSU)]
    return set().union(*(pictures_of(here / name, files) for name in indices))


def below(here: Path, real: str, listing: Listing, down: int) -> Iterator[tuple[Path, str, int]]:
    """Yield the folders below that may hold slides: not those of MIRAX data, and no Zarr stores."""
    data = {name[: -len(MIRAX)] for name in listing.files if name.lower().endswith(MIRAX)}
    for name, link in listing.folders:
        if name not in data and not name.lower().endswith(ZARR):
            yield here / name, str((here / name).resolve()) if link else f"{real}/{name}", down


@dataclass(frozen=True, slots=True)
class Pattern:
    """``slides/**/*.svs``: a folder to begin with, and what has to follow."""

    base: Path
    parts: tuple[str, ...]

    @property
    def depth(self) -> int | None:
        """How many folders to go down."""
        return None if "**" in self.parts else len(self.parts)

    def fits(self, one: FolderContents | LeftOut | ResultPictures, deep: bool) -> bool:
        """Say whether a slide, or a folder that it lies in (at any depth if ``deep``), is what the pattern means.

        A folder that was left out may hold such slides, whatever it is called.
        """
        if isinstance(one, ResultPictures) or (isinstance(one, LeftOut) and one.is_folder):
            return True
        parts = one.path.relative_to(self.base).parts if one.path.is_relative_to(self.base) else ()
        shortest = 0 if deep else max(0, len(parts) - 1)
        folders = (parts[:length] for length in range(shortest, len(parts)))
        files = ((*parts, name) for name in one.instances) if isinstance(one, FolderContents) else ()
        return any(fits(candidate, self.parts) for candidate in (parts, *folders, *files))


def pattern_of(path: Path) -> Pattern | None:
    """Return the pattern that a path is, None for a path that exists or has no ``*``, ``?`` or ``[``."""
    if not has_magic(str(path)) or path.exists():
        return None
    first = next(number for number, part in enumerate(path.parts) if has_magic(part))
    return Pattern(Path(*path.parts[:first]), path.parts[first:])


def root_of(path: Path) -> Path:
    """Return the folder in which the search for a path, or for a pattern, begins."""
    pattern = pattern_of(path)
    return pattern.base if pattern else path
