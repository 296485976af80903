"""The routes. Every one only reads, and nothing outside of the output folder is served."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from atlaspatch_assets.pages.metrics import ProjectCollector
from atlaspatch_assets.pages.needs import needs_as_json, render_needs, render_slide
from atlaspatch_assets.pages.view import ProjectView, of_cohorts
from atlaspatch_core.errors import AtlasPatchError, UnknownName
from atlaspatch_core.operations.report.status_page import render_status_page, status_page

LOCAL_HOSTS = ("127.0.0.1", "localhost")
SERVED = frozenset({".csv", ".geojson", ".html", ".jpg", ".json", ".md", ".png"})
"""Suffixes of files that a browser shows; arrays are for programs, which read the folder."""
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""Pages load nothing from elsewhere; what is inline in them is ours, and slides' names are escaped."""


class OutputFiles(StaticFiles):
    """Pictures and pages of an output folder; nothing hidden, and no link that leads out of it."""

    def lookup_path(self, path: str) -> tuple[str, Any]:
        """Return where a file lies; nothing for one that is not served."""
        parts = Path(path).parts
        if Path(path).suffix.lower() not in SERVED or any(part.startswith(".") for part in parts):
            return "", None
        return super().lookup_path(path)

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a file, with the headers of all pages."""
        response = super().file_response(*args, **kwargs)
        response.headers.update(HEADERS)
        return response


def build_app(view: ProjectView, *, hosts: Sequence[str] = LOCAL_HOSTS, web_ui: str = "") -> Starlette:
    """Return the server of a project.

    Args:
        view: What it shows.
        hosts: Names under which browsers may ask for it; a page of somebody else's cannot read it under another.
        web_ui: URL of Dagster's web UI that pages link to; empty for no links.

    Returns:
        An ASGI application: what needs a person at ``/``, every slide at ``/status`` and ``/slides/STEM``, the same for
        programs at ``/needs.json`` and ``/metrics``; and the files of the output folder. ``/status`` and
        ``/needs.json`` take ``?cohort=``.

    Example:
        >>> app = build_app(ProjectView(recipe, dg.DagsterInstance.ephemeral()))
        >>> sorted(route.path for route in app.routes)
        ['', '/', '/metrics', '/needs.json', '/slides/{stem}', '/status']
    """
    registry = CollectorRegistry()
    registry.register(ProjectCollector(view))

    def needs(_: Request) -> Response:
        return HTMLResponse(render_needs(view.read(), web_ui), headers=HEADERS)

    def needs_json(request: Request) -> Response:
        return JSONResponse(needs_as_json(of_cohorts(view.read(), _cohorts(request))), headers=HEADERS)

    def status(request: Request) -> Response:
        snapshot = of_cohorts(view.read(), _cohorts(request))
        page = status_page(snapshot.status, view.recipe.project.output.absolute())
        return HTMLResponse(render_status_page(page), headers=HEADERS)

    def slide(request: Request) -> Response:
        stem = request.path_params["stem"]
        page = render_slide(view.read(), stem, web_ui)
        if page is None:
            return PlainTextResponse(f"the project has no slide {stem}\n", status_code=404)
        return HTMLResponse(page, headers=HEADERS)

    def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    output = view.recipe.project.output
    output.mkdir(parents=True, exist_ok=True)
    routes = [
        Route("/", needs),
        Route("/needs.json", needs_json),
        Route("/status", status),
        Route("/slides/{stem}", slide),
        Route("/metrics", metrics),
        Mount("/", OutputFiles(directory=output)),
    ]
    trusted = Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    return Starlette(routes=routes, middleware=[trusted], exception_handlers=REFUSALS)


def _cohorts(request: Request) -> list[str]:
    """Return what ``?cohort=`` names, as often as it stands there."""
    return request.query_params.getlist("cohort")


async def _refusal(_: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", status_code=503)


async def _unknown(_: Request, error: Exception) -> Response:
    return PlainTextResponse(f"{error}\n", status_code=404)


REFUSALS = {AtlasPatchError: _refusal, UnknownName: _unknown}
