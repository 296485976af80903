"""Links by which slides are called otherwise than their files: where they lie, and what lies behind them.

Each slide has a folder of its own, called by its pseudonym, with a link to every file that it consists of. Only the
user can read it.
"""

import os
from collections.abc import Iterator
from pathlib import Path

from atlaspatch_core.fingerprint import short_hash
from atlaspatch_core.hidden_names import hide_names
from atlaspatch_core.slides.files import slide_files
from atlaspatch_core.slides.sections import stem_of_file
from atlaspatch_core.slides.slide import stem_of

PRIVATE_FOLDER = "atlaspatch-pseudonyms"
"""Name of the folder below which links are called by pseudonyms."""
STORES_FOLDER = "atlaspatch-stores"
"""Name of the folder beside it below which placeholders of such slides lie."""
MOST_FILES = 500
"""Of a slide, whose names are hidden."""


def private_folder(output: Path) -> Path:
    """Return the folder of links of a project, by its output folder: below the user's cache, for this user alone."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / PRIVATE_FOLDER / short_hash(str(output.resolve()))


def private_placeholders(output: Path) -> Path:
    """Return the folder of placeholders of a project whose slides have pseudonyms: keys of objects name them."""
    links = private_folder(output)
    return links.parents[1] / STORES_FOLDER / links.name


def is_private(path: Path) -> bool:
    """Tell whether a path leads to a slide by its pseudonym."""
    return PRIVATE_FOLDER in path.parts


def target_of(path: Path) -> Path:
    """Return the file, or folder, behind a private link; any other path as it is."""
    if not is_private(path):
        return path
    if path.is_symlink() or not path.is_dir():
        return Path(os.path.realpath(path))
    first = next(iter(sorted(path.iterdir())), path)
    return Path(os.path.realpath(first)).parent


def stems_of(path: Path, stem: str) -> tuple[str, ...]:
    """Return the stems that a slide has: its own, and behind a pseudonym that of its file, or of a section of it."""
    target = target_of(path)
    return (stem,) if target == path else (stem, stem_of(target) + stem.removeprefix(stem_of(path)))


def hide_target(path: Path) -> None:
    """Have this process call the files behind a private link as the link, whoever follows it."""
    if is_private(path):
        hide_names(_words(path))


def _words(path: Path) -> dict[str, str]:
    """Return names of the files of a slide to what is said in their place."""
    target = target_of(path)
    links = [path, *(file for file in slide_files(path)[:MOST_FILES] if file != path)]
    words = {str(target): str(path), target.name: path.name, stem_of(target): stem_of(path)}
    for number, link in enumerate(links[1:], 1):
        file = Path(os.path.realpath(link))
        word = f"file {number} of {stem_of(path)}"
        words = {str(file): word, file.name: word} | words
    return words | {ascii(name)[1:-1]: word for name, word in words.items()}


def link_of(folder: Path, stem: str) -> Path:
    """Return the link of a slide of this pseudonym, which has a folder below ``folder``; that, for DICOM instances."""
    own = folder / stem
    return next((entry for entry in own.iterdir() if stem_of(entry) == stem and entry.suffix), own)


def stems_behind(output: Path, stem: str) -> tuple[str, ...]:
    """Return what the file of a slide of this pseudonym is called without suffix; nothing where no link is there.

    From then on this process does not say it.
    """
    return tuple(stem_of(target_of(path)) + stem.removeprefix(own) for own, path in _links_to(output, stem))


def _links_to(output: Path, stem: str) -> Iterator[tuple[str, Path]]:
    """Yield the stem of the file, and its link, of a slide that may be a section of it."""
    for own in dict.fromkeys((stem, stem_of_file(stem))):
        folder = private_folder(output) / own
        if folder.is_dir():
            link = link_of(folder.parent, own)
            hide_target(link)
            yield own, link
            return
