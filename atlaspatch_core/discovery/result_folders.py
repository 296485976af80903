"""Folders that this tool, TRIDENT, AtlasPatch or CLAM filled: their pictures are of slides, and are none."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from atlaspatch_core.config.project import Project
from atlaspatch_core.consent import executes_plugins
from atlaspatch_core.errors import InvalidProject

PICTURES = (".png", ".jpg", ".jpeg")
OF_SLIDES = frozenset({"thumbnails", "contours", "visualization", "stitches", "masks"})
"""Folders with pictures of slides, as the four name them."""
OF_PATCHES = frozenset({"images", "patch_images"})
"""Folders with a folder of patches for each slide, and no picture of its own."""
MARKS: dict[str, str | tuple[str, ...]] = {
    "patches": ".h5",
    "contours_geojson": ".geojson",
    "wsi_states": ".json",
    "visualization": ("_mask_bw.png", "_mask.png", "_contours.png"),
}
"""Folders by which results are known, and how the name of a file in them ends."""
LOGS = "_config_", "_logs_"
"""How the names of TRIDENT's files of settings and messages begin."""
LOCKS = ".locks"
RUNS = "runs"


def picture_folders(here: Path, files: Sequence[str], folders: Sequence[str], takes: Callable[[str], bool]) -> set[str]:
    """Return which folders in ``here`` hold pictures that such a tool made; none unless its results lie beside them.

    A folder that holds anything else that ``takes`` says may be a slide is left to the search.
    """
    candidates = {name for name in folders if name in OF_SLIDES | OF_PATCHES}
    if not candidates or not holds_results(here, files, folders):
        return set()
    return {name for name in candidates if not _holds_slides(here / name, takes)}


def holds_results(here: Path, files: Sequence[str], folders: Sequence[str]) -> bool:
    """Tell whether a folder is one that results were written to, by what lies in it and not by what it is called."""
    if any(name.startswith("process_list") and name.endswith(".csv") for name in files):
        return True
    if any(name.startswith(LOGS) for name in files):
        return True
    if "slides" in folders and (here / LOCKS).is_dir():
        return True
    return any(name in MARKS and any(one.endswith(MARKS[name]) for one in _names(here / name)) for name in folders)


def check_code_wanted(project: Project, project_file: Path) -> None:
    """Raise InvalidProject for a project file that nobody named and that has code executed.

    That it lies in a folder of results, which may be somebody else's, is no consent to the code that it names.
    """
    folder = project_file.absolute().parent
    named = _named_code(project) if executes_plugins() else ""
    if named and (_is_result_folder(folder) or _is_same(project.output, folder)):
        raise InvalidProject(
            f"{project_file}: lies in a folder of results and names {named}, whose code would be executed; if you "
            f"trust it, name the file: --project {project_file}"
        )


def _named_code(project: Project) -> str:
    """Return the first of what a project has executed, empty for nothing."""
    plugins = [f"the plugin {path}" for path in project.plugins]
    remote = [f"{name} in allow_remote_code" for name in project.allow_remote_code]
    programs = [f"the command {word} of [alerts]" for word in project.alerts.command[:1]]
    return next(iter((*plugins, *remote, *programs)), "")


def _is_result_folder(folder: Path) -> bool:
    names = _names(folder)
    folders = [name for name in names if (folder / name).is_dir()]
    return holds_results(folder, names, folders) or any(name.endswith(".json") for name in _names(folder / RUNS))


def _is_same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _holds_slides(folder: Path, takes: Callable[[str], bool]) -> bool:
    pictures = () if folder.name in OF_PATCHES else PICTURES
    return any(takes(name) and not name.lower().endswith(pictures) for name in _names(folder))


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except OSError:
        return []
