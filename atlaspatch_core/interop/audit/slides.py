"""Results held against the slides that they were made of."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import Discovery, SlideSource, open_source
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.interop.audit.files import InspectedFile, note_beyond
from atlaspatch_core.interop.audit.findings import AuditFinding
from atlaspatch_core.layouts.found import ResultFolder
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.slides.content_hash import content_fingerprint
from atlaspatch_core.slides.files import slide_files
from atlaspatch_core.slides.local_copy import local_copy
from atlaspatch_core.slides.readers import needs_plugin_file

ANY_MPP = 1.0
"""Stated where only the size of a slide matters, so that one opens whose scale nobody knows."""


def sizes_of(sources: Iterable[SlideSource]) -> Iterator[tuple[SlideSource, tuple[int, int] | str]]:
    """Yield the size of every slide, level-0 px, or why it cannot be opened. A scale is not needed.

    Slides that plugin files alone read are left out where none may be executed.
    """
    for source in sources:
        if needs_plugin_file(source.path):
            continue
        try:
            with open_source(replace(source, mpp=ANY_MPP), Slides()) as slide:
                yield source, (slide.info.width, slide.info.height)
        except AtlasPatchError as error:
            yield source, str(error).removeprefix(f"{source.stem}: ")


def against_slide(inspected: InspectedFile, size: tuple[int, int]) -> None:
    """Note where a file says another size than its slide has, or, saying none, has coords beyond it."""
    stated_size = inspected.stated.size if inspected.stated else None
    if stated_size and stated_size != size:
        text = f"says that the slide is {stated_size[0]} × {stated_size[1]} px; it is {size[0]} × {size[1]} px"
        inspected.add("other_size", text, f"{stated_size[0]} × {stated_size[1]}", f"{size[0]} × {size[1]}")
    elif stated_size is None and inspected.patches:
        note_beyond(inspected, size)


def of_slides(
    result_folder: ResultFolder, discovery: Discovery, with_results: Mapping[str, Sequence[InspectedFile]]
) -> Iterator[AuditFinding]:
    """Yield slides without results, results without slides, and slides of one name or one content."""
    for clash in discovery.clashes:
        names = " and ".join(map(str, clash.paths))
        yield AuditFinding(
            "stem_clash", clash.stem, clash.paths[-1], f"{names} have one stem", str(len(clash.paths)), "1"
        )
    for source in discovery.sources:
        if source.stem not in with_results:
            yield AuditFinding(
                "missing", source.stem, source.path, f"has no results in {result_folder.folder}", "0", "≥ 1"
            )
    for stem in sorted(with_results.keys() - discovery.paths.keys()):
        yield AuditFinding("no_slide", stem, with_results[stem][0].file.path, "its slide is not among those named")
    yield from _same_content(sorted([*discovery.sources, *_of_clash(discovery)], key=lambda source: str(source.path)))


def _of_clash(discovery: Discovery) -> Iterator[SlideSource]:
    yield from (SlideSource(clash.stem, path) for clash in discovery.clashes for path in clash.paths)


def _same_content(sources: Sequence[SlideSource]) -> Iterator[AuditFinding]:
    """Yield slides that are there twice; only those of one size are read, and only in samples."""
    by_size: defaultdict[int, list[SlideSource]] = defaultdict(list)
    for source in sources:
        by_size[_bytes(source.path)].append(source)
    for size, alike in by_size.items():
        seen: dict[str, SlideSource] = {}
        for source in alike if len(alike) > 1 and size else ():
            content = _content(source.path)
            if not content:
                continue
            first = seen.setdefault(content, source)
            if first.path != source.path:
                text = f"has the very content of {shown_path(first.path)}"
                yield AuditFinding("same_content", source.stem, source.path, text, content, "one slide a content")


def _bytes(path: Path) -> int:
    try:
        return sum(file.stat().st_size for file in slide_files(path))
    except OSError:
        return 0


def _content(path: Path) -> str:
    try:
        return content_fingerprint(local_copy(path))
    except OSError:
        return ""
