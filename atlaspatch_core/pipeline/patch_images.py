"""Every patch as an image file, under AtlasPatch's names, TRIDENT's or both; each slide is read once for them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from atlaspatch_core.config.sections import Geometry, Pictures
from atlaspatch_core.patches.stream import stream_patches
from atlaspatch_core.pipeline import preview
from atlaspatch_core.pipeline.preview import Picture
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.storage.atomic import replacing

NOTE = ".coords"
"""File beside the images that says what they show; a folder with images and without it is of others."""
UNFINISHED = "unfinished"
"""What it says while images are written."""
DUMPED = re.compile(r"\d{6,}_x\d+_y\d+\.(png|jpg)")


@dataclass(frozen=True, slots=True)
class Images:
    """The images of some patches of a slide in one folder."""

    folder: Path
    paths: Mapping[int, Path]
    """Row of the coords to its file."""
    encode: Callable[[Picture], bytes]
    mark: str
    """What decides their content."""
    ours: Callable[[Path], bool] = lambda _: True
    """Tell whether a file in the folder is one of these images, of now or of earlier."""

    def current(self) -> bool:
        """Tell whether they all lie there."""
        note = self.folder / NOTE
        lies = note.read_text() == self.mark if note.exists() else self.is_foreign()
        return lies and all(path.exists() for path in self.paths.values())

    def is_foreign(self) -> bool:
        """Tell whether others filled the folder: it has files, and no note of ours."""
        return not (self.folder / NOTE).exists() and self.folder.is_dir() and any(self.folder.iterdir())

    def begin(self) -> None:
        """Say that the folder is ours, and remove images that belong to earlier coords; those of others stay."""
        if self.is_foreign():
            return
        with replacing(self.folder / NOTE) as temporary:
            temporary.write_text(UNFINISHED)
        for stray in set(self.folder.glob("*")) - set(self.paths.values()):
            if self.ours(stray) and stray.name != NOTE:
                stray.unlink()

    def sign(self) -> None:
        """Say that all images lie there."""
        if self.is_foreign():
            return
        with replacing(self.folder / NOTE) as temporary:
            temporary.write_text(self.mark)


def save_images(work: SlideWork, geometry: Geometry) -> None:
    """Write the images that the project asks for, where they are not there already; outdated ones are removed."""
    pictures = work.run.recipe.project.pictures
    image_sets = [_atlaspatch(work, geometry)] if pictures.save_images else []
    image_sets += [_trident(work, geometry, pictures)] if pictures.dump_patches else []
    due = [images for images in image_sets if not images.current()]
    for images in due:
        images.begin()
    _write(work, geometry, due)
    work.guard.check()
    for images in due:
        images.sign()


def _atlaspatch(work: SlideWork, geometry: Geometry) -> Images:
    corners = work.grid(geometry).coords.tolist()
    paths = {row: work.store.patch_image(work.stem, x, y, geometry.name) for row, (x, y) in enumerate(corners)}
    folder = work.store.patch_image(work.stem, 0, 0, geometry.name).parent
    return Images(folder, paths, preview.encode_png, work.coords[geometry.name].fingerprint)


def _trident(work: SlideWork, geometry: Geometry, pictures: Pictures) -> Images:
    corners = work.grid(geometry).coords.tolist()
    folder = work.store.dumped_patches(work.stem, geometry.name)
    most, suffix = pictures.dump_patches_max, pictures.dump_patches_format
    quality = pictures.dump_patches_jpeg_quality
    names = (f"{row:06d}_x{x}_y{y}.{suffix}" for row, (x, y) in enumerate(corners[: most or None]))
    paths = {row: folder / name for row, name in enumerate(names)}
    mark = f"{work.coords[geometry.name].fingerprint} {most} {suffix} {quality}"

    def encode(patch: Picture) -> bytes:
        return preview.encode_png(patch) if suffix == "png" else preview.encode_jpeg(patch, quality)

    return Images(folder, paths, encode, mark, lambda path: DUMPED.fullmatch(path.name) is not None)


def _write(work: SlideWork, geometry: Geometry, due: list[Images]) -> None:
    """Read as many of the first patches as are wanted, and write each under all its names."""
    most = max((len(images.paths) for images in due), default=0)
    if not most:
        return
    grid = work.grid(geometry)
    first = replace(grid, coords=grid.coords[:most], tissue_fraction=grid.tissue_fraction[:most])
    readers = work.run.recipe.project.runtime.readers
    for batch in stream_patches(work.slide(), first, batch_size=64, workers=readers):
        for row, patch in zip(batch.rows.tolist(), batch.patches, strict=True):
            for images in due:
                if row in images.paths and not (images.is_foreign() and images.paths[row].exists()):
                    with replacing(images.paths[row]) as temporary:
                        temporary.write_bytes(images.encode(patch))
