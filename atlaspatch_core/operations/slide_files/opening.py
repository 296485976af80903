"""Opening a slide to see what it is: every reader's answer, and a look at what is refused for its scale alone."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import SlideSource, open_source_here
from atlaspatch_core.errors import AtlasPatchError, ImplausibleScale, UnknownScale
from atlaspatch_core.operations.slide_files.values import ReaderChoice, ReaderVerdict
from atlaspatch_core.slides.readers import Refused, all_readers, unheeded
from atlaspatch_core.slides.readers.cucim import CUCIM
from atlaspatch_core.slides.readers.reader import Reader
from atlaspatch_core.slides.slide import Region, Slide

STAND_IN_MPP = 1.0
"""µm per px of a slide whose scale is not known, so that the rest can be shown."""
AS_THEY_ARE = Slides()
"""How slides are opened of which nothing is said."""
CORNER = 64
"""px of the corner that is read to see whether pixels can be decoded."""


def open_anyway(source: SlideSource, slides: Slides, on_refusal: Refused = unheeded) -> tuple[Slide, str]:
    """Return the slide, open in this process, and why it is refused though it opens.

    That is an empty text, or what is wrong with its scale. Raises what ``open_slide`` raises for everything else.
    """
    try:
        return open_source_here(source, slides, on_refusal=on_refusal), ""
    except (UnknownScale, ImplausibleScale) as error:
        stand_in = replace(source, mpp=STAND_IN_MPP, mpp_source="stand-in")
        return open_source_here(stand_in, slides), str(error)


def read_corner(slide: Slide) -> None:
    """Read a corner of the coarsest level. Raises UnreadableSlide when it cannot be decoded."""
    slide.read_region(Region(0, 0, len(slide.info.levels) - 1, CORNER, CORNER))


def reader_verdicts(
    source: SlideSource, slides: Slides, opener: str | None, refused: Mapping[str, AtlasPatchError]
) -> tuple[ReaderVerdict, ...]:
    """Return what became of each reader; ``taken`` is the one that opened the slide, ``refused`` those that did not."""
    verdicts = []
    for reader in all_readers().values():
        if reader.name in refused:
            why = sentence(source.stem, refused[reader.name])
            verdicts.append(ReaderVerdict(reader.name, ReaderChoice.DECLINED, why))
        elif reader.name == opener:
            verdicts.append(ReaderVerdict(reader.name, ReaderChoice.TAKEN, _why_taken(reader, source, slides)))
        else:
            verdicts.append(_not_asked(reader, source, slides, opener))
    return tuple(verdicts)


def sentence(stem: str, error: object) -> str:
    """Return an error on one line, without the stem that it begins with."""
    return " ".join(str(error).split()).removeprefix(f"{stem}: ")


def _why_taken(reader: Reader, source: SlideSource, slides: Slides) -> str:
    if slides.reader:
        return "was asked for by name"
    return "knows the content" if _knows(reader, source) else f"has the suffix {source.readable.suffix.lower()}"


def _not_asked(reader: Reader, source: SlideSource, slides: Slides, opener: str | None) -> ReaderVerdict:
    if slides.reader:
        return ReaderVerdict(reader.name, ReaderChoice.NOT_ASKED, f"{slides.reader} was asked for by name")
    if reader is CUCIM:
        return ReaderVerdict(reader.name, ReaderChoice.NOT_ASKED, "is asked by name alone")
    if not _knows(reader, source):
        return ReaderVerdict(reader.name, ReaderChoice.UNKNOWN, "the content is of no format of its")
    why = f"knows the content, too; {opener} comes first" if opener else "the slide was refused before it was its turn"
    return ReaderVerdict(reader.name, ReaderChoice.NOT_ASKED, why)


def _knows(reader: Reader, source: SlideSource) -> bool:
    with suppress(OSError):
        return reader.recognises(source.readable)
    return False
