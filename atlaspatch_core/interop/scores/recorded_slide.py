"""A slide opened as the run that recorded it had it opened."""

from atlaspatch_core.config.sections import Slides
from atlaspatch_core.discovery.sources import SlideSource, open_source
from atlaspatch_core.errors import NoSlides, ReplacedSlide
from atlaspatch_core.slides.mpp import OTHERWISE
from atlaspatch_core.slides.slide import Slide
from atlaspatch_core.storage.store import Store


def open_recorded(store: Store, stem: str) -> Slide:
    """Open the slide that results are of, by the reader and µm/px of that run.

    Raises NoSlides where nothing is recorded of it, what ``open_slide`` raises, and ReplacedSlide for a file whose
    sizes are others than when it was recorded.
    """
    record = store.read_record(stem).slide
    if record is None:
        raise NoSlides(f"{stem}: nothing is recorded of such a slide in {store.output}; run encode-slide on it")
    info = record.info
    source = SlideSource(stem, info.path, record.stated_mpp, "stated" if record.stated_mpp else "", series=info.series)
    *_, otherwise = (*record.mpp_keys, "")
    mpp = float(otherwise.removeprefix(OTHERWISE)) if otherwise.startswith(OTHERWISE) else None
    keys = record.mpp_keys if mpp is None else record.mpp_keys[:-1]
    settings = Slides(reader=record.reader, square_pixels=record.square_pixels, mpp_keys=keys, mpp=mpp)
    slide = open_source(source, settings)
    if (slide.info.width, slide.info.height) != (info.width, info.height):
        slide.close()
        raise ReplacedSlide(
            f"{stem}: {info.path} has {slide.info.width} × {slide.info.height} px, and results are of "
            f"{info.width} × {info.height}; it was replaced since, run encode-slide again"
        )
    return slide
