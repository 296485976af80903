"""One slide as the page shows it: its picture, its numbers, and why one should look at it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from atlaspatch_core.operations.report.charts import text
from atlaspatch_core.operations.report.embeddings import EmbeddingMap, Neighbour
from atlaspatch_core.operations.report.labels import SlideLabels
from atlaspatch_core.operations.report.outliers import Outlier
from atlaspatch_core.operations.report.rendering import MOST_EMBEDDED, picture_url
from atlaspatch_core.operations.report.values import PERSON, Cohort, SlideSummary
from atlaspatch_core.validity.states import State, Validity

FAILED, STALE, ODD, USUAL = 3000.0, 2000.0, 1000.0, 0.0
"""Where a slide stands in the order of the page, before its outliers count."""


@dataclass(frozen=True, slots=True)
class Card:
    """A slide on the page."""

    index: int
    """Number of the slide, from 0 by stem: its anchor is ``slide-<index>``."""
    summary: SlideSummary
    picture: str
    """URL or data URL, empty where there is no picture."""
    width: int
    """Of the frame that outlines are drawn into: level-0 px."""
    height: int
    facts: Mapping[str, str]
    """What the card says, by name."""
    keys: Mapping[str, float]
    """Numbers to sort by; slides without are last."""
    failed: tuple[Validity, ...]
    stale: tuple[Validity, ...]
    outliers: tuple[Outlier, ...]
    nearest: tuple[Neighbour, ...]
    labels: Mapping[str, str]
    """What a table of labels says of the slide, by column; empty text where it says nothing."""
    urgency: float
    """The larger, the sooner on the page."""

    @property
    def kinds(self) -> str:
        """Words that the filter of the page knows: ``failed``, ``stale``, ``missing``, ``odd``."""
        missing = self.summary.in_state(State.MISSING)
        applies = {"failed": self.failed, "stale": self.stale, "missing": missing, "odd": self.outliers}
        return " ".join(name for name, holds in applies.items() if holds)

    @property
    def scanner(self) -> str:
        """Vendor of the scanner."""
        return scanner(self.summary)


def scanner(slide: SlideSummary) -> str:
    """Return the vendor of the scanner as the file names it."""
    return (slide.info.vendor if slide.info else None) or "not stated"


def make_cards(
    cohort: Cohort,
    outliers: Mapping[str, tuple[Outlier, ...]],
    maps: Sequence[EmbeddingMap],
    folder: Path,
    labels: SlideLabels | None = None,
) -> tuple[Card, ...]:
    """Return the slides in the order of the page: failed, stale, odd, and then all others by stem.

    ``folder`` is where the page lies; pictures are linked from there.
    """
    embed = len(cohort.slides) <= MOST_EMBEDDED
    cards = [
        replace(
            _card(index, slide, outliers.get(slide.stem, ()), maps, picture_url(slide.picture, folder, embed=embed)),
            labels=labels.of_slide(slide.stem) if labels else {},
        )
        for index, slide in enumerate(cohort.slides)
    ]
    return tuple(sorted(cards, key=lambda card: (-card.urgency, card.index)))


def _card(
    index: int, slide: SlideSummary, outliers: tuple[Outlier, ...], maps: Sequence[EmbeddingMap], picture: str
) -> Card:
    failed, stale = slide.in_state(State.FAILED), slide.in_state(State.STALE)
    base = FAILED if failed else STALE if stale else ODD if outliers else USUAL
    return Card(
        index,
        slide,
        picture,
        slide.info.width if slide.info else 1,
        slide.info.height if slide.info else 1,
        dict(_facts(slide, maps)),
        _keys(slide),
        failed,
        stale,
        outliers,
        maps[0].nearest.get(slide.stem, ()) if maps else (),
        {},
        base + sum(outlier.score for outlier in outliers),
    )


def _maker_clause(slide: SlideSummary) -> str:
    """Return whose outlines they are, where no step made them."""
    if slide.outlines_by == PERSON:
        return f", edited by {PERSON}"
    return f", outlines of {slide.outlines_by}" if slide.outlines_by else ""


def _facts(slide: SlideSummary, maps: Sequence[EmbeddingMap]) -> Iterator[tuple[str, str]]:
    if "tissue_share" in slide.mask:
        yield "tissue", f"{slide.mask['tissue_share']:.1%}" + _maker_clause(slide)
    for geometry, count in slide.patches.items():
        yield f"patches {geometry}".strip(), text(count)
    if slide.info:
        yield "µm per px", f"{slide.info.mpp:.4g} ({slide.info.mpp_source})"
        yield "size", f"{slide.info.width:,} × {slide.info.height:,} px"
        yield "scanner", scanner(slide)
        if slide.info.stain:
            yield "stain", slide.info.stain
    for each in maps:
        if slide.stem in each.norms:
            yield f"length of {each.name}", f"{each.norms[slide.stem]:.4g}"
    if not slide.present:
        yield "note", "no longer lies in the project's folders"


def _keys(slide: SlideSummary) -> dict[str, float]:
    tissue = {"tissue": float(slide.mask["tissue_share"])} if "tissue_share" in slide.mask else {}
    patches = {"patches": float(sum(slide.patches.values()))} if slide.patches else {}
    return tissue | patches | ({"mpp": slide.info.mpp} if slide.info else {})
