"""Which slides lie where the user points."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from glob import has_magic
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.cohorts import cohort_of
from atlaspatch_core.discovery.gathering import gather_sources, with_mpp_of_file
from atlaspatch_core.discovery.pictures import PictureBesideSlides, set_pictures_apart
from atlaspatch_core.discovery.private_slides import (
    LinkedSlides,
    PrivateSlides,
    find_by_pseudonym,
    make_private,
    without_names,
)
from atlaspatch_core.discovery.search import (
    FolderContents,
    LeftOut,
    ResultPictures,
    Search,
    known_suffixes,
    pattern_of,
    root_of,
    search,
)
from atlaspatch_core.discovery.sections import AS_FILES, SectionSearch
from atlaspatch_core.discovery.slide_tables import (
    ListedSlide,
    TableMpp,
    add_row,
    listed_path,
    missing,
    read_mpp_csv,
    read_slide_list,
)
from atlaspatch_core.discovery.sources import MOST_NAMED, Discovery
from atlaspatch_core.discovery.usable_names import on_one_line
from atlaspatch_core.errors import AtlasPatchError, NoSlides, UnseenSlides
from atlaspatch_core.plugins.in_use import use_plugins
from atlaspatch_core.remote.mirror import mirror
from atlaspatch_core.remote.places import RemotePlace, shown_path
from atlaspatch_core.slides.files import slides_by_stem
from atlaspatch_core.slides.local_copy import limit_copies
from atlaspatch_core.slides.sections import SeriesChoice
from atlaspatch_core.storage.store import Store
from atlaspatch_core.texts import is_there


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
    use_plugins(project.plugins)
    unusable = mirror_stores(project, remember=remember)
    discovery = find_on_disk(project, seconds=seconds, remember=remember)
    return replace(discovery, left_out=(*discovery.left_out, *unusable)) if unusable else discovery


def find_on_disk(project: Project, *, seconds: float | None, remember: bool) -> Discovery:
    """Return what ``find_slides`` does, of stores what their placeholders say."""
    slides, output = project.slides, project.output
    private = PrivateSlides.of(project)
    mpp_by_name = read_mpp_csv(slides.mpp_csv, is_private=bool(private)) if slides.mpp_csv else {}
    sections = section_search(project, seconds=seconds, remember=remember)
    if slides.slide_list:
        return find_listed(slides.slide_list, slides.folders, mpp_by_name, sections, slides.cohort_column, private)
    discovery = discover(
        slides.folders,
        recursive=slides.recursive,
        extensions=slides.extensions,
        mpp_by_name=mpp_by_name,
        exclude=[output, *Store(output).pictures(), *([slides.masks] if slides.masks else [])],
        sections=sections,
        private=private,
    )
    return replace(discovery, sources=with_mpp_of_file(discovery.sources, slides))


def mirror_stores(project: Project, *, remember: bool = True) -> tuple[LeftOut, ...]:
    """Have placeholders of the slides that lie in object stores, and say where their copies may lie.

    Returns the objects whose keys can be no path. Where nothing is to be written, what is there is taken.
    Raises UnseenSlides for a store that cannot be asked, UnwritableOutput, and MissingExtra.
    """
    limit_copies(project.runtime.remote_cache, project.runtime.remote_cache_gb)
    roots = (Path(*takewhile(lambda part: not has_magic(part), folder.parts)) for folder in project.slides.folders)
    places = {place: root for root in roots if (place := RemotePlace.of_placeholder(root))}
    folders = [place for place, root in places.items() if remember or not root.exists()]
    if project.slides.has_pseudonyms and folders:
        make_private(project.placeholders)
    unusable = (one for place in folders for one in mirror(place, project.placeholders))
    why = "is left out: its key can be no path; rename it"
    return tuple(LeftOut(Path(on_one_line(one.url)), f"{on_one_line(one.url)} {why}") for one in unusable)


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
    private: PrivateSlides | None = None,
) -> Discovery:
    """Return the slides among ``paths``: files as they are, folders and patterns (``slides/**/*.svs``) searched.

    Searched are the readers' suffixes, or the ``extensions``, in any case. Hidden files, files that belong to another
    slide, pictures among results or beside slides, and the ``exclude`` folders (the output, say) are left out. A Zarr
    store, and a folder of the DICOM instances of one series, is one slide, and so is what several paths lead to. What
    cannot be looked at is told in ``left_out``. ``private`` gives slides their pseudonyms; nothing then names them.
    Raises NoSlides when a path is missing, or nothing at all is found; it is UnseenSlides where a folder was not seen.
    """
    if private:
        private.check_places(paths)
    suffixes = tuple(extension.lower() for extension in extensions) or known_suffixes()
    how = Search(suffixes, None if recursive else 0, frozenset(str(folder.resolve()) for folder in exclude))
    files: dict[str, Path] = {}
    pictures: dict[str, Path] = {}
    left_out: dict[Path, LeftOut] = {}
    results: set[Path] = set()
    cohorts: dict[Path, str] = {}
    contents = ((path, found_at(path, how)) for path in paths)
    if not extensions:
        contents = ((path, set_pictures_apart(path, ones, mpp_by_name)) for path, ones in contents)
    for place, one in ((path, one) for path, ones in contents for one in ones):
        if isinstance(one, FolderContents):
            if private:
                private.check_folder(one, place)
            if files.setdefault(one.real, one.path) is one.path:
                cohorts[one.path] = _cohort(one.path, place, private)
        elif isinstance(one, PictureBesideSlides):
            pictures[one.real] = one.path
        elif isinstance(one, ResultPictures):
            results.add(one.path)
        else:
            left_out.setdefault(one.path, one)
    linked = private.link(files.values()) if private else LinkedSlides({path: path for path in files.values()})
    by_link = {link: cohorts[path] for path, link in linked.links.items() if path in cohorts}
    unfound = without_names(left_out.values(), private.place) if private else left_out.values()
    gathered = gather_sources(
        slides_by_stem(by_link), (*unfound, *linked.left_out), mpp_by_name, sections=sections, cohorts=by_link
    )
    aside = sorted(path for real, path in pictures.items() if real not in files)
    discovery = replace(
        gathered,
        results=() if private else tuple(sorted(results)),
        pictures=tuple(Path(f"picture{path.suffix}") for path in aside) if private else tuple(aside),
    )
    if not discovery.sources and not discovery.clashes:
        raise (UnseenSlides if discovery.unseen else NoSlides)(nothing_found(paths, how, discovery))
    return discovery


def _cohort(path: Path, place: Path, private: PrivateSlides | None) -> str:
    """Return the cohort of a slide; behind a pseudonym that of the whole place, below which folders may be patients."""
    root = folder_of(place)
    return cohort_of(root / path.name if private else path, root)


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
        raise NoSlides(f"{shown_path(path)}: no such file or folder; check the path")


def find_listed(
    table: Path,
    folders: Sequence[Path],
    mpp_by_name: Mapping[str, TableMpp],
    sections: SectionSearch = AS_FILES,
    cohort_column: str | None = None,
    private: PrivateSlides | None = None,
) -> Discovery:
    """Return the slides that a list names, whose paths start at ``folders``, or at the list's own folder if none.

    A slide that two lines name, by whatever paths, is taken once. Of ``private`` slides a line may give the pseudonym.
    Raises NoSlides when none of them is there,
    InvalidProject for a list that cannot be used, also for a slide of which two lines state two mpp.
    """
    places = folders or (table.parent,)
    listed: defaultdict[Path, dict[SeriesChoice, ListedSlide]] = defaultdict(dict)
    left_out: list[LeftOut] = []
    cohorts: dict[Path, str] = {}
    rows = list(_located(read_slide_list(table, cohort_column, is_private=bool(private)), places, private))
    paths = {path: path for row in rows for path in row.folder_by_path}
    linked = private.link(paths) if private else LinkedSlides(paths)
    for row in rows:
        for path, folder in row.folder_by_path.items():
            if link := linked.links.get(path):
                add_row(table, listed[link], row.slide)
                cohorts.setdefault(link, _cohort(path, folder, private))
        if not row.folder_by_path:
            left_out.append(missing(table, row.slide, places))
    left_out += linked.left_out
    if not listed:
        raise NoSlides(f"{table}: none of its slides is there; {left_out[0].why}")
    by_stem = slides_by_stem(listed)
    for path, *others in (ways for slides in by_stem.values() for ways in slides):
        for slide in (slide for other in others for slide in listed[other].values()):
            add_row(table, listed[path], slide)
    rows_by_path = {path: tuple(of_path.values()) for path, of_path in listed.items()}
    discovery = gather_sources(by_stem, left_out, mpp_by_name, rows_by_path, sections, cohorts)
    if not discovery.sources and not discovery.clashes:
        raise NoSlides(f"{table}: none of its slides can be taken; {discovery.left_out[0].why}")
    return discovery


@dataclass(frozen=True, slots=True)
class LocatedRow:
    """A line of a list, and where its slide lies."""

    slide: ListedSlide
    folder_by_path: Mapping[Path, Path]
    """Paths under which it is there, each with the folder that it was looked for in."""


def _located(
    slides: Iterable[ListedSlide], folders: Sequence[Path], private: PrivateSlides | None
) -> Iterator[LocatedRow]:
    """Yield the lines of a list with their slides; what is no path may be a pseudonym."""
    named: dict[str, Path] | None = None
    for slide in slides:
        places = ((folder, listed_path(folder, slide.name)) for folder in folders)
        folder_by_path = {path: folder for folder, path in places if is_there(path)}
        if private and not folder_by_path:
            named = private.named(folders) if named is None else named
            if path := find_by_pseudonym(slide.name, named):
                folder_by_path = {path: next(folder for folder in folders if path.is_relative_to(folder))}
        yield LocatedRow(slide, folder_by_path)


def nothing_found(paths: Sequence[Path], how: Search, discovery: Discovery) -> str:
    """Return what to say when no folder holds a slide."""
    left_out = discovery.left_out
    if left_out:
        whys = "; ".join(entry.why for entry in left_out[:MOST_NAMED])
        return whys if len(left_out) <= MOST_NAMED else f"{whys}; and {len(left_out) - MOST_NAMED} more"
    folders = ", ".join(map(shown_path, paths)) or "no path"
    among_results = f" ({discovery.not_searched})" if discovery.results else ""
    cure = "name another folder" if how.depth is None else "name another folder, or search those below it (--recursive)"
    return f"{folders}: no slide found, with none of the suffixes {' '.join(how.suffixes)}{among_results}; {cure}"
