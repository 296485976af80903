"""What a reader declares of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType

from atlaspatch_core.errors import MissingExtra, UnreadableSlide
from atlaspatch_core.slides.mpp import StatedMpp
from atlaspatch_core.slides.slide import Slide


def no_folder(path: Path) -> bool:  # noqa: ARG001 - the answer is the same for all
    """Say that no folder is one slide of this format."""
    return False


def no_sections(path: Path) -> tuple[int, ...]:  # noqa: ARG001 - the answer is the same for all
    """Say that a file of this format holds one scan."""
    return ()


class UnsupportedSlide(UnreadableSlide):
    """The slide seems whole, and this reader lacks what it needs to decode it; another may have it."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One way to read slides. Its library is imported when a function is called, not when it is declared."""

    name: str
    suffixes: tuple[str, ...]
    """Lower case, with the dot: what a folder is searched for."""
    recognises: Callable[[Path], bool]
    """Say by its content whether the file or folder is of a format that this reader knows; never raises.

    It needs no extra: a slide whose library is not installed is known for what it is.
    """
    open: Callable[[Path, StatedMpp, int | None], Slide]
    """Open the file or folder, with what the user says of its scale, and the image of it that is asked for, if one is.

    Raises UnreadableSlide, UnknownScale, ImplausibleScale, or MissingExtra when its library is not installed;
    UnsupportedSlide has the next reader that knows the content asked.
    """
    is_folder: Callable[[Path], bool] = no_folder
    """Say by its name and the names in it whether an existing folder is one slide of this format; cheap."""
    sections: Callable[[Path], tuple[int, ...]] = no_sections
    """Return the numbers by which ``open`` takes the scans of a file that holds several; no scale is needed.

    Raises what ``open`` raises where the file cannot be followed.
    """
    plugin: str | None = None
    """sha256 of the plugin file that declares it."""


def import_extra(module: str, extra: str, stem: str) -> ModuleType:
    """Return a module that an optional extra brings. Raises MissingExtra with the line to run."""
    try:
        return import_module(module)
    except (ImportError, OSError) as error:  # OSError: a shared library that it needs is missing
        raise MissingExtra(
            f"{stem}: reading it needs {module.partition('.')[0]}, which cannot be imported ({error}); "
            f"run: pip install 'atlaspatch[{extra}]'"
        ) from error
