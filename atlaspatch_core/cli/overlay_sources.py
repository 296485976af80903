"""Which slides ``atlaspatch overlay`` draws, and where the numbers of each come from: files, or kept attention."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.errors import AtlasPatchError, InvalidScores, NotFresh

if TYPE_CHECKING:
    from atlaspatch_core.interop.export import Selection
    from atlaspatch_core.interop.scores import ScoredSlide
    from atlaspatch_core.interop.scores.sources import ScoreSources

ReadScores = Callable[[], "ScoredSlide"]
"""Reads the scores of one slide; raises what is wrong with them."""


def slides_of(context: click.Context) -> list[tuple[str, ReadScores]]:
    """Return the slides that are drawn, each with what reads its scores. Raises click.UsageError."""
    values = context.params
    if (values["source"] is None) == (values["attention"] is None):
        raise click.UsageError("give --scores or --attention, one of them")
    if values["attention"] is not None:
        if values["column"] is not None:
            raise click.UsageError("--column is of --scores; give --head to choose one of several heads")
        return _with_attention(context)
    if values["head"] is not None:
        raise click.UsageError("--head is of --attention; give --column to choose one of several columns")
    return _with_files(context)


def _with_files(context: click.Context) -> list[tuple[str, ReadScores]]:
    from atlaspatch_core.interop.scores import scored_slide

    values = context.params
    selection = _selection(context, frozenset(), {"tissue_mask"})
    sources = _sources(values["source"], values["stems"], selection)

    def reads(stem: str) -> ReadScores:
        source = sources.of_slides[stem]
        return lambda: scored_slide(selection.results(stem), source.read(), source.name, values["column"])

    return [(stem, _with_cure(reads(stem))) for stem in sources.of_slides]


def _with_cure(read: ReadScores) -> ReadScores:
    """Return what reads the same, and says what to do where results may not be used."""

    def reading() -> "ScoredSlide":
        try:
            return read()
        except NotFresh as error:
            raise NotFresh(f"{error}; run atlaspatch again, or take what is stale with --include-stale") from error

    return reading


def _with_attention(context: click.Context) -> list[tuple[str, ReadScores]]:
    """Return the slides that were named, or those that have an embedding of the encoder, be it a stale one."""
    from atlaspatch_core.interop.scores import attention_slide

    encoder, head, stems = (context.params[name] for name in ("attention", "head", "stems"))
    selection = _selection(context, frozenset([encoder]), {"tissue_mask", "slide_embedding"})
    _check_stems(stems, selection)
    drawn = stems or [stem for stem in selection.stems if _has_embedding(selection, stem)]
    if not drawn:
        raise click.UsageError(f"{encoder}: no slide in {selection.store.output} has an embedding of it")

    def reads(stem: str) -> ReadScores:
        return lambda: attention_slide(selection.results(stem), encoder, head)

    return [(stem, _with_cure(reads(stem))) for stem in drawn]


def _has_embedding(selection: "Selection", stem: str) -> bool:
    steps = selection.verdicts[stem]
    return any(step.kind == "slide_embedding" and selection.choice.takes(step) for step in steps)


def _selection(context: click.Context, encoders: frozenset[str], kinds: set[str]) -> "Selection":
    """Return the coords, outlines and embeddings of a folder. Raises click.UsageError."""
    from atlaspatch_core.interop.export import Choice, select_folder

    geometry = context.params["geometry"]
    chosen = frozenset([geometry]) if geometry is not None else None
    choice = Choice(encoders, chosen, context.params["include_stale"], frozenset(kinds))
    try:
        return select_folder(context.params["output_dir"], choice)
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error


def _sources(source: Path, stems: Sequence[str], selection: "Selection") -> "ScoreSources":
    """Return the scores of the slides to draw, and say which are of none. Raises click.UsageError for one without."""
    from atlaspatch_core.interop.scores import slides_of_scores

    _check_stems(stems, selection)
    try:
        sources = slides_of_scores(source, selection.stems, stems)
    except InvalidScores as error:
        raise click.UsageError(str(error)) from error
    if sources.others and not stems:
        click.echo(sources.about_others, err=True)
    return sources


def _check_stems(stems: Sequence[str], selection: "Selection") -> None:
    if unknown := sorted({*stems} - {*selection.stems}):
        raise click.UsageError(f"{unknown[0]}: no such slide in {selection.store.output}; a stem has no suffix")
