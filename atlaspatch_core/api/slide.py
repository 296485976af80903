"""A slide for notebooks: opened by its path, shown by its name, opened again in whatever process it comes to."""

import os
from collections.abc import Collection
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import SlideSource, open_source, replaced_slide
from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.plugins.in_use import use_plugins
from atlaspatch_core.plugins.loading import file_plugins
from atlaspatch_core.slides.slide import Level, Region, Slide, SlideInfo, stem_of
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_core.api.tissue import SlideTissue
    from atlaspatch_core.patches.grid import PatchGrid


@final
class OpenedSlide(Slide):
    """A slide that is read by a process of its own, as the pipeline reads it, so that a crash is an error.

    It can be pickled, and sent to other processes: each opens the file again, when it reads the first pixels.
    """

    def __init__(
        self, source: SlideSource, settings: Slides, info: SlideInfo | None = None, plugins: tuple[Path, ...] = ()
    ) -> None:
        self.source, self.settings, self.plugins = source, settings, plugins
        """What ``process`` takes of a slide that was not opened yet, how it is opened, and files that bring readers."""
        self._lock = Lock()
        self._by_process: dict[int, Slide] = {}
        """Process number to the slide: a process that was forked from this one must not use what is open here."""
        self._info = info or self.opened().info

    def opened(self) -> Slide:
        """Return the slide as it is open in this process. Raises what opening raises, ReplacedSlide."""
        with self._lock:
            slide = self._by_process.get(os.getpid())
            if slide is None:
                if self.plugins:
                    use_plugins(self.plugins)
                slide = open_source(self.source, self.settings)
                if getattr(self, "_info", slide.info) != slide.info:
                    slide.close()
                    raise replaced_slide(self.source)
                self._by_process[os.getpid()] = slide
            return slide

    @property
    def info(self) -> SlideInfo:
        """All that is known of the slide without reading pixels."""
        return self._info

    @property
    def stem(self) -> str:
        """File name without its suffix: what the slide's results are called."""
        return self._info.stem

    @property
    def path(self) -> Path:
        """The slide's file or folder."""
        return self.source.path

    @property
    def mpp(self) -> float:
        """µm per px of level 0."""
        return self._info.mpp

    @property
    def magnification(self) -> float:
        """Nominal objective magnification; 40 for 40x."""
        return self._info.magnification

    @property
    def dimensions(self) -> tuple[int, int]:
        """Width and height of level 0, px."""
        return self._info.width, self._info.height

    @property
    def levels(self) -> tuple[Level, ...]:
        """The stored resolutions, finest first: width, height and downsample of each."""
        return self._info.levels

    def read_region(self, region: Region) -> NDArray[np.uint8]:
        """Return RGB pixels, shape (region.height, region.width, 3); white outside the slide. Raises UnreadableSlide.

        Example:
            >>> slide = ap.open_slide("CMU-1-Small-Region.svs")
            >>> slide.read_region(ap.Region(x=1024, y=512, level=0, width=64, height=32)).shape
            (32, 64, 3)
        """
        return self.opened().read_region(region)

    def thumbnail(
        self, longest: int = 1024, *, tissue: "SlideTissue | None" = None, grid: "PatchGrid | None" = None
    ) -> NDArray[np.uint8]:
        """Return the whole slide small, RGB uint8 (height, width, 3), with what was found on it drawn if given.

        Args:
            longest: Longer side, px; a slide that is smaller stays as it is.
            tissue: Tissue to outline: red around it, blue around its holes.
            grid: Patches to draw.

        Returns:
            The picture; ``matplotlib.pyplot.imshow`` and ``PIL.Image.fromarray`` take it.

        Raises:
            UnreadableSlide: Pixels cannot be decoded.

        Example:
            >>> ap.open_slide("CMU-1-Small-Region.svs").thumbnail(256).shape
            (256, 192, 3)
        """
        from atlaspatch_core.pipeline.preview import draw_contours, draw_grid, thumbnail

        picture = thumbnail(self.opened(), longest)
        if tissue is not None:
            picture = draw_contours(picture, tissue.polygons, self.info)
        return picture if grid is None else draw_grid(picture, grid, self.info)

    def close(self) -> None:
        """Release the file; whoever reads the slide after that opens it again."""
        with self._lock:
            slide = self._by_process.pop(os.getpid(), None)
        if slide is not None:
            slide.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return OpenedSlide, (self.source, self.settings, self._info, self.plugins)

    def __repr__(self) -> str:
        width, height = self.dimensions
        levels = format_count(len(self.levels), "level")
        downsamples = ", ".join(f"{level.downsample:.4g}" for level in self.levels)
        return (
            f"<slide {self.stem}: {width} × {height} px, {self.mpp:.4g} µm/px ({self.magnification:g}x), "
            f"{levels} (downsample {downsamples}), reader {self.info.reader}>"
        )


def open_slide(
    path: str | Path,
    *,
    mpp: float | None = None,
    reader: str | None = None,
    series: int | None = None,
    square_pixels: bool = False,
    plugins: Collection[str | Path] = (),
) -> OpenedSlide:
    """Open a slide as the pipeline does: in a process of its own, with the reader that knows its content.

    Args:
        path: A slide file, a ``.zarr`` folder, or a folder of DICOM instances.
        mpp: µm per px of level 0, for a slide that does not state it or states it wrongly.
        reader: Name of the reader, as ``atlaspatch encode-slide --reader-type`` takes it.
        series: Which image of a file with several, counted from 0; the largest scan when left out.
        square_pixels: Read pixels that are not square as squares of their longer side.
        plugins: Python files that declare further readers. Their code is executed.

    Returns:
        The slide: a context manager that can be pickled.

    Raises:
        UnreadableSlide: The file is missing, damaged, or of no known format.
        UnknownScale, ImplausibleScale: µm per px is not stated, or cannot be.
        MissingExtra: The reader's library is not installed.
        InvalidProject: A reader has no such name, or a plugin cannot be used.

    Example:
        >>> slide = ap.open_slide("CMU-1-Small-Region.svs")
        >>> slide
        <slide CMU-1-Small-Region: 2220 × 2967 px, 0.499 µm/px (20x), 1 level (downsample 1), reader openslide>
        >>> slide.dimensions, slide.mpp, [level.downsample for level in slide.levels]
        ((2220, 2967), 0.499, [1.0])
    """
    from atlaspatch_core.api.options import checked_project

    if "://" in str(path):
        raise UnreadableSlide(
            f"{path}: a slide of an object store is opened by process alone; copy it to this machine to look at it here"
        )
    place = Path(path).expanduser().absolute()
    files = tuple(Path(file).expanduser().absolute() for file in plugins)
    options = {"slides": {"reader": reader, "square_pixels": square_pixels}} | ({"plugins": files} if files else {})
    settings = checked_project("ap.open_slide", options).slides
    file_plugins(files)
    source = SlideSource(stem_of(place), place, mpp, "ap.open_slide" if mpp is not None else "", series=series)
    return OpenedSlide(source, settings, plugins=files)


def as_opened(slide: Slide) -> Slide:
    """Return the slide that is open in this process, of one that ``open_slide`` of either door opened."""
    return slide.opened() if isinstance(slide, OpenedSlide) else slide
