"""Which file holds the scores of which slide: one table of many, or a folder with a file for each."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from atlaspatch_core.errors import InvalidScores
from atlaspatch_core.interop.scores.columns import READERS, Columns, read_score_columns
from atlaspatch_core.interop.scores.slide_rows import SlideRows, names_of
from atlaspatch_core.operations.label_tables import some_names
from atlaspatch_core.wording import format_count


class ScoreSource(NamedTuple):
    """The scores of one slide, to be read when it is drawn."""

    name: str
    """What errors call the file."""
    read: Callable[[], Columns]
    """Returns the rows of that slide alone; raises InvalidScores."""


class ScoreSources(NamedTuple):
    """What was found of all slides."""

    of_slides: Mapping[str, ScoreSource]
    """Stem to its scores."""
    others: Sequence[str]
    """Names of rows, or of files, that are of no slide."""
    kind: str
    """What these are: rows or files."""

    @property
    def about_others(self) -> str:
        """What to say of them, in a line."""
        slides = format_count(len(self.others), "slide")
        verb = "is" if self.kind == "files" and len(self.others) == 1 else "are"
        what = f"rows of {slides}" if self.kind == "rows" else format_count(len(self.others), "file")
        return f"{what} {verb} of none here: {some_names(self.others)}"


def slides_of_scores(source: Path, stems: Sequence[str], choice: Sequence[str] = ()) -> ScoreSources:
    """Return where the scores of slides are, in the order of the slides.

    Args:
        source: A file, which is read once for all slides, or a folder with one for each.
        stems: All slides that there are.
        choice: Those that were asked for by name, which all need scores; by default all that have some.

    Raises:
        InvalidScores: A slide that was asked for has no scores, or none has, or it is not said of which they are.
    """
    sources = _in_folder(source, stems) if source.is_dir() else _in_table(source, stems, choice or stems)
    without = [stem for stem in choice or stems if stem not in sources.of_slides]
    if without and (choice or not sources.of_slides):
        there_are = f"; there are {sources.kind} of {some_names(sources.others)}" if sources.others else ""
        raise InvalidScores(
            f"{without[0]}: {source} has no scores of it{there_are}; name a file, or a row, by the slide's stem"
        )
    return sources._replace(of_slides={s: sources.of_slides[s] for s in choice or stems if s in sources.of_slides})


def _in_table(table: Path, stems: Sequence[str], choice: Sequence[str]) -> ScoreSources:
    rows = SlideRows(read_score_columns(table), stems, table.name)
    if not rows.are_named and len(choice) > 1:
        raise InvalidScores(
            f"{table}: no column says of which of {len(choice)} slides a row is; name the slide, or add a column stem"
        )
    slides = {stem: ScoreSource(table.name, lambda stem=stem: rows.of(stem)) for stem in choice}
    return ScoreSources(
        {stem: slide for stem, slide in slides.items() if not rows.are_named or stem in rows.stems}, rows.others, "rows"
    )


def _in_folder(folder: Path, stems: Collection[str]) -> ScoreSources:
    names, files, others = names_of(stems), dict[str, Path](), list[str]()
    for path in _score_files(folder):
        stem = path.stem if path.stem in stems else names.stem(path.name)
        if stem is None:
            others.append(path.name)
        elif stem in files:
            raise InvalidScores(
                f"{folder}: {files[stem].name} and {path.name} are both of {stem}; move one to another folder"
            )
        else:
            files[stem] = path
    return ScoreSources({stem: _file(path, stem, stems) for stem, path in files.items()}, others, "files")


def _score_files(folder: Path) -> list[Path]:
    files = (path for path in sorted(folder.iterdir()) if path.suffix.lower() in READERS)
    return [path for path in files if path.is_file() and not path.name.startswith(".")]


def _file(path: Path, stem: str, stems: Collection[str]) -> ScoreSource:
    return ScoreSource(path.name, lambda: SlideRows(read_score_columns(path), stems, path.name).of(stem))
