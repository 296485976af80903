"""Names that people write of slides, matched to the slides that there are."""

from collections.abc import Iterable, Mapping
from pathlib import Path, PureWindowsPath
from typing import final

from atlaspatch_core.slides.private_links import target_of
from atlaspatch_core.slides.slide import folded, stem_of


@final
class SlideNames:
    """Finds the one slide that a name means.

    A name is a file name, with or without its suffix, or a path. What is written exactly wins over what differs in
    capitals or in the composition of accents, but for a whole stem, which wins over one with its end cut off: S1.B is
    S1.b before it is S1. A name that means several slides means none. A slide under a pseudonym is meant by that, and
    by the name of its file.
    """

    def __init__(self, paths: Mapping[str, Path]) -> None:
        """``paths``: stem of every slide to its file; that of a section is called as the section."""
        called = [(stem_of(name), name.name, stem) for stem, path in paths.items() for name in _names(path, stem)]
        files = [(name, stem) for _, name, stem in called]
        stems = [(short, stem) for short, _, stem in called]
        self._exact = (_unambiguous(files), _unambiguous(stems))
        self._folded = tuple(_unambiguous((folded(name), stem) for name, stem in pairs) for pairs in (files, stems))

    def stem(self, name: str) -> str | None:
        """Return the stem of the slide that a name means, None where it means none, or several."""
        file = PureWindowsPath(name).name
        short = stem_of(Path(file))
        (files, stems), (folded_files, folded_stems) = self._exact, self._folded
        ways = ((files, file), (stems, file), (folded_stems, folded(file)), (stems, short))
        for table, key in (*ways, (folded_files, folded(file)), (folded_stems, folded(short))):
            if key in table:
                return table[key]
        return None


def _names(path: Path, stem: str) -> tuple[Path, ...]:
    """Return the paths that a slide has, or would have as a file of its own: its link, and what is behind it."""
    link, target = named_path(path, stem), target_of(path)
    if target == path:
        return (link,)
    return link, named_path(target, stem_of(target) + stem.removeprefix(stem_of(path)))


def named_path(path: Path, stem: str) -> Path:
    """Return the path that a section would have as a file of its own."""
    return path.with_name(stem + path.name.removeprefix(stem_of(path)))


def _unambiguous(pairs: Iterable[tuple[str, str]]) -> dict[str, str | None]:
    """Return name to stem, None where several slides have the name."""
    table: dict[str, str | None] = {}
    for name, stem in pairs:
        table[name] = stem if table.get(name, stem) == stem else None
    return table
