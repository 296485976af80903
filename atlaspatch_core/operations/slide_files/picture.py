"""A picture of a slide with its frame, what was scanned of it, and its tissue."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import shapely

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.operations.slide_files.opening import open_anyway
from atlaspatch_core.pipeline.preview import Picture, draw_contours, encode_png, thumbnail
from atlaspatch_core.slides.isolated import call_reader
from atlaspatch_core.slides.slide import Slide, SlideInfo
from atlaspatch_core.storage.atomic import replacing
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.outlines import read_outlines
from atlaspatch_core.tissue.segmenters import segment_tissue
from atlaspatch_core.tissue.spec import TissueSpec

MARGIN = 12
"""px around the slide."""
LINE = 20
"""px of a line of text."""
LEAST_WIDTH = 520
"""px, so that the text has room."""
AROUND, FRAME, BOUNDS = (225, 225, 225), (0, 0, 0), (0, 110, 220)


def write_picture(source: SlideSource, slides: Slides, path: Path, output: Path | None = None) -> str:
    """Write a PNG of the slide with the frame of level 0, what was scanned of it, and its tissue.

    The tissue is that of the mask in the ``output`` folder; where there is none, what the default segmenter finds.
    Returns whose tissue it is, a clause. Raises what ``open_slide`` raises, UnreadableOutput for a mask that cannot be
    read, UnwritableOutput.
    """
    return call_reader(source.stem, "while its picture was drawn", draw_here, source, slides, path, output)


def draw_here(source: SlideSource, slides: Slides, path: Path, output: Path | None) -> str:
    """Write it in this process."""
    slide, wrong_scale = open_anyway(source, slides)
    with slide:
        polygons, whose = tissue_of(slide, output, has_scale=not wrong_scale)
        picture = framed(draw_contours(thumbnail(slide), polygons, slide.info), slide.info)
        lines = legend(slide.info, whose, has_scale=not wrong_scale)
    with replacing(path) as temporary:
        temporary.write_bytes(encode_png(with_lines(picture, lines)))
    return whose


def tissue_of(slide: Slide, output: Path | None, *, has_scale: bool) -> tuple[Sequence[shapely.Polygon], str]:
    """Return the outlines of the tissue, level-0 px, and whose they are."""
    mask = Store(output).geojson(slide.info.stem) if output else None
    if mask and mask.exists():
        return read_outlines(mask, frame=slide.info.outline_frame).polygons, f"of the mask in {output}"
    if not has_scale:
        return (), "not sought without a scale"
    spec = TissueSpec()
    return segment_tissue(slide, spec).polygons, f"found by {spec.segmenter}"


def framed(picture: Picture, info: SlideInfo) -> Picture:
    """Return the picture with a margin, the frame of level 0, and that of the bounds."""
    height, width = picture.shape[:2]
    right = MARGIN + max(0, LEAST_WIDTH - 2 * MARGIN - width)
    around = cv2.copyMakeBorder(picture, MARGIN, MARGIN, MARGIN, right, cv2.BORDER_CONSTANT, value=AROUND)
    cv2.rectangle(around, (MARGIN - 1, MARGIN - 1), (MARGIN + width, MARGIN + height), FRAME, 1)
    if info.bounds:
        across, down = width / info.width, height / info.height
        box = info.bounds
        near = MARGIN + round(box.x * across), MARGIN + round(box.y * down)
        far = MARGIN + round((box.x + box.width) * across), MARGIN + round((box.y + box.height) * down)
        cv2.rectangle(around, near, far, BOUNDS, 2)
    return np.asarray(around, np.uint8)


def legend(info: SlideInfo, whose: str, *, has_scale: bool) -> list[tuple[str, tuple[int, int, int]]]:
    """Return the lines below the picture, ASCII, each with its colour."""
    scale = f"{info.mpp:.4g} um/px" if has_scale else "no scale"
    lines = [(f"{info.stem}: level 0 is {info.width} x {info.height} px, {scale}", FRAME)]
    if info.bounds:
        lines.append((f"scanned: {info.bounds}".replace("×", "x"), BOUNDS))
    return [*lines, (f"tissue: {whose}", (255, 0, 0))]


def with_lines(picture: Picture, lines: Sequence[tuple[str, tuple[int, int, int]]]) -> Picture:
    """Return the picture with lines of text below it."""
    height = picture.shape[0]
    taller = cv2.copyMakeBorder(picture, 0, LINE * len(lines) + 4, 0, 0, cv2.BORDER_CONSTANT, value=AROUND)
    for number, (line, colour) in enumerate(lines):
        text = line.encode("ascii", "replace").decode()
        place = MARGIN, height + LINE * number + LINE // 2 + 2
        cv2.putText(taller, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, colour, 1, cv2.LINE_AA)
    return np.asarray(taller, np.uint8)
