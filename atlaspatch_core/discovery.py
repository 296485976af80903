"""Which slides lie where the user points."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from atlaspatch_core.errors import NoSlides, StemClash
from atlaspatch_core.mpp import read_mpp_csv
from atlaspatch_core.project import Project, Slides
from atlaspatch_core.readers import SUFFIXES, open_slide
from atlaspatch_core.slide import Slide, stem_of

MPP_CSV = "mpp csv"
"""``mpp_source`` of an mpp that a table states."""


@dataclass(frozen=True, slots=True)
class SlideSource:
    """A slide file that has not been opened, and what the user says of it."""

    stem: str
    path: Path
    mpp: float | None = None
    """µm per px of level 0 that the user states, or None."""
    mpp_source: str = ""
    local: Path | None = None
    """An equal copy on faster storage, which is read in its place; nothing that is kept names it."""

    @property
    def readable(self) -> Path:
        """Where the slide's pixels are read."""
        return self.local or self.path


@dataclass(frozen=True, slots=True)
class Clash:
    """Files of one stem: they would write one output, so none of them is worked on."""

    stem: str
    paths: tuple[Path, ...]
    """Two or more, sorted."""

    @property
    def error(self) -> StemClash:
        """What to tell the user."""
        files = " and ".join(str(path) for path in self.paths)
        return StemClash(f"{self.stem}: {files} have one stem and would write one output; rename or move all but one")


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found."""

    sources: tuple[SlideSource, ...]
    """Sorted by path; every stem once."""
    clashes: tuple[Clash, ...] = ()
    """Sorted by stem."""


def find_slides(project: Project) -> Discovery:
    """Return what lies where a project points, but for what it made itself and for masks.

    Raises NoSlides where there is nothing, InvalidProject for a table of mpp that cannot be used.
    """
    slides, output = project.slides, project.output
    pictures = (output / folder for folder in ("images", "visualization", "thumbnails", "contours"))
    mpp_by_stem = read_mpp_csv(slides.mpp_csv) if slides.mpp_csv else {}
    exclude = [output, *pictures, *([slides.masks] if slides.masks else [])]
    return discover(slides.folders, recursive=slides.recursive, mpp_by_stem=mpp_by_stem, exclude=exclude)


def discover(
    paths: Sequence[Path],
    *,
    recursive: bool = False,
    mpp_by_stem: Mapping[str, float] = MappingProxyType({}),
    exclude: Iterable[Path] = (),
) -> Discovery:
    """Return the slides among ``paths``: files as they are, folders searched for the readers' suffixes in any case.

    Hidden files, the data folders of MRXS slides and the ``exclude`` folders (the output, say) are left out.
    Raises NoSlides when a path is missing, a folder cannot be listed, or nothing at all is found.
    """
    excluded = {folder.resolve() for folder in exclude}
    files: dict[Path, Path] = {}
    for path in paths:
        files |= files_at(path, recursive, excluded)
    if not files:
        raise NoSlides(nothing_found(paths, recursive))
    by_stem: defaultdict[str, list[Path]] = defaultdict(list)
    for file in sorted(files.values(), key=str):
        by_stem[stem_of(file)].append(file)
    singles = (source_of(stem, found[0], mpp_by_stem) for stem, found in by_stem.items() if len(found) == 1)
    clashes = (Clash(stem, tuple(found)) for stem, found in sorted(by_stem.items()) if len(found) > 1)
    return Discovery(tuple(singles), tuple(clashes))


def open_source(source: SlideSource, slides: Slides) -> Slide:
    """Open a slide as the project says; raises what ``open_slide`` raises."""
    asked = {"mpp_keys": slides.mpp_keys, "reader": slides.reader}
    return open_slide(source.readable, mpp=source.mpp, mpp_source=source.mpp_source, **asked)


def source_of(stem: str, path: Path, mpp_by_stem: Mapping[str, float]) -> SlideSource:
    """Return the slide with the mpp that the table states."""
    mpp = mpp_by_stem.get(stem)
    return SlideSource(stem, path, mpp, "" if mpp is None else MPP_CSV)


def files_at(path: Path, recursive: bool, excluded: set[Path]) -> dict[Path, Path]:
    """Return the file, or the slides of the folder: where each really lies, and its path as the user would write it."""
    if path.is_dir():
        return dict(files_in(path, recursive, set(excluded)))
    if path.exists():
        return {path.parent.resolve() / path.name: path}
    raise NoSlides(f"{path}: no such file or folder; check the path")


def files_in(folder: Path, recursive: bool, visited: set[Path]) -> Iterator[tuple[Path, Path]]:
    """Yield the slides of a folder, and of those below it when ``recursive``; each folder once, whatever links say."""
    real = folder.resolve()
    visited.add(real)
    names, folders = list_folder(folder)
    owned = data_folders(names)
    tiles = tuple(name[:-4] for name in names if name.lower().endswith(".vms"))
    yield from ((real / name, folder / name) for name in names if is_slide(name) and not is_tile(name, tiles))
    for name in folders if recursive else ():
        if name not in owned and not name.lower().endswith(".zarr") and (folder / name).resolve() not in visited:
            yield from files_in(folder / name, recursive, visited)


def list_folder(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of files and of folders, without hidden ones. Raises NoSlides when they cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            shown = [(entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise NoSlides(f"{folder}: cannot be listed ({error.strerror}); allow reading it, or name others") from error
    return [name for name, is_folder in shown if not is_folder], [name for name, is_folder in shown if is_folder]


def is_slide(name: str) -> bool:
    """Say whether a file name has the suffix of a slide."""
    return name.lower().endswith(SUFFIXES)


def data_folders(names: list[str]) -> set[str]:
    """Return the names of folders that hold the pixels of MIRAX slides among ``names``."""
    return {name[: -len(".mrxs")] for name in names if name.lower().endswith(".mrxs")}


def is_tile(name: str, slides: tuple[str, ...]) -> bool:
    """Say whether a file is a JPEG that belongs to one of the Hamamatsu VMS ``slides`` beside it."""
    return name.lower().endswith(".jpg") and name.startswith(slides) if slides else False


def nothing_found(paths: Sequence[Path], recursive: bool) -> str:
    """Return what to say when no folder holds a slide."""
    folders = ", ".join(str(path) for path in paths) or "no path"
    cure = "name another folder" if recursive else "name another folder, or search those below it (--recursive)"
    return f"{folders}: no slide found, with none of the suffixes {' '.join(SUFFIXES)}; {cure}"
