"""Zeiss CZI through pylibCZIrw: the mosaic of all scenes, or one scene, with the pyramid that the file stores."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.lengths import um_of
from atlaspatch_core.slides.mpp import StatedMpp
from atlaspatch_core.slides.readers.content import is_not
from atlaspatch_core.slides.readers.damage import cut_short, refuse_damage
from atlaspatch_core.slides.readers.images import ImageChoice, check_only_image, choose_image, planes_note
from atlaspatch_core.slides.readers.reader import Reader, import_extra
from atlaspatch_core.slides.readers.windows import Window, WindowedSlide, describe
from atlaspatch_core.slides.slide import Level, stem_of

NAME = "czi"
MAGIC = b"ZISRAWFILE"
"""How CZI begins (ZEISS, ZISRAW file format)."""
SHOWN = ("Bgr24", "Gray8")
WHITE = (1.0, 1.0, 1.0)
CACHE_BYTES = 2**25
"""Decoded pieces of the mosaic that are kept for the next region."""


def recognises(path: Path) -> bool:
    """Say whether the file is a CZI."""
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def open_czi(path: Path, stated: StatedMpp, series: int | None = None) -> WindowedSlide:
    """Open the mosaic of all scenes, or the scene that is asked for; where nothing was scanned it is white."""
    with ExitStack() as opened:
        return open_mosaic(path, opened.enter_context(opened_file(path)), stated, series, opened)


def sections_of(path: Path) -> tuple[int, ...]:
    """Return the numbers of the scenes of a file that holds several. Raises UnreadableSlide, MissingExtra."""
    with opened_file(path) as file:
        return tuple(sorted(scenes_of(file)))


@contextmanager
def opened_file(path: Path) -> Iterator[Any]:
    """Give an open CZI. Raises UnreadableSlide, also of damage that is met while it is open; MissingExtra."""
    library = import_extra("pylibCZIrw.czi", "czi", stem_of(path))
    if not recognises(path):
        raise UnreadableSlide(f"{stem_of(path)}: {path.name} {is_not(path, 'CZI')}")
    cache = library.CacheOptions(
        type=library.CacheType.Standard, max_memory_usage=CACHE_BYTES, max_sub_block_count=None
    )
    with refuse_damage(cut_short(path)), library.open_czi(str(path), cache_options=cache) as file:
        yield file


def scenes_of(file: Any) -> dict[int, Any]:
    """Return number to rectangle of the scenes of a file that has several; empty where it has one."""
    scenes = dict(file.scenes_bounding_rectangle_no_pyramid)
    return scenes if len(scenes) > 1 else {}


def choose_scene(path: Path, file: Any, series: int | None) -> int | None:
    """Return the scene that is asked for, None for all of the file. Raises UnreadableSlide where there is none."""
    scenes = scenes_of(file)
    if series is None or not scenes:
        check_only_image(path, series)
        return None
    choices = [ImageChoice(number, box.w, box.h) for number, box in sorted(scenes.items())]
    return choose_image(path, choices, series).number


def open_mosaic(path: Path, file: Any, stated: StatedMpp, series: int | None, opened: ExitStack) -> WindowedSlide:
    """Return the slide of an open CZI; ``opened`` is closed with it, or when this raises."""
    check_pixels(path, file)
    scene = choose_scene(path, file, series)
    bounds = file.total_bounding_rectangle_no_pyramid if scene is None else scenes_of(file)[scene]
    factors = stored_factors(file)
    sizes = [(max(1, bounds.w // factor), max(1, bounds.h // factor)) for factor in factors]
    planes = file.total_bounding_box["Z"][1]
    plane = {"Z": planes // 2}
    properties, notes = dict(properties_of(file.raw_metadata)), planes_note(planes, planes // 2 + 1)
    reading = "" if scene is None else f"scene {scene} alone"
    info = describe(path, NAME, sizes, properties, stated, notes=notes, reading=reading)
    info = replace(info, levels=levels_of(sizes, factors))
    read = partial(read_window, file, scene, (bounds.x, bounds.y), factors, plane)
    return WindowedSlide(info, read, opened.pop_all().close)


def check_pixels(path: Path, file: Any) -> None:
    """Raise UnreadableSlide for anything but one channel of 8-bit RGB or grey."""
    kinds = list(file.pixel_types.values())
    if len(kinds) != 1 or kinds[0] not in SHOWN:
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} has {len(kinds)} channels of {', '.join(sorted(set(kinds)))}; only one of "
            f"{' or '.join(SHOWN)}, as brightfield has, can be shown as it is, so export it as 8-bit RGB"
        )


def levels_of(sizes: Sequence[tuple[int, int]], factors: Sequence[int]) -> tuple[Level, ...]:
    """Return levels whose px are ``factors`` px of level 0 wide and high, whatever their rounded sides say."""
    return tuple(Level.of(size, sizes[0], factor) for size, factor in zip(sizes, factors, strict=True))


def stored_factors(file: Any) -> list[int]:
    """Return how many px of level 0 a px of each stored level is wide, ascending, 1 first."""
    factors = {1}

    def note(number: int, piece: Any) -> bool:  # noqa: ARG001 - the library's own signature
        side = "w" if piece.logicalRect.w >= piece.logicalRect.h else "h"  # the longer one is the less rounded
        factors.add(max(1, round(getattr(piece.logicalRect, side) / getattr(piece.physicalSize, side))))
        return True

    file.enumerate_subblocks(note)
    return sorted(factors)


def read_window(
    file: Any, scene: int | None, origin: tuple[int, int], factors: list[int], plane: dict[str, int], window: Window
) -> NDArray[np.uint8]:
    """Return the RGB pixels of a window, shape (height, width, 3)."""
    factor = factors[window.level]
    left, top = origin[0] + window.left * factor, origin[1] + window.top * factor
    # One px more than asked for: the library multiplies by the zoom and rounds down.
    spare = 0 if factor == 1 else 1
    roi = (left, top, (window.width + spare) * factor, (window.height + spare) * factor)
    pixels = file.read(roi=roi, plane=plane, scene=scene, zoom=1 / factor, background_pixel=WHITE)
    colours = pixels[: window.height, : window.width, ::-1]
    return np.ascontiguousarray(np.broadcast_to(colours, (*colours.shape[:2], 3)))


def properties_of(xml: str) -> Iterator[tuple[str, str]]:
    """Yield the scale, metres made µm, and the objective that the metadata state."""
    root = ElementTree.fromstring(xml)
    yield "czi.vendor", "zeiss"
    for distance in root.iterfind(".//Scaling/Items/Distance"):
        stated = (distance.findtext("Value") or "").strip()
        um = um_of(stated, "m")
        if stated:
            yield f"czi.Scaling-{distance.get('Id')}", stated if um is None else repr(um)
    objectives = [one.text or "" for one in root.iterfind(".//Instrument/Objectives/Objective/NominalMagnification")]
    if len(set(objectives)) == 1:
        yield "czi.NominalMagnification", objectives[0]


CZI = Reader(name=NAME, suffixes=(".czi",), recognises=recognises, open=open_czi, sections=sections_of)
