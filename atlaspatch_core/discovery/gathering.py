"""From files that were found to slides of different stems, with what tables state of each."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.search import LeftOut
from atlaspatch_core.discovery.sections import AS_FILES, SectionOfFile, SectionSearch, is_told_apart, tell_apart
from atlaspatch_core.discovery.slide_names import SlideNames
from atlaspatch_core.discovery.slide_tables import ListedSlide, TableMpp
from atlaspatch_core.discovery.sources import Clash, Discovery, SlideSource
from atlaspatch_core.discovery.usable_names import name_fault, on_one_line
from atlaspatch_core.slides.mpp import OPTION
from atlaspatch_core.slides.slide import stem_of

MPP_CSV = "mpp csv"
"""``mpp_source`` of an mpp that a table states."""
SLIDE_LIST = "slide list"
"""``mpp_source`` of an mpp that the list of slides states."""


def gather_sources(
    by_stem: Mapping[str, Sequence[tuple[Path, ...]]],
    left_out: Iterable[LeftOut] = (),
    mpp_by_name: Mapping[str, TableMpp] = MappingProxyType({}),
    listed: Mapping[Path, Sequence[ListedSlide]] = MappingProxyType({}),
    sections: SectionSearch = AS_FILES,
    cohorts: Mapping[Path, str] = MappingProxyType({}),
) -> Discovery:
    """Return slides of different stems, each with the mpp that a table states, and those that share one.

    Those whose name results cannot carry are left out: one of them would end a run, not itself alone.
    """
    files, unusable = usable_files(by_stem)
    alone = {stem: path for stem, (path, *others) in files.items() if not others}
    slides, late = sections_in(alone, listed, sections)
    sources = with_mpps(slides, mpp_by_name, {stem: path for stem, (path, *_) in files.items()})
    fits, too_long = parted(replace(source, cohort=source.cohort or cohorts.get(source.path, "")) for source in sources)
    paths = {stem: list(alike) for stem, alike in files.items() if len(alike) > 1}
    for source in (source for alike in fits.values() for source in alike):
        paths.setdefault(source.stem, []).append(source.path)
    singles = (source for (source, *_) in fits.values() if len(paths[source.stem]) == 1)
    clashing = sorted(stem for stem, alike in paths.items() if len(alike) > 1)
    return Discovery(
        tuple(sorted(singles, key=lambda source: source.place)),
        tuple(clash_of(stem, paths[stem], listed, cohorts) for stem in clashing),
        tuple(sorted(map(shown, (*left_out, *unusable, *too_long, *late)), key=lambda entry: str(entry.path))),
    )


def clash_of(
    stem: str, paths: Iterable[Path], listed: Mapping[Path, Sequence[ListedSlide]], cohorts: Mapping[Path, str]
) -> Clash:
    """Return the slides of one stem, with the cohorts that they are of."""
    paths = sorted(paths, key=str)
    of_rows = {row.cohort or cohorts.get(path, "") for path in paths for row in listed.get(path, ())}
    return Clash(stem, tuple(paths), tuple(sorted(of_rows or {cohorts.get(path, "") for path in paths})))


def usable_files(
    by_stem: Mapping[str, Sequence[tuple[Path, ...]]],
) -> tuple[dict[str, list[Path]], list[LeftOut]]:
    """Return stem to files, and those whose name results cannot carry."""
    faults = {(stem, path): name_fault(stem, path) for stem, ways in by_stem.items() for path, *_ in ways}
    files: defaultdict[str, list[Path]] = defaultdict(list)
    for (stem, path), fault in faults.items():
        if not fault:
            files[stem].append(path)
    return files, [LeftOut(path, fault) for (_, path), fault in faults.items() if fault]


def sections_in(
    files: Mapping[str, Path], listed: Mapping[Path, Sequence[ListedSlide]], sections: SectionSearch
) -> tuple[list[tuple[Path, SectionOfFile]], tuple[LeftOut, ...]]:
    """Return the slides in files, one each unless each section of it is to be one, and what there was no time for."""
    several = [path for path in files.values() if is_told_apart(listed.get(path, ()), sections.choice)]
    table = tell_apart(several, sections)
    sections_by_path = [
        (path, section)
        for stem, path in files.items()
        for section in table.of_file(stem, path, listed.get(path, ()), sections.choice)
    ]
    return sections_by_path, table.left_out


def parted(sources: Iterable[SlideSource]) -> tuple[dict[str, list[SlideSource]], list[LeftOut]]:
    """Return the slides by stem, and those whose stem became too long by the number of a section."""
    by_stem: defaultdict[str, list[SlideSource]] = defaultdict(list)
    too_long: list[LeftOut] = []
    for source in sources:
        if fault := name_fault(source.stem, source.path):
            too_long.append(LeftOut(source.path, fault))
        else:
            by_stem[source.stem].append(source)
    return by_stem, too_long


def shown(entry: LeftOut) -> LeftOut:
    """Return what was left out with a path and a sentence that can be printed and kept."""
    return replace(entry, path=Path(on_one_line(str(entry.path))), why=on_one_line(entry.why))


def with_mpps(
    sections: Sequence[tuple[Path, SectionOfFile]], mpp_by_name: Mapping[str, TableMpp], files: Mapping[str, Path]
) -> list[SlideSource]:
    """Return slides with the mpp that the line of the list states, or else the table: of the section, or its file.

    ``files``: stem to each file that was found.
    """
    by_file = match_mpps(mpp_by_name, files)
    names = {section.stem: path for path, section in sections if section.stem != stem_of(path)}
    by_section = match_mpps(mpp_by_name, names)
    return [
        source_of(path, section, by_section.get(section.stem, by_file.get(stem_of(path)))) for path, section in sections
    ]


def source_of(path: Path, section: SectionOfFile, stated: TableMpp | None) -> SlideSource:
    """Return a slide with what its line of the list says, and the mpp that this states, or else the table."""
    listed = section.listed
    source = SlideSource(section.stem, path, series=section.series)
    source = replace(source, notes=listed.notes, cohort=listed.cohort) if listed else source
    if listed and listed.mpp is not None:
        return replace(source, mpp=listed.mpp, mpp_source=SLIDE_LIST)
    if stated is None:
        return source
    return replace(source, mpp=stated.mpp, mpp_source=MPP_CSV, notes=(*source.notes, *stated.notes))


def with_mpp_of_file(sources: Iterable[SlideSource], slides: Slides) -> tuple[SlideSource, ...]:
    """Return slides with the mpp that is stated of the one file that they are of, where no table states theirs."""
    if slides.mpp is None or not slides.is_one_file:
        return tuple(sources)
    return tuple(
        source if source.mpp is not None else replace(source, mpp=slides.mpp, mpp_source=OPTION) for source in sources
    )


def match_mpps(mpp_by_name: Mapping[str, TableMpp], paths: Mapping[str, Path]) -> dict[str, TableMpp]:
    """Return stem to the µm/px of the name that means it, the last one's where several names do.

    A name that means no slide, or several, states nothing.
    """
    names = SlideNames(paths) if mpp_by_name else None
    mpps: dict[str, TableMpp] = {}
    for name, stated in mpp_by_name.items():
        if names and (stem := names.stem(name)) is not None:
            mpps[stem] = stated.after(mpps[stem]) if stem in mpps else stated
    return mpps
