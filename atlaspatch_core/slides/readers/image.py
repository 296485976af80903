"""Ordinary pictures through Pillow: PNG, JPEG and others, one level, held in memory, the mpp stated by the user."""

import threading
import warnings
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, final

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.mpp import StatedMpp
from atlaspatch_core.slides.readers.advice import CONVERT
from atlaspatch_core.slides.readers.content import is_not
from atlaspatch_core.slides.readers.damage import cut_short, refuse_damage
from atlaspatch_core.slides.readers.images import check_only_image, planes_note, turned_note
from atlaspatch_core.slides.readers.reader import Reader
from atlaspatch_core.slides.readers.windows import Window, WindowedSlide, describe
from atlaspatch_core.slides.slide import stem_of

if TYPE_CHECKING:
    from PIL.Image import Image

NAME = "image"
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "PPM", "JPEG2000")
"""Not TIFF: its pages and planes are easily taken for what they are not."""
WITH_ALPHA = ("RGBA", "LA")
UNDECLARED = "its fourth sample is not declared to be alpha, and is left out"
BOXES = 65_536
"""Bytes at the head of a JPEG 2000 file, in which its boxes lie before the pixels."""
ORIENTATION = 0x0112
"""Tag of Exif."""
DEEP = ("I", "I;16", "I;16B", "I;16L", "I;16N", "F")
"""Pillow's modes of grey of more than 8 bits, as fluorescence has; ``I`` is what older Pillow makes of a 16-bit PNG."""


@final
class Picture:
    """Pixels that are decoded at the first read, once, whatever the number of threads. Owns the open file."""

    def __init__(self, image: "Image", stem: str, *, alpha: bool = True) -> None:
        """``alpha``: whether a fourth sample is transparency."""
        self._image = image
        self._stem = stem
        self._alpha = alpha
        self._pixels: NDArray[np.uint8] | None = None
        self._decoding = threading.Lock()

    def read(self, window: Window) -> NDArray[np.uint8]:
        """Return RGB pixels (height, width, 3): transparent ones white."""
        with self._decoding:
            if self._pixels is None:
                self._pixels = decode(self._image, self._stem, alpha=self._alpha)
            pixels = self._pixels
        return pixels[window.top : window.top + window.height, window.left : window.left + window.width]

    def close(self) -> None:
        """Release the file and the pixels."""
        self._image.close()
        self._pixels = None


def recognises(path: Path) -> bool:
    """Say whether Pillow knows the format."""
    if path.is_dir():
        return False
    try:
        open_image(path).close()
    except UnreadableSlide:
        return False
    return True


def open_picture(path: Path, stated: StatedMpp, series: int | None = None) -> WindowedSlide:
    """Open a picture, whose scale the user must state: dots per inch in the file are no scale."""
    check_only_image(path, series)
    image = open_image(path)
    with ExitStack() as opened, refuse_damage(cut_short(path)):
        opened.callback(image.close)
        check_samples(path, image)
        notes = (*planes_note(getattr(image, "n_frames", 1), 1, "frames"), *turned(image))
        alpha = image.mode not in WITH_ALPHA or is_alpha_declared(path, image)
        notes, reading = (notes, "") if alpha else ((*notes, UNDECLARED), "three of four samples")
        info = describe(path, NAME, [image.size], {}, stated, notes=notes, reading=reading)
        opened.pop_all()  # the picture closes it
    picture = Picture(image, info.stem, alpha=alpha)
    return WindowedSlide(info, picture.read, picture.close)


def open_image(path: Path) -> "Image":
    """Return the picture, its pixels not yet decoded. Raises UnreadableSlide, also when it is too large for memory."""
    from PIL import Image, UnidentifiedImageError

    with refuse_damage(cut_short(path)), warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        try:
            return Image.open(path, formats=FORMATS)
        except Image.DecompressionBombError as error:
            raise UnreadableSlide(
                f"{stem_of(path)}: too large to hold in memory as a picture ({error}); {CONVERT}"
            ) from error
        except (UnidentifiedImageError, IsADirectoryError) as error:
            what = is_not(path, "picture that Pillow knows")
            raise UnreadableSlide(f"{stem_of(path)}: {path.name} {what}") from error


def turned(image: "Image") -> tuple[str, ...]:
    """Return a clause on a picture that is to be turned or mirrored when it is shown (Exif)."""
    orientation = image.getexif().get(ORIENTATION, 1)
    return () if orientation in (0, 1) else (turned_note(orientation),)


def check_samples(path: Path, image: "Image") -> None:
    """Raise UnreadableSlide for grey of more than 8 bits, whose white is not known, or beside a sample of none."""
    stored = getattr(image, "tile", None)
    raw = str(stored[0][3]) if stored else ""
    if image.mode in DEEP or raw.startswith("LA;16"):
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} holds grey of more than 8 bits a pixel ({image.mode}), as fluorescence "
            f"does; only 8-bit RGB and grey can be shown as they are, so export it as 8-bit RGB"
        )
    if image.mode == "LA" and not is_alpha_declared(path, image):
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} has 2 samples a pixel, neither of which is declared to be alpha; only RGB "
            f"and grey can be shown as they are, so export it as 8-bit RGB"
        )


def is_alpha_declared(path: Path, image: "Image") -> bool:
    """Tell whether the last sample of a picture is transparency; Pillow takes any of JPEG 2000 for it.

    ISO 15444-1, I.5.3.6: the box cdef holds the number of entries, then number, type and association of each, two bytes
    each; type 1 is opacity, 2 the same with colours multiplied already. A bare codestream declares nothing.
    """
    if image.format != "JPEG2000":
        return True
    with path.open("rb") as file:
        head = file.read(BOXES)
    at = head.find(b"cdef") + 4
    if at < 4 or len(head) < at + 2:
        return False
    types = [int.from_bytes(head[at + 4 + 6 * entry :][:2], "big") for entry in range(head[at + 1])]
    return bool({1, 2} & set(types))


def decode(image: "Image", stem: str, *, alpha: bool = True) -> NDArray[np.uint8]:
    """Return the RGB pixels (height, width, 3) of the first frame, transparent ones over white."""
    what = f"{stem}: its pixels cannot be decoded"
    with refuse_damage(lambda error: f"{what} ({error}), the file is damaged or cut short; copy it again"):
        check_end(image)
        image.load()
        return rgb(image) if alpha else np.ascontiguousarray(np.asarray(image)[..., :3])


def check_end(image: "Image") -> None:
    """Raise ValueError for a JPEG without the marker of its end: Pillow makes up what it lacks."""
    file = getattr(image, "fp", None)
    if image.format != "JPEG" or file is None:
        return
    file.seek(0)
    content = file.read()
    if content.rfind(b"\xff\xd9") < content.rfind(b"\xff\xda"):
        raise ValueError("it breaks off before its end")


def rgb(image: "Image") -> NDArray[np.uint8]:
    """Return any mode of 8 bits as RGB: palettes looked up, alpha over white, CMYK converted."""
    from PIL import Image

    if image.has_transparency_data:
        cover = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", cover.size, "white"), cover)
    return np.asarray(image.convert("RGB"))


IMAGE = Reader(
    name=NAME,
    suffixes=(".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".ppm", ".pgm", ".jp2", ".j2k"),
    recognises=recognises,
    open=open_picture,
)
