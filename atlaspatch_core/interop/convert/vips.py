"""libvips, where it is installed, set up for this package."""

import os
from functools import cache
from typing import TYPE_CHECKING, Any

from atlaspatch_core.encoders.extras import cure, need
from atlaspatch_core.errors import MissingExtra
from atlaspatch_core.isolation.cores import usable_cores

if TYPE_CHECKING:
    from types import ModuleType

COMMAND = "atlaspatch convert"


def share_cores(slides_at_once: int) -> None:
    """Let each of so many conversions have its share of the cores; to be called before libvips is first used."""
    share = max(1, usable_cores() // max(1, slides_at_once))
    os.environ.setdefault("VIPS_CONCURRENCY", str(share))


@cache
def vips() -> Any:
    """Return the module ``pyvips``. Raises MissingExtra when it, or libvips itself, is not installed."""
    try:
        module: ModuleType = need("pyvips", "convert", COMMAND)
    except OSError as error:
        raise MissingExtra(f"{COMMAND}: libvips is not installed ({error}); run: {cure('convert')}") from error
    module.cache_set_max(0)  # a cached operation would hold the file and the pixels of a slide that is done
    return module


def reason(error: Exception) -> str:
    """Return what libvips says, on one line."""
    return " ".join(str(error).split())
