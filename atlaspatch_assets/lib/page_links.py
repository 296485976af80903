"""Where the small server beside the web UI serves a project's pages, for links from events."""

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    import dagster as dg

VARIABLE = "ATLASPATCH_PAGES_URL"
"""Set by what starts that server, and by hand where it runs elsewhere; without it no event links to a page."""


def page_links(path: str) -> "dict[str, dg.MetadataValue]":
    """Return metadata that links to a page of the server; nothing where none is known of.

    ``path`` begins with a slash, ``/slides/a 1`` say; it is quoted here.
    """
    import dagster as dg

    url = os.environ.get(VARIABLE, "").rstrip("/")
    return {"page": dg.MetadataValue.url(f"{url}{quote(path)}")} if url else {}
