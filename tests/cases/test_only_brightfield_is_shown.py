"""Pixels are those that were painted, in their colours; or the slide is refused, by what its samples are."""

import tempfile
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from paint import Page, paint_scan, qpi_text, write_ome, write_pages, write_zarr_image
from reading import assert_shows, show
from rounds import examples

pytestmark = pytest.mark.quick
SCAN = paint_scan(256, 192, 1)
GREY = SCAN[..., 1]
OTHER = paint_scan(256, 192, 2)[..., 0]
MAX_SAMPLE_VALUE = 281
FEW = examples(60)
PRIMARIES = ("FF0000", "00FF00", "0000FF")


LISTED = np.random.default_rng(5).integers(0, 256, (256, 3), np.uint8)
"""Colours of a palette."""


@dataclass(frozen=True)
class Samples:
    """What a TIFF holds a pixel, what is to be shown of it, and what a refusal is to name."""

    pages: tuple[Page, ...]
    shown: np.ndarray | None
    named: str = ""


def grey_of(plane: np.ndarray) -> np.ndarray:
    return np.repeat(plane[..., np.newaxis], 3, axis=2)


def over_white(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    cover = alpha[..., np.newaxis] / 255
    return np.rint(colours * cover + 255 * (1 - cover)).astype(np.uint8)


def colours(samples: Any, **more: Any) -> tuple[Page, ...]:
    return (Page(np.ascontiguousarray(samples), more=more),)


def greys(samples: Any, photometric: str = "minisblack", **more: Any) -> tuple[Page, ...]:
    return (Page(np.ascontiguousarray(samples), photometric=photometric, more=more),)


@st.composite
def samples(draw: st.DrawFn) -> Samples:
    """Draw one way to store a picture, brightfield or not."""
    extra = draw(st.sampled_from([(0,), (0,), (2,)]))
    fourth = np.dstack([SCAN, OTHER])
    declared = over_white(SCAN, OTHER) if extra == (2,) else SCAN
    bits = draw(st.sampled_from([10, 12, 14, 16]))
    deep = (SCAN.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
    largest = (MAX_SAMPLE_VALUE, "H", 3, (2**bits - 1,) * 3, False)
    channels = draw(st.integers(2, 6))
    planes = [GREY if plane % 2 else OTHER for plane in range(channels)]
    stacked = np.stack(planes, axis=-1)
    unspecified = {"planarconfig": "contig", "extrasamples": (0,) * (channels - 1)}
    clear = {"planarconfig": "contig", "extrasamples": (2,)}
    dye = (Page(GREY, text=qpi_text("FullResolution", "DAPI"), photometric="minisblack"),)
    return draw(
        st.sampled_from(
            [
                Samples(colours(SCAN), SCAN),
                Samples(colours(fourth, extrasamples=extra), declared),
                Samples(greys(GREY), grey_of(GREY)),
                Samples(greys(GREY, "miniswhite"), grey_of(255 - GREY)),
                Samples(greys(np.dstack([GREY, OTHER]), **clear), over_white(grey_of(GREY), OTHER)),
                Samples(greys(GREY > 128), None, "1 × 1-bit samples"),
                Samples(colours(deep), None, "3 × 16-bit samples"),
                Samples(colours(deep, extratags=[largest]), SCAN),
                Samples(greys(GREY, "palette", colormap=LISTED.T.astype(np.uint16) * 257), LISTED[GREY]),
                Samples(colours(np.moveaxis(SCAN, -1, 0), planarconfig="separate"), SCAN, "--reader-type openslide"),
                Samples(greys(deep[..., 1]), None, "1 × 16-bit samples"),
                Samples(greys(stacked, **unspecified), None, f"{channels} × 8-bit samples"),
                Samples(tuple(greys(plane)[0] for plane in planes), None, f"keeps {channels} channels apart"),
                Samples(dye, None, "one channel called DAPI"),
            ]
        )
    )


@given(
    of=samples(),
    compression=st.sampled_from(["deflate", "zstd", "lzw"]),
    reader=st.sampled_from([None, None, "openslide", "tiff"]),
)
@FEW
def test_samples_of_a_tiff_are_shown_as_they_are_meant_or_refused_by_name(of: Samples, compression, reader):
    pages = [
        Page(page.pixels, page.reduced, page.text, page.photometric, compression, True, page.more) for page in of.pages
    ]
    with tempfile.TemporaryDirectory() as folder:
        shown = show(write_pages(Path(folder) / "a.tif", pages), reader=reader)
    if shown.refusal:
        apart = of.named == "--reader-type openslide"  # planes, which one reader alone puts together
        assert of.shown is None or reader == "openslide" or (apart and reader == "tiff"), shown.refusal
        assert of.named in shown.refusal or (reader == "openslide" and "leave out the reader" in shown.refusal)
    else:
        assert of.shown is not None, shown.reader
        assert_shows(shown, of.shown)
        undeclared = pages[0].more.get("extrasamples") == (0,)
        assert ("not declared to be alpha" in shown.notes) == undeclared


@st.composite
def channels_of_a_store(draw: st.DrawFn) -> tuple[list[tuple[str, str]], tuple[int, int, int] | None]:
    """Draw names and colours of three channels, and where red, green, blue stand; None where they are none."""
    order = draw(st.sampled_from(list(permutations(range(3)))))  # channel i is the order[i]-th of red, green, blue
    names = [("Red", "Green", "Blue")[place] for place in order]
    numbers = [f"Channel {number}" for number in range(3)]
    dyes = draw(st.sampled_from([["DAPI", "FITC", "Cy3"], ["Hoechst", "GFP", "Texas Red"], ["405", "488x", "561"]]))
    hexes = [PRIMARIES[place] for place in order]
    where = order.index(0), order.index(1), order.index(2)
    odd = draw(st.sampled_from([["FFFF00", "00FFFF", "FF00FF"], ["FFFFFF"] * 3]))
    return draw(
        st.sampled_from(
            [
                ([], (0, 1, 2)),
                (list(zip(names, hexes, strict=True)), where),
                (list(zip(names, [""] * 3, strict=True)), where),
                (list(zip([f"{name} channel" for name in names], ["FFFFFF"] * 3, strict=True)), where),
                (list(zip(numbers, hexes, strict=True)), where),
                (list(zip(numbers, [""] * 3, strict=True)), (0, 1, 2)),
                (list(zip(dyes, hexes, strict=True)), None),
                (list(zip(dyes, [""] * 3, strict=True)), None),
                (list(zip(numbers, odd, strict=True)), None),
                (list(zip(names, hexes[1:] + hexes[:1], strict=True)), None),
            ]
        )
    )


@given(of=channels_of_a_store(), letters=st.sampled_from(["cyx", "yxc", "tczyx", "zyxc"]))
@examples(20)
def test_channels_of_a_store_are_red_green_and_blue_by_name_and_colour(of, letters: str):
    channels, where = of
    stored = np.empty_like(SCAN)
    stored[..., list(where or (0, 1, 2))] = SCAN
    with tempfile.TemporaryDirectory() as folder:
        root = zarr.open_group(str(Path(folder) / "a.zarr"), mode="w", zarr_format=2)
        write_zarr_image(root, stored, letters, channels)
        shown = show(Path(folder) / "a.zarr")
    if where is None:
        assert channels[0][0] in shown.refusal, shown
        assert "three channels" in shown.refusal
    else:
        assert_shows(shown, SCAN)


@given(
    name=st.sampled_from(["DAPI", "Alexa 488", "Brightfield", "0", "", "Cy5.5"]),
    colour=st.sampled_from(["", "808080", "FFFFFF", "00FF00"]),
)
@examples(12)
def test_one_channel_is_grey_unless_it_is_a_dye(name: str, colour: str):
    with tempfile.TemporaryDirectory() as folder:
        root = zarr.open_group(str(Path(folder) / "a.zarr"), mode="w", zarr_format=2)
        write_zarr_image(root, GREY[..., np.newaxis], "cyx", [(name, colour)])
        shown = show(Path(folder) / "a.zarr")
    is_dye = colour == "00FF00" or name in ("DAPI", "Alexa 488", "Cy5.5")
    assert ("one channel called" in shown.refusal) == is_dye
    assert is_dye or shown.levels


@pytest.mark.parametrize("names", [("DAPI", "FITC", "Cy3"), ("Blue", "Green", "Red")])
def test_an_ome_tiff_of_rgb_pages_whose_channels_are_something_else_is_refused(tmp_path: Path, names):
    path = write_ome(tmp_path / "a.ome.tif", [SCAN], ["A"])
    own = "".join(f'<Channel ID="Channel:0:{number}" Name="{name}"/>' for number, name in enumerate(names))
    with tifffile.TiffFile(path) as tiff:
        xml = tiff.ome_metadata
    assert xml
    head, _, rest = xml.partition("<Channel")
    tail = rest[rest.index("<TiffData") :]
    tifffile.tiffcomment(path, f"{head}{own}{tail}".encode())
    assert "three" in show(path).refusal
