"""TIFFs whose pages stand in many orders, with second sections and pictures. Nothing of the product is imported."""

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st
from paint import GLASS, Page, aperio_text, paint_scan, qpi_text, shrink

SIZES = st.tuples(st.sampled_from([640, 704, 520]), st.sampled_from([480, 512, 390]))


@dataclass(frozen=True)
class Layout:
    """How the pages of a TIFF are laid out."""

    kind: str
    size: tuple[int, int]
    factors: tuple[int, ...]
    coarse_first: bool
    second: tuple[int, int] | None
    second_first: bool
    second_has_levels: bool
    macro: tuple[int, int] | None
    compression: str


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Draw a layout."""
    kind = draw(st.sampled_from(["tiff", "svs", "qptiff"]))
    size = draw(SIZES)
    half = size[0] // 2, size[1] // 2
    second = draw(st.sampled_from([None, None, half, (size[0] // 2, size[1]), (size[0] - 64, size[1] // 2)]))
    plain = kind == "tiff"
    return Layout(
        kind,
        size,
        draw(st.sampled_from([(1,), (1, 2), (1, 2, 4)])),
        plain and draw(st.booleans()),
        second,
        plain and draw(st.booleans()),
        plain and draw(st.booleans()),
        draw(st.sampled_from([None, (300, 120), (size[0] // 4, size[1] // 4), (size[0] // 2, size[1] // 2)])),
        draw(st.sampled_from(["deflate", "zstd", "jpeg"])),
    )


def pages_of(layout: Layout) -> tuple[list[Page], np.ndarray, Page | None]:
    """Return pages in the order in which they are written, the slide, and the page of the second section."""
    slide, how = paint_scan(*layout.size, 1), {"compression": layout.compression}
    text = {"svs": aperio_text(*layout.size), "qptiff": qpi_text("FullResolution")}.get(layout.kind)
    reduced = {"svs": text, "qptiff": qpi_text("ReducedResolution")}.get(layout.kind)
    marked = layout.kind != "svs"
    scan = [
        Page(shrink(slide, factor), marked and factor > 1, reduced if factor > 1 else text, **how)
        for factor in layout.factors
    ]
    scan = scan[::-1] if layout.coarse_first else scan
    pages, second = [*scan], None
    if layout.second:
        section = paint_scan(*layout.second, 2)
        factors = (1, 2) if layout.second_has_levels else (1,)
        own = [Page(shrink(section, factor), factor > 1, text, **how) for factor in factors]
        second = own[0]
        pages = [*own, *pages] if layout.second_first else [*pages, *own]
    if layout.macro:
        photo = np.full((*layout.macro[::-1], 3), GLASS, np.uint8)
        photo[20:-20, -100:-20] = (200, 90, 150)
        about = {"svs": aperio_text(*layout.macro, "macro"), "qptiff": qpi_text("Overview")}.get(layout.kind, "Macro")
        pages.append(Page(photo, reduced=True, text=about, **how))
    return pages, slide, second
