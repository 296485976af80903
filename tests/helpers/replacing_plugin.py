"""A plugin that replaces a slide from the process that reads it, at the place that a file beside it names."""

import json
from pathlib import Path

from worker_tasks import PLUGIN

REPLACING = (
    PLUGIN
    + """
import json, sys
from atlaspatch_core.discovery import sources
from atlaspatch_core.patches.tiles.assembly import Assembly

ORDER = json.loads((HERE / "order.json").read_text())  # stem, place, count, way, new, helpers
sys.path.append(ORDER["helpers"])
from replacing import WAYS
open_slide = sources.open_slide
fill = Assembly.fill
current = []
counts = {}

def pass_by(place, path):
    if place == ORDER["place"] and path.stem == ORDER["stem"]:
        counts[place] = counts.get(place, -1) + 1
        if counts[place] == ORDER["count"] and not (HERE / "done").exists():
            (HERE / "done").touch()
            WAYS[ORDER["way"]](Path(ORDER["new"]), path)

class Replaced:
    def __init__(self, slide, path):
        self.slide, self.info, self.path = slide, slide.info, path
    def read_region(self, region):
        pixels = self.slide.read_region(region)
        pass_by("read", self.path)
        return pixels
    def close(self):
        pass_by("close", self.path)
        self.slide.close()
    def __enter__(self):
        return self
    def __exit__(self, *_):
        self.close()

def open_replaced(path, **options):
    pass_by("open", path)
    slide = Replaced(open_slide(path, **options), path)
    current[:] = [slide]
    pass_by("opened", path)
    return slide

def fill_replaced(self, start, stop, shelf):
    fill(self, start, stop, shelf)
    if current:  # the process of the tests executes this, too, and opens no slide by it
        pass_by("decode", current[0].path)

if sources.open_slide.__name__ == "open_slide":
    sources.open_slide, Assembly.fill = open_replaced, fill_replaced
"""
)
PLACES = ("open", "opened", "read", "decode", "close")


def write_plugin(folder: Path, order: dict[str, str | int]) -> Path:
    """Return a plugin by which the slide ``stem`` becomes the slide ``new`` at a place, after ``count`` passes."""
    (folder / "order.json").write_text(json.dumps(order | {"helpers": str(Path(__file__).parent)}))
    path = folder / "plugin.py"
    path.write_text(REPLACING)
    return path
