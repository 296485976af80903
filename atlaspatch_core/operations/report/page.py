"""The page: everything that the template shows, and the template filled in."""

from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core import __version__
from atlaspatch_core.config.project import Project
from atlaspatch_core.operations.report import charts
from atlaspatch_core.operations.report.cards import Card, make_cards, scanner
from atlaspatch_core.operations.report.colours import Colouring, LegendLine, colourings
from atlaspatch_core.operations.report.embeddings import EmbeddingMap, embedding_maps
from atlaspatch_core.operations.report.labels import SlideLabels
from atlaspatch_core.operations.report.outliers import find_outliers, list_measures
from atlaspatch_core.operations.report.rendering import Coverage, count_states, current_time, render_template
from atlaspatch_core.operations.report.values import Cohort


@dataclass(frozen=True, slots=True)
class Scatter:
    """One map of embeddings as it is drawn."""

    of: EmbeddingMap
    points: tuple[charts.Point, ...]
    radius: float
    """Of its dots, units of the drawing."""
    legends: tuple[tuple[LegendLine, ...], ...]
    """One of every colouring of the page, in their order."""


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
    colourings: tuple[Colouring, ...]
    """What the maps can be coloured by, the first to begin with."""
    labels: SlideLabels | None
    """What a table of labels says, where one was given."""

    @property
    def by_stem(self) -> dict[str, Card]:
        """Return stem to card."""
        return {card.summary.stem: card for card in self.cards}

    @property
    def colours(self) -> list[dict[str, object]]:
        """Return of every colouring its styles, and the group of each slide in the order of the cohort."""
        stems = [slide.stem for slide in self.cohort.slides]
        return [
            {"styles": [group.style for group in each.groups], "groups": [each.group_of[stem] for stem in stems]}
            for each in self.colourings
        ]

    @property
    def failed(self) -> tuple[str, ...]:
        """Stems of slides with an output that could not be made."""
        return tuple(dict.fromkeys(output.stem for output in self.cohort.failures))

    @property
    def odd(self) -> tuple[str, ...]:
        """Stems of slides that are unlike the others."""
        return tuple(card.summary.stem for card in self.cards if card.outliers)


def make_page(cohort: Cohort, project: Project, folder: Path, labels: SlideLabels | None = None) -> Page:
    """Return the page of a cohort; ``folder`` is where it will lie."""
    maps = embedding_maps(cohort.slides)
    numbers = list_measures(cohort.slides, maps)
    outliers = find_outliers(cohort.slides, numbers, maps, project.quality)
    cards = make_cards(cohort, outliers, maps, folder, labels)
    choices = colourings(cards, labels)
    return Page(
        project.output.resolve(),
        current_time(),
        __version__,
        cohort,
        cards,
        count_states(cohort.steps, (card for slide in cohort.slides for card in slide.outputs)),
        tuple(map(charts.histogram, numbers)),
        charts.shares(scanner(slide) for slide in cohort.slides if slide.info),
        tuple(_scatter(each, choices) for each in maps),
        choices,
        labels,
    )


def _scatter(of: EmbeddingMap, choices: tuple[Colouring, ...]) -> Scatter:
    legends = tuple(each.legend(of.stems) for each in choices)
    return Scatter(of, charts.points(of), charts.dot_radius(len(of.stems)), legends)


def render_report(page: Page) -> str:
    """Return the page as HTML that needs nothing beside it, but for linked pictures."""
    return render_template("page.html", page=page, text=charts.text)
