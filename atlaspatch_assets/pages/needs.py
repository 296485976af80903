"""The page that says what needs a person today."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from urllib.parse import quote

from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.pages.view import Snapshot
from atlaspatch_core.operations.report.needs import Need, NeedKind
from atlaspatch_core.operations.report.needs_page import NeedsPage, render_needs_page
from atlaspatch_core.operations.report.rendering import count_states
from atlaspatch_core.operations.report.slide_page import render_slide_page, slide_page
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import Recipe


def render_needs(snapshot: Snapshot, web_ui: str) -> str:
    """Return the page; ``web_ui`` is where the pages of Dagster are, empty where nowhere."""
    status = snapshot.status
    recipe = status.recipe
    page = NeedsPage(
        Store(recipe.project.output).output.resolve(),
        len({output.stem for output in status.outputs}),
        len(snapshot.busy),
        snapshot.needs,
        count_states((stage.step for stage in recipe.stages), status.outputs),
        snapshot.notes,
        dict(_links(recipe, web_ui)),
        slide_url,
    )
    return render_needs_page(page)


def _links(recipe: Recipe, web_ui: str) -> Iterator[tuple[str, str]]:
    if web_ui:
        yield "Dagster", web_ui
    yield "All slides", "/status"
    report = Store(recipe.project.output).report()
    if report.is_file():
        yield "Cohort report", f"/{report.name}"
    yield "Metrics", "/metrics"
    yield "As JSON", "/needs.json"


def needs_as_json(snapshot: Snapshot) -> Mapping[str, object]:
    """Return the same for programs."""
    return {
        "read_at": snapshot.read_at,
        "busy": sorted(snapshot.busy),
        "notes": list(snapshot.notes),
        "needs": [asdict(need) for need in snapshot.needs],
    }


def slide_url(need: Need, stem: str) -> str:
    """Return where the server has the page of a slide, empty for what is no slide or has no output any more."""
    return "" if need.kind in (NeedKind.STUCK, NeedKind.REMOVED) else f"/slides/{quote(stem, safe='')}"


def render_slide(snapshot: Snapshot, stem: str, web_ui: str) -> str | None:
    """Return the page of a slide or case, None where the project has none of this name."""
    status = snapshot.status
    names = ProjectNames.of(status.recipe.project)

    def partition_url(step: OutputKey) -> str:
        key = quote("/".join(names.asset_key(step).path))
        return f"{web_ui}/assets/{key}?view=partitions&partition={quote(stem, safe='')}" if web_ui else ""

    page = slide_page(status, stem, status.recipe.project.output.absolute(), partition_url)
    return render_slide_page(page) if page else None
