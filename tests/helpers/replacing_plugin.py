"""A plugin that replaces a slide from the process that reads it, at the place that a file beside it names.

The file is read at each pass, so that one process serves all orders.
"""

import json
from itertools import count
from pathlib import Path

from plugins import plugin_file
from worker_tasks import PLUGIN

REPLACING = (
    PLUGIN
    + """
import json, sys
from atlaspatch_core.discovery import sources
from atlaspatch_core.patches.tiles.assembly import Assembly

sys.path.append(json.loads((HERE / "order.json").read_text())["helpers"])
from replacing import WAYS
open_slide = sources.open_slide
fill = Assembly.fill
current = []
passes = {}

def pass_by(place, path):
    order = json.loads((HERE / "order.json").read_text())  # number, stem, place, count, way, new, done, helpers
    if place == order["place"] and path.stem == order["stem"]:
        number = order["number"]
        passes[number] = passes.get(number, -1) + 1
        if passes[number] == order["count"] and not Path(order["done"]).exists():
            Path(order["done"]).touch()
            WAYS[order["way"]](Path(order["new"]), path)

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
_numbers = count()


def write_plugin(folder: Path, order: dict[str, str | int]) -> Path:
    """Return a plugin by which the slide ``stem`` becomes the slide ``new`` at a place, after ``count`` passes.

    It does so once, and then leaves a file ``done`` in the folder.
    """
    path = plugin_file(REPLACING)
    ours = {"number": next(_numbers), "done": str(folder / "done"), "helpers": str(Path(__file__).parent)}
    (path.parent / "order.json").write_text(json.dumps(order | ours))
    return path
