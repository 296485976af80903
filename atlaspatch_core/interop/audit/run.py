"""The audit of a folder: every file once, then all of them together."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.interop.audit.against_project import of_others, of_ours
from atlaspatch_core.interop.audit.consistency import of_group
from atlaspatch_core.interop.audit.exports import of_exports
from atlaspatch_core.interop.audit.files import InspectedFile, inspect_apart
from atlaspatch_core.interop.audit.findings import AuditFinding
from atlaspatch_core.interop.audit.kept_files import of_kept_files
from atlaspatch_core.interop.audit.leftovers import leftovers
from atlaspatch_core.interop.audit.slides import against_slide, of_slides, sizes_of
from atlaspatch_core.interop.audit.unverified import marks_of
from atlaspatch_core.layouts.found import FolderLayout, Group, ResultFile, ResultFolder
from atlaspatch_core.validity.recipe import Recipe

READERS = 4
"""Threads; HDF5 reads one file at a time, the others compute meanwhile."""


def audit_folder(
    result_folder: ResultFolder,
    *,
    discovery: Discovery | None = None,
    recipe: Recipe | None = None,
    on_file: Callable[[], None] = lambda: None,
) -> Iterator[AuditFinding]:
    """Yield all that is wrong with a folder of results, and notes; nothing is written and nothing computed anew.

    Every file is read once, features in blocks, whatever their number.

    Args:
        result_folder: What ``recognise_folder`` says lies in the folder: results of TRIDENT, AtlasPatch, CLAM or ours.
        discovery: The slides that it was made of; without them sizes, names and content are not compared.
        recipe: What a project asks for; without it nothing is said to be stale.
        on_file: Called after each file.

    Yields:
        Findings, each with slide, file, value, bound and cure; problems and notes in no order.

    Raises:
        AtlasPatchError: A mask or a supplied file of the project cannot be read; results never raise.

    Example:
        >>> list(audit_folder(recognise_folder(Path("out"))))
        []
    """
    files_by_stem: dict[str, list[InspectedFile]] = defaultdict(list)
    groups: list[tuple[Group, list[InspectedFile]]] = []
    for group in result_folder.groups:
        groups.append((group, list(_inspect_all(group.files, on_file))))
        for inspected in groups[-1][1]:
            files_by_stem[inspected.file.stem].append(inspected)
    yield from _with_slides(files_by_stem, discovery)
    for group, inspected in groups:
        for inspected_file in inspected:
            yield from inspected_file.findings
        yield from of_group(result_folder, group, inspected)
    yield from _unverifiable(result_folder, groups, discovery)
    yield from leftovers(result_folder)
    yield from of_exports(result_folder.folder)
    if discovery:
        yield from of_slides(result_folder, discovery, files_by_stem)
    yield from _with_recipe(result_folder, recipe, discovery, groups)


def _inspect_all(files: Sequence[ResultFile], on_file: Callable[[], None]) -> Iterator[InspectedFile]:
    """Yield what is found in each file, in order; a few are read ahead."""
    rest = iter(files)
    with ThreadPoolExecutor(READERS, "audit") as pool:
        ahead = [pool.submit(inspect_apart, file) for file in islice(rest, 2 * READERS)]
        while ahead:
            yield ahead.pop(0).result()
            on_file()
            ahead += [pool.submit(inspect_apart, file) for file in islice(rest, 1)]


def _with_slides(files_by_stem: dict[str, list[InspectedFile]], discovery: Discovery | None) -> Iterator[AuditFinding]:
    for source, size in sizes_of(
        source for source in (discovery.sources if discovery else ()) if source.stem in files_by_stem
    ):
        if isinstance(size, str):
            yield AuditFinding("slide_unreadable", source.stem, source.path, size)
            continue
        for inspected in files_by_stem[source.stem]:
            against_slide(inspected, size)


def _unverifiable(
    result_folder: ResultFolder, groups: list[tuple[Group, list[InspectedFile]]], discovery: Discovery | None
) -> Iterator[AuditFinding]:
    """Yield that coords could not be held against their slides, once a folder."""
    for group, inspected in groups:
        unsure = sum(bool(file.patches) and not (file.stated and file.stated.size) for file in inspected)
        if unsure and discovery is None:
            text = f"{unsure} of {len(inspected)} files do not say how large their slide is"
            yield AuditFinding(
                "size_unknown", "", group.folder if group.folder != result_folder.folder else result_folder.folder, text
            )


def _with_recipe(
    result_folder: ResultFolder,
    recipe: Recipe | None,
    discovery: Discovery | None,
    groups: list[tuple[Group, list[InspectedFile]]],
) -> Iterator[AuditFinding]:
    if result_folder.layout is FolderLayout.OURS:
        yield from marks_of(file for _, inspected in groups for file in inspected)
        yield from of_kept_files(result_folder)
    if recipe is None:
        return
    if result_folder.layout is not FolderLayout.OURS:
        yield from of_others(recipe, result_folder)
        return
    sources = discovery.sources if discovery else ()
    yield from of_ours(recipe, result_folder, result_folder.stems(), sources)
