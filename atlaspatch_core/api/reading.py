"""The door to an output folder: what lies there is read once, and whether it may be used."""

from pathlib import Path

from atlaspatch_core.api.folder_results import Results
from atlaspatch_core.api.result_states import folder_states
from atlaspatch_core.api.stored_outputs import stored_outputs
from atlaspatch_core.config.project import Project


def results(output: str | Path, project: str | Path | Project | None = None) -> Results:
    """Return what a run left in its output folder, as it lies there now.

    Whether a result is fresh is what ``atlaspatch status`` says: by the project, else by the ``atlaspatch.toml`` in the
    folder or beside it whose output it is, else by the runs that ``encode-slide``, ``run`` and ``encode-patient``
    recorded there. Where none of these is there, a result counts as fresh that was made of the very slide, outlines,
    coords and features that lie there. No plugin file is executed; of slides, those whose files changed are opened.

    Args:
        output: The output folder.
        project: The project file that it was made by, or a project.

    Returns:
        Stems, geometries, encoders, arrays and tables; call again for what came since.

    Raises:
        NoSlides: There are no results in the folder.
        InvalidProject: The project cannot be used, or has another output.

    Example:
        >>> read = ap.results("out")
        >>> read.stems, read.encoders.patch
        (('CMU-1-Small-Region',), ('efficientnet_lite0',))
    """
    folder = Path(output)
    verdicts = folder_states(folder, Path(project) if isinstance(project, str) else project)
    return Results(folder, stored_outputs(verdicts.selection.store), verdicts)
