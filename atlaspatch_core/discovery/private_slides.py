"""Slides under pseudonyms: behind which nobody downstream can look.

After discovery a slide's path is a private link that is called by its pseudonym, so that no reader, error, record or
event ever has the name of the file.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.pseudonyms import Naming, naming_of
from atlaspatch_core.discovery.search import FolderContents, LeftOut, Search, known_suffixes, pattern_of, search
from atlaspatch_core.discovery.slide_names import SlideNames
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.errors import InvalidProject, UnwritableOutput
from atlaspatch_core.hidden_names import hide_names
from atlaspatch_core.slides.dicom_files import is_dicom_name
from atlaspatch_core.slides.files import HAMAMATSU, MIRAX, ZARR, consists_of_many, one_each, siblings_of, slide_files
from atlaspatch_core.slides.private_links import link_of, private_folder, stems_of
from atlaspatch_core.slides.slide import stem_of
from atlaspatch_core.storage.file_index import list_files
from atlaspatch_core.storage.store import Store
from atlaspatch_core.wording import format_count

WILDCARDS = ("*", "?", "[")
ONE_SLIDE = "its name would be remembered; name the folder in which it lies, or list it by its pseudonym in slide_list"


@dataclass(frozen=True, slots=True)
class LinkedSlides:
    """Slides that got their links, and what is to be said of those that did not."""

    links: Mapping[Path, Path]
    """Where a slide lies to its link; what leads to one slide has one link."""
    left_out: tuple[LeftOut, ...] = ()
    """Without a name of theirs."""


@dataclass(frozen=True, slots=True)
class PrivateSlides:
    """The folder of links that lead from pseudonyms to files of a project."""

    folder: Path
    naming: Naming
    excluded: frozenset[str]
    """Resolved folders that are not searched for slides."""
    place: Path
    """What is named in the place of files that nobody is to read the names of: the table, or the output folder."""

    @classmethod
    def of(cls, project: Project) -> "PrivateSlides | None":
        """Return those of a project; None where slides keep their names. Raises InvalidProject."""
        naming = naming_of(project)
        if naming is None:
            return None
        hide_names({})
        output, table = project.output, project.slides.pseudonyms
        return cls(private_folder(output), naming, frozenset({str(output.resolve())}), table or output)

    def check_places(self, places: Iterable[Path]) -> None:
        """Raise InvalidProject for what names a slide: runs remember what they were pointed at."""
        for number, place in enumerate(places, 1):
            pattern = pattern_of(place)
            last = pattern.parts[-1] if pattern else ""
            names_slide = last[:1] not in WILDCARDS if pattern else place.is_file() or is_called_slide(place)
            if names_slide:
                raise InvalidProject(f"place {number} of the slides is no folder: with pseudonyms {ONE_SLIDE}")

    def check_folder(self, contents: FolderContents, place: Path) -> None:
        """Raise InvalidProject where the folder that is searched is itself a slide."""
        if contents.path == place:
            raise InvalidProject(f"a folder of the slides is one slide itself: with pseudonyms {ONE_SLIDE}")

    def named(self, folders: Sequence[Path]) -> dict[str, Path]:
        """Return pseudonym to slide, of all below folders; of slides that share one, any."""
        how = Search(known_suffixes(), None, self.excluded)
        contents = (one for folder in folders if folder.is_dir() for one in search(folder, how))
        slides = (one.path for one in contents if isinstance(one, FolderContents))
        return {pseudonym: path for path in slides if (pseudonym := self.naming.of(path))}

    def linked_before(self, name: str) -> Path | None:
        """Return the link of a slide that was found before, by its pseudonym, with or without suffix; None for none."""
        names = [entry.name for entry in self.folder.iterdir()] if self.folder.is_dir() else []
        stem = SlideNames({name: self.folder / name for name in names}).stem(name)
        return link_of(self.folder, stem) if stem else None

    def link(self, paths: Iterable[Path]) -> LinkedSlides:
        """Return the links to slides. Files that share a pseudonym have links that share a stem.

        Raises UnwritableOutput where links cannot be made.
        """
        by_pseudonym: defaultdict[str, list[Path]] = defaultdict(list)
        for path in paths:
            by_pseudonym[self.naming.of(path) or ""].append(path)
        unnamed = len(by_pseudonym.pop("", []))
        try:
            make_private(self.folder)
            links = {path: link for stem, alike in by_pseudonym.items() for path, link in self._link_alike(stem, alike)}
        except OSError as error:
            why = error.strerror or "no reason is given"
            raise UnwritableOutput(
                f"{self.folder}: links to slides cannot be made there ({why}); free it, or allow writing"
            ) from None
        return LinkedSlides(links, tuple(self._unnamed(unnamed)))

    def _unnamed(self, count: int) -> Iterator[LeftOut]:
        if count:
            verb = "has" if count == 1 else "have"
            why = f"{format_count(count, 'slide')} {verb} no row in the table of pseudonyms; add it, or move them away"
            yield LeftOut(self.place, why, is_count=True)

    def _link_alike(self, pseudonym: str, paths: Sequence[Path]) -> Iterator[tuple[Path, Path]]:
        """Yield the paths of one pseudonym with their links; each slide beyond the first has a folder beside."""
        slides = [tuple(paths)] if len(paths) == 1 else one_each(paths)
        for number, ways in enumerate(slides):
            link = link_slide(ways[0], pseudonym, self.folder / (f"{pseudonym}~{number}" if number else pseudonym))
            yield from ((path, link) for path in ways)


def is_called_slide(path: Path) -> bool:
    """Tell whether a path that is no folder is called as a slide is, or is a store."""
    return path.name.lower().endswith(known_suffixes()) and (not path.is_dir() or path.suffix.lower() == ZARR)


def make_private(folder: Path) -> None:
    """Make a folder that only the user can look into. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    for one in (folder, folder.parent):
        if one.stat().st_mode & 0o077:
            one.chmod(0o700)


def link_slide(path: Path, pseudonym: str, folder: Path) -> Path:
    """Return the link to a slide, in its own ``folder`` with links to all of its files. Raises OSError."""
    if is_folder_of_instances(path):
        folder = folder / pseudonym if folder.name != pseudonym else folder
        link = folder
    else:
        link = folder / (pseudonym + path.name.removeprefix(stem_of(path)))
        if not consists_of_many(path) and leads_to(link, path.absolute()):
            return link
    make_private(folder)
    targets = dict(links_of(path, pseudonym))
    for there in folder.iterdir():
        if there.name not in targets and not there.name.startswith("."):
            there.unlink(missing_ok=True)
    for name, target in targets.items():
        place_link(folder / name, target)
    return link


def is_folder_of_instances(path: Path) -> bool:
    """Say whether a slide is a folder of DICOM files."""
    return path.suffix.lower() != ZARR and path.is_dir()


def links_of(path: Path, pseudonym: str) -> Iterator[tuple[str, Path]]:
    """Yield the names of links to the files of a slide, in the order of these, and where each leads."""
    path = path.absolute()
    if is_folder_of_instances(path):
        for number, file in enumerate(slide_files(path)):
            yield f"{pseudonym}_{number:06}{file.suffix}", file
        return
    yield pseudonym + path.name.removeprefix(stem_of(path)), path
    if path.suffix.lower() == MIRAX:
        yield pseudonym, path.with_suffix("")
    elif path.suffix.lower() in HAMAMATSU:  # the index names the others
        yield from ((file.name, file) for file in siblings_of(path))
    elif is_dicom_name(path.name):
        for number, file in enumerate(slide_files(path)[1:], 1):
            yield f"{pseudonym}_{number:06}{file.suffix}", file


def leads_to(link: Path, target: Path) -> bool:
    """Tell whether a link is there and leads straight to a target."""
    try:
        return link.readlink() == target
    except OSError:
        return False


def place_link(link: Path, target: Path) -> None:
    """Make a link, or turn it to another target, so that it is there at every moment. Raises OSError."""
    if leads_to(link, target):
        return
    draft = link.with_name(f".{uuid4().hex}")
    draft.symlink_to(target)
    draft.replace(link)


def find_by_pseudonym(name: str, slides: Mapping[str, Path]) -> Path | None:
    """Return the slide that a row of a table means by its pseudonym, with or without suffix; None where none is."""
    stem = SlideNames({stem: path.with_name(stem + path.suffix) for stem, path in slides.items()}).stem(name)
    return None if stem is None else slides[stem]


def results_under_file_names(project: Project, discovery: Discovery) -> str:
    """Return what to say of results that slides had before they had pseudonyms, or an empty text."""
    if not project.slides.has_pseudonyms:
        return ""
    recorded = list_files(Store(project.output).record("any").parent, ".json").keys()
    stems = {name for stem, path in discovery.paths.items() for name in stems_of(path, stem)[1:]}
    count = len(stems & recorded)
    verb = "has" if count == 1 else "have"
    return (
        f"{format_count(count, 'slide')} {verb} results under the names of their files in {project.output}; under "
        "pseudonyms they are computed anew, and nothing is deleted: name another output folder, or delete those"
        if count
        else ""
    )


def without_names(left_out: Iterable[LeftOut], place: Path) -> Iterator[LeftOut]:
    """Yield what is to be said of what was left out, without a name: how many, of each kind."""
    is_folder = [entry.is_folder for entry in left_out]
    if files := is_folder.count(False):
        why = f"{format_count(files, 'link')} to slides, or their targets, are not there; put them back, or delete them"
        yield LeftOut(place, why, is_count=True)
    if folders := is_folder.count(True):
        yield LeftOut(place, f"{format_count(folders, 'folder')} cannot be listed; allow reading them", is_folder=True)
