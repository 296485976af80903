"""What lies in a folder of results, listed by names alone."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from atlaspatch_core.layouts.names import GeometryName


class FolderLayout(StrEnum):
    """Whose way of laying out results it is."""

    TRIDENT = "TRIDENT"
    ATLASPATCH = "AtlasPatch"
    CLAM = "CLAM"
    OURS = "atlaspatch"
    EXPORT = "exported"
    """Files for torch, pandas, QuPath, that our export wrote to a folder of their own."""


class Holds(StrEnum):
    """What a file holds of its slide."""

    COORDS = "coords"
    FEATURES = "features"
    EMBEDDING = "slide embedding"
    ALL = "all"
    """Coords, features and embeddings, each a dataset of its own."""


@dataclass(frozen=True, slots=True)
class ResultFile:
    """One file of results of one slide."""

    stem: str
    path: Path
    holds: Holds
    encoder: str = ""
    """What made it, as its folder says; empty where that does not say it."""


@dataclass(frozen=True, slots=True)
class Group:
    """The results of one geometry."""

    folder: Path
    name: GeometryName | None
    """What the folder's name says, where it says anything."""
    files: tuple[ResultFile, ...]
    """Sorted by stem."""

    def by_stem(self) -> dict[str, list[ResultFile]]:
        """Return the files of every slide."""
        files_by_stem: dict[str, list[ResultFile]] = {}
        for file in self.files:
            files_by_stem.setdefault(file.stem, []).append(file)
        return files_by_stem


@dataclass(frozen=True, slots=True)
class ResultFolder:
    """A folder of results."""

    layout: FolderLayout
    folder: Path
    groups: tuple[Group, ...]
    outlines: Mapping[str, Path] = field(default_factory=dict)
    """Stem to the GeoJSON with the outlines of its tissue."""
    exported: tuple[str, ...] = ()
    """Slides whose files an export wrote, where nothing else lies there."""

    def files(self) -> Iterator[ResultFile]:
        """Yield all files of results."""
        for group in self.groups:
            yield from group.files

    def stems(self) -> list[str]:
        """Return the slides that have any result, sorted."""
        return sorted({file.stem for file in self.files()} | {*self.outlines, *self.exported})
