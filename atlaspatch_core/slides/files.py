"""Which files a slide consists of: one, or an index and its data, or a whole folder; which paths lead to one slide."""

import os
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from atlaspatch_core.slides.dicom_files import instances, is_dicom_name
from atlaspatch_core.slides.slide import stem_of

MIRAX = ".mrxs"
HAMAMATSU = (".vms", ".vmu")
ZARR = ".zarr"
NAMED_FILE = re.compile(r"^\w+(?:\(\d+,\d+(?:,\d+)?\))?=(.+\.\w+)$", re.MULTILINE)
"""A line of a Hamamatsu index that names a file: ``ImageFile(1,0)=a(1,0).jpg``, ``MapFile=a_map2.jpg``."""
LARGEST_INDEX = 2**20


def slide_files(path: Path) -> tuple[Path, ...]:
    """Return every file that a slide consists of, sorted, but for a file that was given, which comes first.

    A MIRAX slide has its data in a folder of the same stem, a Hamamatsu one (VMS, VMU) and a DICOM one in files beside
    it; a Zarr store is all files below its folder; of a folder of DICOM instances it is those.
    """
    if path.is_dir():
        dicom = () if path.suffix.lower() == ZARR else instances(path)
        return dicom or tuple(sorted(files_below(path)))
    siblings = (file for file in siblings_of(path) if file != path)
    return (path, *sorted(siblings))


def siblings_of(path: Path) -> Iterator[Path]:
    """Yield the other files of a slide that is named by a file; perhaps the file itself, too."""
    suffix = path.suffix.lower()
    if suffix == MIRAX:
        yield from files_below(path.with_suffix(""))
    elif suffix in HAMAMATSU:
        names = [file.name for file in path.parent.iterdir()]
        yield from (path.parent / name for name in pictures_of(path, names))
    elif is_dicom_name(path.name):
        yield from instances(path)


def consists_of_many(path: Path) -> bool:
    """Say whether a slide of this path may have more files than one."""
    return path.suffix.lower() in (MIRAX, *HAMAMATSU, ZARR) or is_dicom_name(path.name) or path.is_dir()


def files_below(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder; links to folders are not followed. Nothing where there is no folder."""
    for here, _, names in os.walk(folder):
        yield from (Path(here, name) for name in names)


def pictures_of(index: Path, names: Collection[str]) -> set[str]:
    """Return which of the ``names`` beside a Hamamatsu index are its data.

    They are those that it names, and those that begin with its stem and go on with no letter or digit: an index that is
    still being copied names none yet.
    """
    named = named_files(index)
    begins = re.compile(re.escape(index.stem) + r"([^a-z0-9.].*)?\.(jpg|opt|ngr)", re.IGNORECASE)
    return {name for name in names if name != index.name and (name in named or begins.fullmatch(name))}


def named_files(index: Path) -> set[str]:
    """Return the file names in a Hamamatsu index; none where it cannot be read."""
    try:
        with index.open("rb") as file:
            text = file.read(LARGEST_INDEX).decode("utf-8", "replace")
    except OSError:
        return set()
    return {name.strip() for name in NAMED_FILE.findall(text.replace("\r", ""))}


def slides_by_stem(paths: Iterable[Path]) -> dict[str, list[tuple[Path, ...]]]:
    """Return stem to slides, sorted by path, and of each slide all paths that lead to it, the straightest first.

    Links are followed only where a stem is shared: that takes long among many files.
    """
    by_stem: defaultdict[str, list[Path]] = defaultdict(list)
    for path in sorted(paths, key=str):
        by_stem[stem_of(path)].append(path)
    return {stem: [(ways[0],)] if len(ways) == 1 else one_each(ways) for stem, ways in by_stem.items()}


def one_each(paths: Iterable[Path]) -> list[tuple[Path, ...]]:
    """Return the paths that lead to each slide: one that is no link before links, one without ``..`` before others."""
    by_real: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in paths:
        by_real[path.resolve()].append(path)
    ways = (sorted(links, key=lambda path: (path.is_symlink(), ".." in path.parts)) for links in by_real.values())
    return sorted(map(tuple, ways), key=lambda way: str(way[0]))
