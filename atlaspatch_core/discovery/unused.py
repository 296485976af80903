"""What a person gave that served no slide: rows of tables, and masks. A typo there would change results in silence."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.gathering import named_path
from atlaspatch_core.discovery.slide_names import SlideNames
from atlaspatch_core.discovery.slide_tables import read_mpp_csv
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.discovery.usable_names import printable
from atlaspatch_core.slides.slide import stem_of
from atlaspatch_core.tissue.supplied_masks import MaskFolder

MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class UnusedInput:
    """Rows of a table, or files of a folder, that served no slide."""

    source: Path
    names: tuple[str, ...]
    """As they are written there."""
    total: int
    """How many there are."""
    kind: str
    """``row`` or ``mask``."""

    @property
    def serves_none(self) -> bool:
        """Whether not a single one served a slide: the wrong file, or names of another form."""
        return len(self.names) == self.total

    @property
    def text(self) -> str:
        """One sentence that names them."""
        shown = ", ".join(map(printable, self.names[:MOST_NAMED])) + (" ..." if len(self.names) > MOST_NAMED else "")
        count = "none" if self.serves_none else f"{len(self.names)}"
        verb = "belongs" if self.serves_none or len(self.names) == 1 else "belong"
        kinds = self.kind if self.total == 1 else f"{self.kind}s"
        negated = f"{verb} to a slide" if self.serves_none else f"{verb} to no slide"
        return f"{self.source}: {count} of {self.total} {kinds} {negated} that was found: {shown}"


def unused_inputs(slides: Slides, discovery: Discovery) -> tuple[UnusedInput, ...]:
    """Return what of the table of µm/px, and of the folder of masks, served none of the slides that were found."""
    paths = discovery.paths
    return tuple(inputs for inputs in (*_rows(slides, paths), *_masks(slides, list(paths))) if inputs.names)


def _rows(slides: Slides, paths: Mapping[str, Path]) -> Iterator[UnusedInput]:
    """A row may name a file of several slides, or one of them."""
    if slides.mpp_csv:
        rows = read_mpp_csv(slides.mpp_csv)
        files = SlideNames({stem_of(path): path for path in paths.values()})
        sections = SlideNames({stem: named_path(path, stem) for stem, path in paths.items()})
        unknown = tuple(name for name in rows if files.stem(name) is None and sections.stem(name) is None)
        yield UnusedInput(slides.mpp_csv, unknown, len(rows), "row")


def _masks(slides: Slides, stems: Sequence[str]) -> Iterator[UnusedInput]:
    if slides.masks:
        folder = MaskFolder(slides.masks)
        served = {path for stem in stems for path in folder.of(stem)}
        files = folder.files
        yield UnusedInput(slides.masks, tuple(path.name for path in files if path not in served), len(files), "mask")
