"""Which image of a file is the slide, where it holds several: sections, pyramids, pictures of the glass."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides.slide import stem_of

PICTURE = re.compile(r"\b(label|macro|thumbnail|overview|preview|bar ?code|slide ?id)\b", re.IGNORECASE)
"""What scanners and converters call the pictures that they store beside a scan."""
SMALL = 64
"""Times that an image has fewer pixels than the slide to be no second section: label and macro without a name."""


@dataclass(frozen=True, slots=True)
class ImageChoice:
    """One image of a file, as a person chooses it."""

    number: int
    """As ``--series`` names it."""
    width: int
    """px."""
    height: int
    """px."""
    is_scan: bool = True
    """Whether it may be the slide; label, macro and thumbnail are not."""

    def __str__(self) -> str:
        return f"number {self.number} ({self.width} × {self.height} px)"

    @property
    def area(self) -> int:
        """px."""
        return self.width * self.height


def choose_image(path: Path, images: Sequence[ImageChoice], series: int | None) -> ImageChoice:
    """Return the image that is asked for, or else the largest scan, the first of several equal ones.

    Raises UnreadableSlide where none has the number that is asked for.
    """
    if series is None:
        return max([image for image in images if image.is_scan] or images, key=lambda image: image.area)
    chosen = next((image for image in images if image.number == series), None)
    if chosen is None:
        cure = "leave out --series" if len(images) == 1 else "give --series one of these, or leave it out"
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} holds no image number {series}; it holds {', '.join(map(str, images))}, "
            f"{len(images)} in all, so {cure}"
        )
    return chosen


def check_only_image(path: Path, series: int | None) -> None:
    """Raise UnreadableSlide where another image than the first is asked for of a format that has but one."""
    if series:
        raise UnreadableSlide(
            f"{stem_of(path)}: {path.name} holds no image number {series} that its reader can choose, only number 0; "
            f"leave out --series"
        )


def other_scans(chosen: ImageChoice, others: Sequence[ImageChoice]) -> list[ImageChoice]:
    """Return those of the other images that are sections of their own: scans, and not much smaller than the slide."""
    return [image for image in others if image.is_scan and image.area * SMALL >= chosen.area]


def section_numbers(chosen: ImageChoice, others: Sequence[ImageChoice]) -> tuple[int, ...]:
    """Return the numbers of a file's sections, ascending: the slide and its ``other_scans``; none where it is alone."""
    named = other_scans(chosen, others)
    return tuple(sorted(image.number for image in (chosen, *named))) if named else ()


def other_images(chosen: ImageChoice, others: Sequence[ImageChoice]) -> tuple[str, ...]:
    """Return a clause that names the images that are not taken; none where there are none of them."""
    named = other_scans(chosen, others)
    if not named:
        return ()
    rest = ", ".join(map(str, named))
    return (
        f"it holds {len(named) + 1} images: {chosen} is taken, {rest} {'is' if len(named) == 1 else 'are'} not; "
        f"--series takes another",
    )


def planes_note(planes: int, shown: int, kind: str = "focal planes") -> tuple[str, ...]:
    """Return a clause on the plane that is shown, counted from 1; none where there is one."""
    return (f"of {planes} {kind} number {shown} is shown",) if planes > 1 else ()


def turned_note(orientation: object) -> str:
    """Return a clause on pixels that programs for photos turn or mirror, and programs for slides do not."""
    return f"its Orientation {orientation}, by which photos are turned or mirrored, is not heeded: px lie as stored"


def is_smaller_copy(width: int, height: int, full_width: int, full_height: int) -> bool:
    """Tell whether a picture has the proportions of a larger one on both sides, within the rounding of 2 px."""
    if min(width, height) < 1:
        return False
    across, down = full_width / width, full_height / height
    return min(across, down) > 1 and abs(across - down) <= 2 * max(across, down) / min(width, height)
