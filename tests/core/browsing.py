"""Pages from disk in a real browser, without a network."""

import shutil
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def opened(browser, path: Path, **options):
    """Return the page without a network; whatever it complains of is in ``page.complaints``."""
    page = browser.new_page(**options)
    page.complaints = []
    page.context.set_offline(True)
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda request: page.complaints.append(request.url[:80]))
    page.goto(path.as_uri())
    return page
