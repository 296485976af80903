"""Which slides lie where the user points."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.cohorts import cohort_of, common_cohort
from atlaspatch_core.discovery.search import (
    KNOWN_SUFFIXES,
    FolderContents,
    LeftOut,
    ResultPictures,
    Search,
    pattern_of,
    root_of,
    search,
)
from atlaspatch_core.discovery.sections import (
    AS_FILES,
    SectionOfFile,
    SectionSearch,
    is_told_apart,
    tell_apart,
)
from atlaspatch_core.discovery.slide_names import SlideNames
from atlaspatch_core.discovery.slide_tables import (
    ListedSlide,
    TableMpp,
    add_row,
    listed_path,
    missing,
    read_mpp_csv,
    read_slide_list,
)
from atlaspatch_core.discovery.usable_names import name_fault, printable
from atlaspatch_core.errors import AtlasPatchError, NoSlides, StemClash, UnreadableSlide, UnseenSlides
from atlaspatch_core.slides.files import slides_by_stem
from atlaspatch_core.slides.readers import open_slide
from atlaspatch_core.slides.sections import ALL, SeriesChoice, find_sections
from atlaspatch_core.slides.slide import Slide, stem_of
from atlaspatch_core.storage.store import Store

MPP_CSV = "mpp csv"
"""``mpp_source`` of an mpp that a table states."""
SLIDE_LIST = "slide list"
"""``mpp_source`` of an mpp that the list of slides states."""
MOST_NAMED = 5
"""Things left out that are named where nothing at all is found."""


@dataclass(frozen=True, slots=True)
class SlideSource:
    """A slide that has not been opened: its file, or folder, and what the user says of it."""

    stem: str
    """That of the file, but for one of several sections of it."""
    path: Path
    mpp: float | None = None
    """µm per px of level 0 that the user states, or None."""
    mpp_source: str = ""
    local: Path | None = None
    """An equal copy on faster storage, which is read in its place; nothing that is kept names it."""
    notes: tuple[str, ...] = ()
    """What a person should know of how it is named and read, a clause each; a run warns of it."""
    series: SeriesChoice = None
    """Which image of the file it is; None: the largest. ``all``: its sections could not be told apart."""
    cohort: str = field(default="", compare=False)
    """Folder that it came from, as ``slides/kidney/2024``, or what the list of slides says; it decides no result."""

    @property
    def readable(self) -> Path:
        """Where the slide's pixels are read."""
        return self.local or self.path

    @property
    def place(self) -> str:
        """What sorts slides: the path, and within a file the number."""
        return str(self.path) if self.stem == stem_of(self.path) else f"{self.path}\0{self.series:08}"


@dataclass(frozen=True, slots=True)
class Clash:
    """Slides of one stem: they would write one output, so none of them is worked on."""

    stem: str
    paths: tuple[Path, ...]
    """Two or more, sorted."""
    cohorts: tuple[str, ...] = field(default=(), compare=False)
    """Theirs, sorted, each once."""

    @property
    def error(self) -> StemClash:
        """What to tell the user."""
        files = " and ".join(str(path) if stem_of(path) == self.stem else f"an image of {path}" for path in self.paths)
        return StemClash(f"{self.stem}: {files} have one stem and would write one output; rename or move all but one")


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found."""

    sources: tuple[SlideSource, ...]
    """Sorted by path, sections by number; every stem once."""
    clashes: tuple[Clash, ...] = ()
    """Sorted by stem."""
    left_out: tuple[LeftOut, ...] = ()
    """Folders that cannot be listed, links that lead nowhere, names that results cannot carry, slides of a list that
    are not there; sorted by path, which is printable."""
    results: tuple[Path, ...] = ()
    """Folders of results, whose pictures are no slides; sorted."""

    @property
    def by_stem(self) -> dict[str, SlideSource]:
        """Stem to the slide that has it for itself."""
        return {source.stem: source for source in self.sources}

    @property
    def paths(self) -> dict[str, Path]:
        """Stem to where its slide lies; of files that share a stem, the first."""
        return {source.stem: source.path for source in self.sources} | {
            clash.stem: clash.paths[0] for clash in self.clashes
        }

    @property
    def not_searched(self) -> str:
        """One sentence about the folders of results, or an empty text."""
        count = len(self.results)
        shown = ", ".join(printable(str(path)) for path in self.results[:MOST_NAMED]) + " …" * (count > MOST_NAMED)
        nouns = "folder of results is" if count == 1 else "folders of results are"
        return f"{count} {nouns} not searched for slides: {shown}" if count else ""

    @property
    def cohorts(self) -> dict[str, tuple[str, ...]]:
        """Stem to the cohort of a slide, or to those of slides that share it."""
        of_slides = {source.stem: (source.cohort,) for source in self.sources}
        return of_slides | {clash.stem: clash.cohorts for clash in self.clashes}

    @property
    def cohort_by_stem(self) -> dict[str, str]:
        """Stem to cohort; of slides that share a stem, the one that holds theirs."""
        return {stem: common_cohort(cohorts) for stem, cohorts in self.cohorts.items()}

    @property
    def unseen(self) -> tuple[LeftOut, ...]:
        """Folders that could not be looked into: slides may lie there, so none is known to be gone."""
        return tuple(entry for entry in self.left_out if entry.is_folder)


def open_source(source: SlideSource, slides: Slides, **more: Any) -> Slide:
    """Open a slide as the project says; ``more`` is what ``open_slide`` takes besides; raises what it raises."""
    if source.series == ALL:
        check_single(source, slides.reader)
    return open_slide(
        source.readable,
        mpp=source.mpp,
        mpp_source=source.mpp_source,
        mpp_keys=slides.mpp_keys,
        reader=slides.reader,
        series=None if source.series == ALL else source.series,
        square_pixels=slides.square_pixels,
        stem=source.stem,
        **more,
    )


def check_single(source: SlideSource, reader: str | None) -> None:
    """Raise UnreadableSlide for a file of several sections that were not told apart; raise what telling them raises."""
    if numbers := find_sections(source.readable, reader):
        raise UnreadableSlide(
            f"{source.stem}: the images {', '.join(map(str, numbers))} of {source.path.name} could not be told apart "
            f"when the slide was found; run again"
        )


def find_slides(project: Project, *, seconds: float | None = None, remember: bool = True) -> Discovery:
    """Return what lies where a project points, but for what it made itself and for masks.

    No slide is opened, but for files of which each section is to be a slide, and these once.

    Args:
        project: Its ``slides`` say where to look, for which suffixes, and which tables state µm/px.
        seconds: For how long files may be opened; those beyond are left out, as if they lay in a folder out of sight.
        remember: Whether the output folder may remember what files hold.

    Returns:
        Slides sorted by path, every stem once; files that share a stem; and what could not be looked at.

    Raises:
        NoSlides: There is nothing; UnseenSlides, one of its kinds, where a folder could not be listed.
        InvalidProject: A table cannot be used.

    Example:
        >>> [source] = find_slides(load_project(Path("atlaspatch.toml"))).sources
        >>> source.stem, source.mpp
        ('CMU-1-Small-Region', None)
    """
    slides, output = project.slides, project.output
    mpp_by_name = read_mpp_csv(slides.mpp_csv) if slides.mpp_csv else {}
    sections = section_search(project, seconds=seconds, remember=remember)
    if slides.slide_list:
        return find_listed(slides.slide_list, slides.folders, mpp_by_name, sections, slides.cohort_column)
    return discover(
        slides.folders,
        recursive=slides.recursive,
        extensions=slides.extensions,
        mpp_by_name=mpp_by_name,
        exclude=[output, *Store(output).pictures(), *([slides.masks] if slides.masks else [])],
        sections=sections,
    )


def find_slides_if_any(
    project: Project, *, unless: type[AtlasPatchError] = NoSlides, seconds: float | None = None
) -> Discovery:
    """Return what ``find_slides`` does, and nothing where it raises that there is none, or the error that is named."""
    try:
        return find_slides(project, seconds=seconds)
    except unless:
        return Discovery(())


def section_search(project: Project, *, seconds: float | None = None, remember: bool = True) -> SectionSearch:
    """Return which images of files are slides of a project; its output folder remembers what files hold."""
    slides, memory = project.slides, Store(project.output).index("sections")
    return SectionSearch(slides.series, slides.reader, memory, remember, seconds)


def discover(
    paths: Sequence[Path],
    *,
    recursive: bool = False,
    extensions: Sequence[str] = (),
    mpp_by_name: Mapping[str, TableMpp] = MappingProxyType({}),
    exclude: Iterable[Path] = (),
    sections: SectionSearch = AS_FILES,
) -> Discovery:
    """Return the slides among ``paths``: files as they are, folders and patterns (``slides/**/*.svs``) searched.

    Searched are the readers' suffixes, or the ``extensions``, in any case. Hidden files, files that belong to another
    slide, pictures among results, and the ``exclude`` folders (the output, say) are left out. A Zarr store, and a
    folder of the DICOM instances of one series, is one slide, and so is what several paths lead to. What cannot be
    looked at is told in ``left_out``.
    Raises NoSlides when a path is missing, or nothing at all is found; it is UnseenSlides where a folder was not seen.
    """
    suffixes = tuple(extension.lower() for extension in extensions) or KNOWN_SUFFIXES
    how = Search(suffixes, None if recursive else 0, frozenset(str(folder.resolve()) for folder in exclude))
    files: dict[str, Path] = {}
    left_out: dict[Path, LeftOut] = {}
    results: set[Path] = set()
    cohorts: dict[Path, str] = {}
    for place, one in ((path, one) for path in paths for one in found_at(path, how)):
        if isinstance(one, FolderContents):
            if files.setdefault(one.real, one.path) is one.path:
                cohorts[one.path] = cohort_of(one.path, folder_of(place))
        elif isinstance(one, ResultPictures):
            results.add(one.path)
        else:
            left_out.setdefault(one.path, one)
    gathered = gather_sources(
        slides_by_stem(files.values()), left_out.values(), mpp_by_name, sections=sections, cohorts=cohorts
    )
    discovery = replace(gathered, results=tuple(sorted(results)))
    if not discovery.sources and not discovery.clashes:
        raise (UnseenSlides if discovery.unseen else NoSlides)(nothing_found(paths, how, discovery))
    return discovery


def folder_of(path: Path) -> Path:
    """Return the folder that is searched for a path or a pattern; of a file the one that it lies in."""
    root = root_of(path)
    return root if root.is_dir() else root.parent


def found_at(path: Path, how: Search) -> Iterator[FolderContents | LeftOut | ResultPictures]:
    """Yield the file, or the slides of the folder or the pattern. Raises NoSlides when there is no such path."""
    if pattern := pattern_of(path):
        deep = how.depth is None
        within = Search(how.suffixes, None if deep else pattern.depth, how.excluded)
        yield from (
            one for one in (search(pattern.base, within) if pattern.base.is_dir() else ()) if pattern.fits(one, deep)
        )
    elif path.is_dir():
        yield from search(path, how)
    elif path.exists():
        yield FolderContents(path, str(path.parent.resolve() / path.name))
    else:
        raise NoSlides(f"{path}: no such file or folder; check the path")


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
    paths = {stem: tuple(paths) for stem, paths in files.items() if len(paths) > 1}
    paths |= {stem: tuple(source.path for source in alike) for stem, alike in fits.items() if len(alike) > 1}
    singles = (source for source, *others in fits.values() if not others)
    return Discovery(
        tuple(sorted(singles, key=lambda source: source.place)),
        tuple(clash_of(stem, paths[stem], listed, cohorts) for stem in sorted(paths)),
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
    return replace(entry, path=Path(printable(str(entry.path))), why=printable(entry.why))


def with_mpps(
    sections: Sequence[tuple[Path, SectionOfFile]], mpp_by_name: Mapping[str, TableMpp], files: Mapping[str, Path]
) -> list[SlideSource]:
    """Return slides with the mpp that the line of the list states, or else the table: of the section, or its file.

    ``files``: stem to each file that was found.
    """
    by_file = match_mpps(mpp_by_name, files)
    names = {
        section.stem: named_path(path, section.stem) for path, section in sections if section.stem != stem_of(path)
    }
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


def named_path(path: Path, stem: str) -> Path:
    """Return the path that a section would have as a file of its own."""
    return path.with_name(stem + path.name.removeprefix(stem_of(path)))


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


def find_listed(
    table: Path,
    folders: Sequence[Path],
    mpp_by_name: Mapping[str, TableMpp],
    sections: SectionSearch = AS_FILES,
    cohort_column: str | None = None,
) -> Discovery:
    """Return the slides that a list names, whose paths start at ``folders``, or at the list's own folder if none.

    A slide that two lines name, by whatever paths, is taken once. Raises NoSlides when none of them is there,
    InvalidProject for a list that cannot be used, also for a slide of which two lines state two mpp.
    """
    listed: defaultdict[Path, dict[SeriesChoice, ListedSlide]] = defaultdict(dict)
    left_out: list[LeftOut] = []
    cohorts: dict[Path, str] = {}
    for slide in read_slide_list(table, cohort_column):
        places = ((folder, listed_path(folder, slide.name)) for folder in folders or (table.parent,))
        folder_by_path = {path: folder for folder, path in places if path.exists()}
        for path, folder in folder_by_path.items():
            add_row(table, listed[path], slide)
            cohorts.setdefault(path, cohort_of(path, folder))
        if not folder_by_path:
            left_out.append(missing(table, slide, folders or (table.parent,)))
    if not listed:
        raise NoSlides(f"{table}: none of its slides is there; {left_out[0].why}")
    by_stem = slides_by_stem(listed)
    for path, *others in (ways for slides in by_stem.values() for ways in slides):
        for slide in (slide for other in others for slide in listed[other].values()):
            add_row(table, listed[path], slide)
    rows = {path: tuple(of_path.values()) for path, of_path in listed.items()}
    discovery = gather_sources(by_stem, left_out, mpp_by_name, rows, sections, cohorts)
    if not discovery.sources and not discovery.clashes:
        raise NoSlides(f"{table}: none of its slides can be taken; {discovery.left_out[0].why}")
    return discovery


def nothing_found(paths: Sequence[Path], how: Search, discovery: Discovery) -> str:
    """Return what to say when no folder holds a slide."""
    left_out = discovery.left_out
    if left_out:
        whys = "; ".join(entry.why for entry in left_out[:MOST_NAMED])
        return whys if len(left_out) <= MOST_NAMED else f"{whys}; and {len(left_out) - MOST_NAMED} more"
    folders = ", ".join(str(path) for path in paths) or "no path"
    among_results = f" ({discovery.not_searched})" if discovery.results else ""
    cure = "name another folder" if how.depth is None else "name another folder, or search those below it (--recursive)"
    return f"{folders}: no slide found, with none of the suffixes {' '.join(how.suffixes)}{among_results}; {cure}"
