"""The page: everything that the template shows, and the template filled in."""

from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core import __version__
from atlaspatch_core.config.project import Project
from atlaspatch_core.operations.report import charts
from atlaspatch_core.operations.report.cards import Card, make_cards, scanner
from atlaspatch_core.operations.report.embeddings import EmbeddingMap, embedding_maps
from atlaspatch_core.operations.report.outliers import find_outliers, list_measures
from atlaspatch_core.operations.report.rendering import Coverage, count_states, current_time, render_template
from atlaspatch_core.operations.report.values import Cohort


@dataclass(frozen=True, slots=True)
class Scatter:
    """One map of embeddings as it is drawn."""

    of: EmbeddingMap
    points: tuple[charts.Point, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """What the template shows."""

    output: Path
    """Folder of the outputs."""
    made_at: str
    version: str
    cohort: Cohort
    cards: tuple[Card, ...]
    """In the order of the page: those to look at first."""
    coverage: Coverage
    """Of every step, how many slides are in which state."""
    histograms: tuple[charts.Histogram, ...]
    scanners: tuple[charts.Share, ...]
    maps: tuple[Scatter, ...]

    @property
    def by_stem(self) -> dict[str, Card]:
        """Return stem to card."""
        return {card.summary.stem: card for card in self.cards}

    @property
    def failed(self) -> tuple[str, ...]:
        """Stems of slides with an output that could not be made."""
        return tuple(dict.fromkeys(output.stem for output in self.cohort.failures))

    @property
    def odd(self) -> tuple[str, ...]:
        """Stems of slides that are unlike the others."""
        return tuple(card.summary.stem for card in self.cards if card.outliers)


def make_page(cohort: Cohort, project: Project, folder: Path) -> Page:
    """Return the page of a cohort; ``folder`` is where it will lie."""
    maps = embedding_maps(cohort.slides)
    numbers = list_measures(cohort.slides, maps)
    outliers = find_outliers(cohort.slides, numbers, maps, project.quality)
    return Page(
        project.output.resolve(),
        current_time(),
        __version__,
        cohort,
        make_cards(cohort, outliers, maps, folder),
        count_states(cohort.steps, (card for slide in cohort.slides for card in slide.outputs)),
        tuple(map(charts.histogram, numbers)),
        charts.shares(scanner(slide) for slide in cohort.slides if slide.info),
        tuple(Scatter(each, charts.points(each)) for each in maps),
    )


def render_report(page: Page) -> str:
    """Return the page as HTML that needs nothing beside it, but for linked pictures."""
    return render_template("page.html", page=page, text=charts.text)
