"""The project's slides: found, told apart, and the first few opened."""

from collections.abc import Iterator, Sequence

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.sources import Discovery, SlideSource, open_source
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.operations.doctor.values import DoctorFinding, Subject, fail, ok, warn
from atlaspatch_core.operations.slide_files.opening import read_corner
from atlaspatch_core.slides.readers import needs_plugin_file
from atlaspatch_core.wording import format_count

OPENED = 3
"""Slides that are opened, the first ones."""
SHOWN = 3
"""Errors that are told."""


def slides(subject: Subject) -> Iterator[DoctorFinding]:
    """Find the slides and open the first few."""
    project = subject.project
    if project is None:
        return
    try:
        discovery = find_slides(project)
    except AtlasPatchError as error:
        yield fail("slides", str(error), "correct [slides] in the project file")
        return
    yield _count_finding(discovery)
    readable = [source for source in discovery.sources if not needs_plugin_file(source.path)]
    if count := len(discovery.sources) - len(readable):
        what = f"{format_count(count, 'slide', ',')} read by a plugin, which is not executed here"
        yield ok("plugin", f"{what}; a run, or 'atlaspatch inspect --plugin', opens them")
    if readable:
        yield _opening_finding(project, readable)


def _count_finding(discovery: Discovery) -> DoctorFinding:
    aside = f"; {discovery.pictures_left_out}" if discovery.pictures else ""
    text = f"{format_count(len(discovery.sources), 'slide', ',')} found{aside}"
    if not discovery.clashes:
        return ok("slides", text)
    names = ", ".join(clash.stem for clash in discovery.clashes[:SHOWN])
    cure = "rename or move all but one of each; 'atlaspatch status' names the files"
    return warn("slides", f"{text}; of {len(discovery.clashes):,} stems there are several files: {names}", cure)


def _opening_finding(project: Project, sources: Sequence[SlideSource]) -> DoctorFinding:
    errors = [text for source in sources[:OPENED] if (text := _error(project, source))]
    tried = len(sources[:OPENED])
    if not errors:
        return ok("opening", f"the first {tried} can be read" if tried > 1 else "the first can be read")
    shown = "; ".join(errors[:SHOWN])
    level = fail if len(errors) == tried else warn
    return level("opening", f"{len(errors)} of the first {tried} cannot be read: {shown}", "see what each of them says")


def _error(project: Project, source: SlideSource) -> str:
    """Return why a slide cannot be read, or an empty text."""
    try:
        with open_source(source, project.slides) as slide:
            read_corner(slide)
    except AtlasPatchError as error:
        return str(error)
    return ""
