"""The table of cases: CSV with the columns case_id and slide_path; mpp where the slide does not say it, and series."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.cohorts import cohort_of
from atlaspatch_core.discovery.find import section_search
from atlaspatch_core.discovery.gathering import SLIDE_LIST, with_mpps
from atlaspatch_core.discovery.private_slides import PrivateSlides
from atlaspatch_core.discovery.search import LeftOut
from atlaspatch_core.discovery.sections import AS_FILES, SectionOfFile, SectionSearch, is_told_apart, tell_apart
from atlaspatch_core.discovery.slide_tables import ListedSlide, TableMpp, listed_path, read_mpp_csv, shown_name
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.discovery.usable_names import case_fault, name_fault
from atlaspatch_core.errors import InvalidManifest
from atlaspatch_core.slides.private_links import is_private
from atlaspatch_core.slides.sections import ALL, SeriesChoice, as_series
from atlaspatch_core.slides.slide import folded, stem_of
from atlaspatch_core.slides.stated_scales import positive_number
from atlaspatch_core.tables import TableRow, read_table
from atlaspatch_core.texts import is_there, path_fault

COLUMNS = ("case_id", "slide_path")
UNNAMED = "it has no pseudonym; add it to the table of these"
MPP_SOURCE = "manifest"
"""``mpp_source`` of an mpp that the table states."""


@dataclass(frozen=True, slots=True)
class Case:
    """A patient, or a part of one that is to have an embedding of its own."""

    case_id: str
    stems: tuple[str, ...]
    """Its slides in the order of the table; one at least, each once."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the table says."""

    path: Path
    cases: tuple[Case, ...]
    """In the order in which the table first names them."""
    slides: Mapping[str, SlideSource]
    """Stem to slide; a slide may belong to several cases."""
    left_out: tuple[LeftOut, ...] = ()
    """Cases that results cannot carry, by their id or by the name of a slide, a sentence each."""

    def case(self, case_id: str) -> Case | None:
        """Return a case, or None when the table does not name it."""
        return next((case for case in self.cases if case.case_id == case_id), None)

    def cases_with(self, stems: Collection[str]) -> frozenset[str]:
        """Return the ids of the cases that have one of these slides."""
        return frozenset(case.case_id for case in self.cases if not set(case.stems).isdisjoint(stems))

    def cases_by_slide(self) -> dict[str, tuple[str, ...]]:
        """Return stem to the ids of its cases."""
        by_slide: dict[str, tuple[str, ...]] = {}
        for case in self.cases:
            for stem in case.stems:
                by_slide[stem] = (*by_slide.get(stem, ()), case.case_id)
        return by_slide

    def sources(self, cases: Iterable[Case]) -> tuple[SlideSource, ...]:
        """Return the slides of cases, each once."""
        return tuple(self.slides[stem] for stem in dict.fromkeys(stem for case in cases for stem in case.stems))


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One line of the table."""

    line: int
    case_id: str
    slide: Path
    mpp: float | None
    series: SeriesChoice = None
    """Which image of the file, where the line says so."""


def read_manifest(
    path: Path,
    mpp_csv: Path | None = None,
    sections: SectionSearch = AS_FILES,
    private: PrivateSlides | None = None,
) -> Manifest:
    """Read the table; relative paths start at its folder, and ``~`` is the user's home.

    ``mpp_csv`` is the project's table of µm/px, which counts for slides whose mpp the table of cases leaves empty;
    ``sections`` says the same of images of their files. All sections of a file are slides of its case. ``private``
    slides are called by their pseudonyms, which the table may give in place of a path.

    A byte order mark, Windows newlines, semicolons and decimal commas are understood, as in a table of mpp. An empty
    mpp says nothing. Raises InvalidManifest naming file, line and value for a missing column, an empty or unusable
    case_id, a slide that is empty, missing or no file, an mpp that is no number, a slide named twice in a case or with
    two mpp, two slides of one stem, ids that differ in capitals or accents alone, and a table without
    a case that can be taken; InvalidProject for an ``mpp_csv`` that cannot be used.
    """
    table = read_table(path, COLUMNS, ("mpp", "series"), InvalidManifest, is_private=bool(private))
    rows = _linked([_row(path, row, private) for row in table], private)
    if not rows:
        raise InvalidManifest(f"{path}: names no case; give one line for each slide under case_id,slide_path")
    _check_ids(path, rows)
    left_out = _left_out(path, rows, is_private_table=bool(private))
    rows = [row for row in rows if row.case_id not in left_out]
    if not rows:
        raise InvalidManifest(next(iter(left_out.values())).why)
    listed = _listed(path, rows)
    sections_by_row = _sections(rows, listed, sections)
    mpp_by_name = read_mpp_csv(mpp_csv, is_private=bool(private)) if mpp_csv else {}
    slides = _slides(path, rows, sections_by_row, mpp_by_name)
    stems: defaultdict[str, list[str]] = defaultdict(list)
    for row, row_sections in zip(rows, sections_by_row, strict=True):
        for section in row_sections:
            if section.stem in stems[row.case_id]:
                twice = f"{row.slide} stands twice in case {row.case_id}"
                raise _error(path, row.line, twice, "delete one of the lines")
            stems[row.case_id].append(section.stem)
    cases = tuple(Case(case_id, tuple(of_case)) for case_id, of_case in stems.items())
    return Manifest(path.absolute(), cases, slides, tuple(left_out.values()))


def _check_ids(path: Path, rows: Sequence[ManifestRow]) -> None:
    """Raise InvalidManifest for two ids that look alike: they would share a patient's slides between two cases."""
    first: dict[str, ManifestRow] = {}
    for row in rows:
        earlier = first.setdefault(folded(row.case_id), row)
        if earlier.case_id != row.case_id:
            both = f"case_id {row.case_id} differs from {earlier.case_id} in line {earlier.line}"
            raise _error(path, row.line, f"{both} in capitals or accents alone", "write one patient one way")


def _left_out(path: Path, rows: Sequence[ManifestRow], *, is_private_table: bool) -> dict[str, LeftOut]:
    """Return the cases that are left out, by their id: one of them would end a run, not itself alone."""
    left_out: dict[str, LeftOut] = {}
    for row in rows:
        is_unnamed = is_private_table and not is_private(row.slide)
        of_slide = UNNAMED if is_unnamed else name_fault(stem_of(row.slide), row.slide)
        fault = case_fault(row.case_id) or (of_slide and f"case {row.case_id} is left out with a slide: {of_slide}")
        if fault:
            left_out.setdefault(row.case_id, LeftOut(path, f"{path}, line {row.line}: {fault}"))
    return left_out


def manifest_of(project: Project) -> Manifest:
    """Return the cases of a project; none without a table. Raises InvalidManifest, InvalidProject."""
    table = project.patients.manifest
    return manifest_at(table, project) if table else Manifest(project.output, (), {})


def manifest_at(table: Path, project: Project) -> Manifest:
    """Return the cases of a table as a project takes slides. Raises InvalidManifest, InvalidProject."""
    return read_manifest(table, project.slides.mpp_csv, section_search(project), PrivateSlides.of(project))


def join_manifests(manifests: Sequence[Manifest], sources: Iterable[SlideSource]) -> Manifest:
    """Return the cases of one or more tables together, with slides as ``sources`` have them.

    Of a case that several tables name, the first table's slides count.
    """
    cases = {case.case_id: case for manifest in reversed(manifests) for case in manifest.cases}
    in_order = dict.fromkeys(case.case_id for manifest in manifests for case in manifest.cases)
    slides = {stem: source for manifest in reversed(manifests) for stem, source in manifest.slides.items()}
    current = {source.stem: source for source in sources if source.stem in slides}
    left_out = tuple(one for manifest in manifests for one in manifest.left_out)
    return Manifest(manifests[0].path, tuple(cases[case_id] for case_id in in_order), slides | current, left_out)


def _linked(rows: list[ManifestRow], private: PrivateSlides | None) -> list[ManifestRow]:
    """Return the lines with the links of their slides, where these are private and have a pseudonym."""
    if private is None:
        return rows
    links = private.link({row.slide: row.slide for row in rows if not is_private(row.slide)}).links
    return [replace(row, slide=links.get(row.slide, row.slide)) for row in rows]


def _row(path: Path, row: TableRow, private: PrivateSlides | None) -> ManifestRow:
    line, case_id, slide, mpp = row.line, row["case_id"], row["slide_path"], row["mpp"]
    if not case_id:
        raise _error(path, line, "case_id is empty", "give every slide its case")
    if case_id in (".", "..") or any(sign in case_id for sign in "/\\"):
        raise _error(path, line, f"case_id {case_id!r} cannot name a file", "use letters, digits, - and _")
    if not slide:
        raise _error(path, line, f"slide_path of case {case_id} is empty", "give the path of a slide")
    series = _series(path, line, row["series"])
    return ManifestRow(line, case_id, _file(path, line, slide, private), _mpp(path, line, mpp), series)


def _file(path: Path, line: int, slide: str, private: PrivateSlides | None) -> Path:
    file = listed_path(path.absolute().parent, str(Path(slide).expanduser()))
    if private and not is_there(file):
        file = private.linked_before(slide) or file
    if not is_there(file):
        shown = path_fault(file) or f"there is no {shown_name(str(file))}"
        missing = "its slide is not there" if private else f"slide_path {shown_name(slide)}: {shown}"
        raise _error(path, line, missing, "correct the path")
    if not file.is_file():
        raise _error(
            path, line, f"{'slide_path' if private else f'slide_path {slide}'} is a folder", "name a slide file"
        )
    return file


def _series(path: Path, line: int, text: str) -> SeriesChoice:
    series = as_series(text)
    if text and series is None:
        raise _error(path, line, f"series is {text!r}", f"give the number of an image or {ALL}, or leave it empty")
    return series


def _mpp(path: Path, line: int, mpp: str) -> float | None:
    value = positive_number(mpp) if mpp else None
    if mpp and value is None:
        raise _error(path, line, f"mpp is {mpp!r}", "give µm per px, a number above 0, or leave it empty")
    return value


def _listed(path: Path, rows: Sequence[ManifestRow]) -> dict[tuple[str, SeriesChoice], ListedSlide]:
    """Return what the table says of each slide; one that is named often has the mpp of whichever line states one."""
    first: dict[str, ManifestRow] = {}
    stated: dict[tuple[str, SeriesChoice], ManifestRow] = {}
    listed: dict[tuple[str, SeriesChoice], ListedSlide] = {}
    for row in rows:
        key = stem, _ = stem_of(row.slide), row.series
        first_row = first.setdefault(stem, row)
        if first_row.slide.resolve() != row.slide.resolve():
            both = f"{first_row.slide} (line {first_row.line}) and {row.slide} have one stem, {stem}"
            raise _error(path, row.line, both, "rename one of them, or they would share an output")
        if row.mpp is not None and stated.setdefault(key, row).mpp != row.mpp:
            both = f"{row.slide} has mpp {row.mpp:g} here and {stated[key].mpp:g} in line {stated[key].line}"
            raise _error(path, row.line, both, "state one")
        mpp = stated[key].mpp if key in stated else None
        listed[key] = ListedSlide(first_row.line, str(first_row.slide), mpp, series=row.series)
    return listed


def _sections(
    rows: Sequence[ManifestRow], listed: Mapping[tuple[str, SeriesChoice], ListedSlide], sections: SectionSearch
) -> list[list[SectionOfFile]]:
    """Return the slides of each row: one, or each section of its file."""
    table = tell_apart(
        {row.slide for row in rows if is_told_apart((listed[stem_of(row.slide), row.series],), sections.choice)},
        sections,
    )
    keys: list[tuple[str, SeriesChoice]] = [(stem_of(row.slide), row.series) for row in rows]
    return [
        list(table.of_file(key[0], row.slide, (listed[key],), sections.choice))
        for row, key in zip(rows, keys, strict=True)
    ]


def _slides(
    path: Path,
    rows: Sequence[ManifestRow],
    sections_by_row: Sequence[Sequence[SectionOfFile]],
    mpp_by_name: Mapping[str, TableMpp],
) -> dict[str, SlideSource]:
    """Return stem to slide, each as its first line has it; ``mpp_by_name`` is asked where the table states no mpp."""
    first: dict[str, tuple[ManifestRow, SectionOfFile]] = {}
    for row, section in (
        (row, section) for row, row_sections in zip(rows, sections_by_row, strict=True) for section in row_sections
    ):
        first_row, _ = first.setdefault(section.stem, (row, section))
        if fault := name_fault(section.stem, row.slide):
            raise _error(path, row.line, "a slide's name cannot be used", fault)
        if first_row.slide.resolve() != row.slide.resolve():
            both = f"{first_row.slide} (line {first_row.line}) and {row.slide} have one stem, {section.stem}"
            raise _error(path, row.line, both, "rename one of them, or they would share an output")
    files = {stem_of(row.slide): row.slide for row in reversed(rows)}
    sources = with_mpps([(row.slide, section) for row, section in first.values()], mpp_by_name, files)
    return {source.stem: _named_source(source) for source in sources}


def _named_source(source: SlideSource) -> SlideSource:
    cohort = "" if is_private(source.path) else cohort_of(source.path, source.path.parent)
    source = replace(source, cohort=cohort)
    return replace(source, mpp_source=MPP_SOURCE) if source.mpp_source == SLIDE_LIST else source


def _error(path: Path, line: int, what: str, cure: str) -> InvalidManifest:
    return InvalidManifest(f"{path}, line {line}: {what}; {cure}")
