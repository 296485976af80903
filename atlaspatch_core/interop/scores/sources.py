"""Which file holds the scores of which slide: one table of many, or a folder with a file for each."""

from collections.abc import Sequence
from pathlib import Path

from atlaspatch_core.errors import InvalidScores
from atlaspatch_core.interop.scores.columns import READERS, read_score_columns
from atlaspatch_core.interop.scores.matching import slides_of_rows


def slides_of_scores(source: Path, stems: Sequence[str], *, is_named: bool) -> list[tuple[str, Path]]:
    """Return slides with their files of scores, in the order of ``stems``.

    Args:
        source: A file, or a folder with one for each slide.
        stems: The slides that there are, or that were asked for by name.
        is_named: Whether they were asked for: then each needs its scores; else those that have none are left out.

    Raises:
        InvalidScores: A slide that was asked for has no scores, or none has, or it is not said of which they are.
    """
    if source.is_dir():
        files = {stem: path for stem in stems if (path := _file_of(source, stem))}
    else:
        slides = slides_of_rows(read_score_columns(source), stems)
        if slides is None and len(stems) > 1:
            raise InvalidScores(
                f"{source}: no column says of which of {len(stems)} slides a row is; name the slide, or add a "
                "column stem"
            )
        files = dict.fromkeys(stems if slides is None else slides, source)
    without = [stem for stem in stems if stem not in files]
    if without and (is_named or not files):
        raise InvalidScores(
            f"{without[0]}: {source} has no scores of it; a file, or a row, is named by the slide's stem"
        )
    return [(stem, files[stem]) for stem in stems if stem in files]


def _file_of(folder: Path, stem: str) -> Path | None:
    return next((path for suffix in READERS if (path := folder / f"{stem}{suffix}").is_file()), None)
