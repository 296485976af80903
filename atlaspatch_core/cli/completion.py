"""Names that a shell completes: of encoders, segmenters, readers, geometries and devices.

Tables of names alone are read: neither torch nor a plugin is loaded. Names in plugin files are read off their text.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from atlaspatch_core.cli.shared_names import OTSU_WHOLE

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

Completion = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]


def patch_encoders(context: click.Context) -> Iterator[str]:
    """Yield the patch encoders, and what plugin files on the command line declare."""
    from atlaspatch_core.encoders.patch import PATCH_ENCODERS

    yield from PATCH_ENCODERS
    yield from plugin_names(context)


def slide_encoders(context: click.Context) -> Iterator[str]:
    """Yield the slide encoders, those that take means last."""
    from atlaspatch_core.encoders.slide import SLIDE_ENCODERS

    yield from SLIDE_ENCODERS
    yield from plugin_names(context)


def patient_encoders(context: click.Context) -> Iterator[str]:
    """Yield the encoders of cases."""
    yield "moozy"
    yield from (f"mean-{name}" for name in patch_encoders(context))


def all_encoders(context: click.Context) -> Iterator[str]:
    """Yield the encoders of patches and of slides."""
    yield from dict.fromkeys((*patch_encoders(context), *slide_encoders(context)))


def segmenters(context: click.Context) -> Iterator[str]:
    """Yield the segmenters, with the name of one of them that is of no other tool, and those of plugin files."""
    from atlaspatch_core.tissue.spec import SEGMENTER_NAMES

    yield from (*SEGMENTER_NAMES, OTSU_WHOLE)
    yield from plugin_names(context, "Segmenter")


def readers(context: click.Context) -> Iterator[str]:
    """Yield the readers, and those of plugin files."""
    from atlaspatch_core.slides.reader_names import READER_NAMES

    yield from READER_NAMES
    yield from plugin_names(context, "Reader")


def layouts(context: click.Context) -> Iterator[str]:
    """Yield the layouts of exports, and those of plugin files."""
    from atlaspatch_core.interop.export.layouts import LAYOUTS

    yield from LAYOUTS
    yield from plugin_names(context, "ExportLayout")


def geometries(context: click.Context) -> Iterator[str]:
    """Yield the geometries of the output folder or project file on the command line."""
    output = context.params.get("output")
    if output:
        yield from (path.parent.name for path in sorted(Path(output).glob("*/patches")))
        return
    import tomllib

    try:
        text = Path(context.params.get("project_file") or "atlaspatch.toml").read_text(encoding="utf-8")
        yield from (str(geometry["name"]) for geometry in tomllib.loads(text)["geometry"] if geometry.get("name"))
    except (OSError, UnicodeError, tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError):
        return  # nobody is told anything while they type


NAMES: dict[str, Callable[[click.Context], Iterable[str]]] = {
    "patch encoders": patch_encoders,
    "slide encoders": slide_encoders,
    "patient encoders": patient_encoders,
    "encoders": all_encoders,
    "segmenters": segmenters,
    "readers": readers,
    "layouts": layouts,
    "geometries": geometries,
}
"""What an option says that its words are names of, to these names."""


def completion_of(kind: str) -> Completion:
    """Return what completes names of a kind, after the last comma or blank where several may be given."""

    def complete(context: click.Context, param: click.Parameter, incomplete: str) -> "list[CompletionItem]":
        several = getattr(param.type, "several", False) or param.nargs == -1
        return matching(NAMES[kind](context), incomplete, several=several)

    return complete


def matching(names: Iterable[str], incomplete: str, *, several: bool = False) -> "list[CompletionItem]":
    """Return the names that begin as typed, in any case of letters; of several none that stands before."""
    from click.shell_completion import CompletionItem

    before = re.match(r"(?s).*[,\s]", incomplete) if several else None
    start = before[0] if before else ""
    typed = {word.lower() for word in re.split(r"[,\s]+", start) if word}
    begun = incomplete.removeprefix(start).lower()
    chosen = (name for name in dict.fromkeys(names) if name.startswith(begun) and name not in typed)
    return [CompletionItem(f"{start}{name}") for name in chosen]


NO_ENCODERS = ("Segmenter", "Reader", "ExportLayout")
"""What plugins declare beside encoders."""


def plugin_names(context: click.Context, kind: str = "") -> Iterator[str]:
    """Yield the names that plugin files on the command line seem to declare: ``name="…"`` in a call.

    ``kind`` is what is called, one of ``NO_ENCODERS``, whose first argument is the name, too; encoders otherwise.
    """
    from atlaspatch_core.plugins.source_text import argument, calls_in, name_called

    for path in context.params.get("feature_plugin") or ():
        for call in calls_in(Path(path)):
            called = name_called(call)
            name = argument(call, "name", 0 if kind or called == "from_module" else None)
            if isinstance(name, str) and called == (kind or called) and (kind or called not in NO_ENCODERS):
                yield name if kind else name.lower()
