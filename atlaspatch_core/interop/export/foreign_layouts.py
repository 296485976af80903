"""Layouts of plugins: what they give is checked before a file is written, and a changed plugin writes anew."""

import errno
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from atlaspatch_core.errors import AtlasPatchError, InvalidProject
from atlaspatch_core.interop.export.files import digest
from atlaspatch_core.interop.export.values import Artifact, ExportLayout, Placed, SlideResults, Target
from atlaspatch_core.plugins.foreign_code import no_exit, place_of

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
"""What is wrong with a disk, not with code."""


def artifacts_of(slide: SlideResults, target: Target) -> list[Artifact]:
    """Return the files that a layout makes of a slide. Raises InvalidProject for a plugin's that cannot be."""
    layout = target.layout
    assert layout.artifacts is not None
    if layout.plugin is None:
        return list(layout.artifacts(slide, target))
    with _blaming(layout, slide.stem):
        artifacts = [_checked(artifact, slide, layout) for artifact in layout.artifacts(slide, target)]
    paths = [artifact.path for artifact in artifacts]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
        raise _refused(slide, layout, f"gives the file {twice} twice; give each file a name of its own")
    return artifacts


def cohort_file(slides: Sequence[SlideResults], target: Target) -> Placed:
    """Return what became of the one file that a layout makes of all slides. Raises InvalidProject."""
    layout = target.layout
    assert layout.cohort is not None
    if layout.plugin is None:
        return layout.cohort(slides, target)
    with _blaming(layout, f"{len(slides)} slides"):
        return layout.cohort(slides, target)


def _checked(artifact: object, slide: SlideResults, layout: ExportLayout) -> Artifact:
    """Return an artifact that is known by the plugin, too. Raises InvalidProject."""
    if not isinstance(artifact, Artifact):
        raise _refused(slide, layout, f"gives a {type(artifact).__name__}; give Artifact(path, of, write)")
    path = Path(artifact.path)
    if path.is_absolute() or ".." in path.parts or not path.name or path.parts[0].startswith("."):
        raise _refused(slide, layout, f"gives the path {path}; give one inside the folder that is exported to")
    return replace(
        artifact,
        path=path,
        of=digest(layout.plugin, layout.name, artifact.of),
        write=lambda to: _write(artifact, to, slide, layout),
    )


def _write(artifact: Artifact, to: Path, slide: SlideResults, layout: ExportLayout) -> None:
    with _blaming(layout, slide.stem):
        artifact.write(to)
    if not to.exists():
        raise _refused(slide, layout, f"did not write {artifact.path}; write to the very path that is given")


def _refused(slide: SlideResults, layout: ExportLayout, what: str) -> InvalidProject:
    return InvalidProject(f"{slide.stem}: the layout {layout.name} of a plugin {what}")


@contextmanager
def _blaming(layout: ExportLayout, of: str) -> Iterator[None]:
    """Raise InvalidProject, with file and line, for whatever a layout's code raises; a full disk is not its fault."""
    with no_exit(f"the layout {layout.name} of a plugin"):
        try:
            yield
        except AtlasPatchError:
            raise
        except Exception as error:  # it is foreign code
            if isinstance(error, OSError) and error.errno in DISK:
                raise
            what = f"{of}: the layout {layout.name} of a plugin fails: {type(error).__name__}: {error}"
            raise InvalidProject(f"{what}{place_of(error)}") from error
