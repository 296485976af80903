"""Whose folder is it, and which files of results lie in it? Nothing is written, and few files are opened."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from atlaspatch_core.errors import UnknownLayout
from atlaspatch_core.layouts.found import FolderLayout, Group, Holds, ResultFile, ResultFolder
from atlaspatch_core.layouts.hdf5_files import CANNOT, opened
from atlaspatch_core.layouts.names import GeometryName
from atlaspatch_core.storage.checksums import is_sealed
from atlaspatch_core.storage.schema import FINGERPRINT
from atlaspatch_core.storage.store import Store

LOOKED_AT = 8
"""HDF5 files that are opened to tell whose they are."""
FEATURES, PATCH_FEATURES, EMBEDDINGS = "features_", "patch_features_", "slide_features_"
H5_FILES, PT_FILES = "h5_files", "pt_files"


def recognise_folder(folder: Path) -> ResultFolder:
    """Return whose folder of results it is, and which files lie in it; few are opened, and nothing is written.

    Args:
        folder: Results of TRIDENT, AtlasPatch, CLAM or ours; a folder of one geometry, such as
            ``20x_256px_0px_overlap``, will do as well as the one that holds it.

    Returns:
        The layout, and for each geometry its files: stem, what each holds, and the encoder that made it.

    Raises:
        UnknownLayout: The folder cannot be listed, or is nobody's.

    Example:
        >>> job = recognise_folder(Path("trident"))
        >>> print(job.layout, job.stems())
        TRIDENT ['CMU-1-Small-Region']
        >>> sorted((file.holds.value, file.encoder) for file in job.files())[:2]
        [('coords', ''), ('features', 'efficientnet_lite0')]
    """
    try:
        folders = sorted(child for child in folder.iterdir() if child.is_dir() and not child.name.startswith("."))
    except OSError as error:
        raise UnknownLayout(f"{folder}: cannot be listed ({error.strerror}); name a folder of results") from error
    layout = _layout(folder, folders)
    if layout is None:
        raise UnknownLayout(
            f"{folder}: holds no results of TRIDENT, AtlasPatch, CLAM or atlaspatch; name the folder that holds "
            "patches/, or folders such as 20x_256px_0px_overlap/"
        )
    groups = tuple(group for group in _groups(layout, folder, folders) if group.files)
    home = folder.parent if GeometryName.parse(folder.name) else folder
    return ResultFolder(
        layout, folder, groups, {file.stem: file for file in _listed(home / "contours_geojson", ".geojson")}
    )


def _layout(folder: Path, folders: list[Path]) -> FolderLayout | None:
    """Return whose folder it is: by what its files hold, else by what its parts are called."""
    inside = [folder, *folders]
    by_content = _by_content(path for child in inside for path in islice(_listed(child / "patches", ".h5"), LOOKED_AT))
    if by_content == FolderLayout.OURS or (
        by_content is None and (folder / "slides").is_dir() and any(_listed(folder / "slides", ".json"))
    ):
        return FolderLayout.OURS
    if by_content == FolderLayout.CLAM:
        return FolderLayout.CLAM
    if any(GeometryName.parse(child.name) and _is_geometry(child) for child in inside) or _has_runs(folder):
        return FolderLayout.TRIDENT
    clam = any(map(_has_clam_features, inside)) or any(folder.glob("process_list*.csv"))
    if clam:
        return FolderLayout.CLAM
    return FolderLayout.ATLASPATCH if by_content or any(_listed(folder / "patches", ".h5")) else None


def _is_geometry(folder: Path) -> bool:
    heads = (FEATURES, PATCH_FEATURES, EMBEDDINGS)
    return (folder / "patches").is_dir() or any(child.name.startswith(heads) for child in folder.iterdir())


def _has_clam_features(folder: Path) -> bool:
    return (folder / H5_FILES).is_dir() or (folder / PT_FILES).is_dir()


def _has_runs(folder: Path) -> bool:
    return (folder / "_config_segmentation.json").exists() or (folder / "wsi_states").is_dir()


def _by_content(paths: Iterable[Path]) -> FolderLayout | None:
    """Return who wrote the first file that tells; TRIDENT's are told by their folders instead."""
    for path in islice(paths, LOOKED_AT):
        try:
            with opened(path) as file:
                coords = file["coords"]
                if FINGERPRINT in coords.attrs or is_sealed(coords):
                    return FolderLayout.OURS
                if "passports" in file or "passport_version" in file.attrs or coords.shape[-1] == 5:
                    return FolderLayout.ATLASPATCH
                if "patch_level" in coords.attrs:
                    return FolderLayout.CLAM
        except CANNOT:
            continue
    return None


def _groups(layout: FolderLayout, folder: Path, folders: list[Path]) -> Iterator[Group]:
    if layout is FolderLayout.CLAM:
        homes = [child for child in folders if GeometryName.parse(child.name) and (child / "patches").is_dir()]
        yield Group(folder, None, _sorted(_of_clam(folder, [child for child in folders if child not in homes])))
        for home in homes:
            yield Group(home, None, _sorted(_of_clam(home, [child for child in home.iterdir() if child.is_dir()])))
        return
    own = GeometryName.parse(folder.name)
    for child in [folder, *folders]:
        name = own if child == folder else GeometryName.parse(child.name)
        if layout is FolderLayout.TRIDENT:
            yield Group(child, name, _sorted(_of_trident(child) if name else ()))
        elif layout is FolderLayout.OURS:
            yield Group(child, name, _sorted(_of_ours(folder, child)))
        elif child == folder:
            yield Group(child, name, _sorted(_in(child / "patches", Holds.ALL)))


def _of_clam(folder: Path, folders: list[Path]) -> Iterator[ResultFile]:
    """Yield coords and features; these lie beside the coords, or in folders that may say what made them."""
    yield from _in(folder / "patches", Holds.COORDS)
    for child in [folder, *folders]:
        encoder = child.name.removeprefix(FEATURES) if child.name.startswith(FEATURES) else ""
        yield from _in(child / H5_FILES, Holds.FEATURES, encoder)
        yield from _in(child / PT_FILES, Holds.FEATURES, encoder, ".pt")


def _of_ours(folder: Path, child: Path) -> Iterator[ResultFile]:
    """Yield the files of slides; what was exported beside them is left out."""
    slides = Store(folder).results("" if child == folder else child.name)
    yield from (file for file in _in(child / "patches", Holds.ALL) if file.stem in slides)


def _of_trident(folder: Path) -> Iterator[ResultFile]:
    yield from _in(folder / "patches", Holds.COORDS)
    for child in sorted(folder.iterdir()):
        for head, holds in (
            (FEATURES, Holds.FEATURES),
            (PATCH_FEATURES, Holds.FEATURES),
            (EMBEDDINGS, Holds.EMBEDDING),
        ):
            if child.name.startswith(head) and child.is_dir():
                for suffix in (".h5", ".pt"):
                    yield from _in(child, holds, child.name.removeprefix(head), suffix)


def _in(folder: Path, holds: Holds, encoder: str = "", suffix: str = ".h5") -> Iterator[ResultFile]:
    """Yield the result files of a folder; coords may be called ``<stem>_patches.h5``."""
    for path in _listed(folder, suffix):
        stem = path.name.removesuffix(suffix)
        stem = stem.removesuffix("_patches") if holds is Holds.COORDS else stem
        yield ResultFile(stem, path, holds, encoder)


def _listed(folder: Path, suffix: str) -> Iterator[Path]:
    """Yield the files of a folder with a suffix, by name, hidden ones left out; none where there is no folder."""
    if folder.is_dir():
        names = sorted(path.name for path in folder.iterdir() if path.name.endswith(suffix) and path.name[0] != ".")
        yield from (folder / name for name in names)


def _sorted(files: Iterable[ResultFile]) -> tuple[ResultFile, ...]:
    return tuple(sorted(files, key=lambda file: (file.stem, str(file.path))))
