"""A plugin whose readers crash, by real signals, at the slides and places that a file beside it names."""

import json
from pathlib import Path

from worker_tasks import PLUGIN

CRASHING = (
    PLUGIN
    + """
import json
from atlaspatch_core.discovery import sources
from atlaspatch_core.patches.tiles.assembly import Assembly

ORDERS = json.loads((HERE / "crashes.json").read_text())  # stem: [place, count, signal]
open_slide = sources.open_slide
fill = Assembly.fill
current = []

class Crashing:
    def __init__(self, slide):
        self.slide, self.info, self.count = slide, slide.info, 0
    def crash(self, place):
        where, count, number = ORDERS.get(self.info.stem, ("nowhere", 0, 0))
        if place == where:
            self.count += 1
            if self.count > count:
                (HERE / f"crashed-{self.info.stem}").open("a").write(f"{os.getpid()}\\n")
                os.kill(os.getpid(), number)
                time.sleep(0 if place == "close" else 60)
    def read_region(self, region):
        self.crash("read")
        return self.slide.read_region(region)
    def close(self):
        self.crash("close")
        self.slide.close()
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.close()

def open_crashing(path, **options):
    slide = Crashing(open_slide(path, **options))
    current[:] = [slide]
    with (HERE / "opened").open("a") as file:
        file.write(f"{slide.info.stem}\\n")
    slide.crash("open")
    return slide

def fill_crashing(self, start, stop, shelf):
    if current:  # the process of the tests executes this, too, and opens no slide by it
        current[0].crash("decode")
    fill(self, start, stop, shelf)

if sources.open_slide.__name__ == "open_slide":
    sources.open_slide, Assembly.fill = open_crashing, fill_crashing
"""
)


def write_plugin(folder: Path, crashes: dict[str, tuple[str, int, int]]) -> Path:
    """Return a plugin by which the reader of a slide, by stem, is sent a signal at a place after so many times."""
    (folder / "crashes.json").write_text(json.dumps(crashes))
    (folder / "opened").write_text("")
    path = folder / "plugin.py"
    path.write_text(CRASHING)
    return path


def opened_stems(folder: Path) -> list[str]:
    """Return the slides that were opened since the plugin was written, in their order."""
    return (folder / "opened").read_text().split()
