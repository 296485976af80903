"""Pages from disk in a real browser, without a network."""

import shutil
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MOST_MS = 300_000
"""How long a page may take for anything: the machine may be slow."""


def opened(browser, path: Path, **options):
    """Return the page without a network; whatever it complains of is in ``page.complaints``."""
    page = browser.new_page(**options)
    page.set_default_timeout(MOST_MS)
    page.add_init_script("window.keysUp = 0; addEventListener('keyup', () => { window.keysUp += 1; }, true);")
    page.complaints = []
    page.context.set_offline(True)
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("requestfailed", lambda request: page.complaints.append(request.url[:80]))
    page.goto(path.as_uri())
    return page


def press(page, key: str) -> None:
    """Press a key, and wait until the page has dealt with it: a busy browser does so later."""
    before = page.evaluate("window.keysUp")
    page.keyboard.press(key)
    page.wait_for_function("before => window.keysUp > before", arg=before)
