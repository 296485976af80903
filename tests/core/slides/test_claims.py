"""What a slide claims is held against what it stores before a pixel is read: a contradiction is refused for good."""

import resource
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import zarr
from claiming import DEFLATE, JPEG, LARGEST, NONE, TiffClaim, encode_tile, write_dicom_claim
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pylibCZIrw import czi
from rounds import examples

from atlaspatch_core.discovery.transient import is_transient
from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.slides import Region, open_slide
from atlaspatch_core.slides.readers.claims import MOST_OBLONG, MOST_PER_BYTE, MOST_UNSTORED, covered_bytes

pytestmark = pytest.mark.quick
TILE = 256
MOST_BYTES = 2**30
"""Memory that opening a slide may take beyond what the process has."""
MOST_TILES = 40_000
SIDES = st.one_of(
    st.integers(1, 3000), st.sampled_from([65_535, 65_536, 200_000, 2**24, LARGEST - 1, LARGEST, 2**32 - 1])
)


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Let a table as long as a claim be an error of the test."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def refusal_of(path: Path) -> UnreadableSlide | None:
    """Return why a slide is refused, or None where it opens and its first pixels can be read."""
    try:
        with open_slide(path, mpp=0.5) as slide:
            slide.read_region(Region(0, 0, 0, 16, 16))
    except UnreadableSlide as error:
        refusal = error
    else:
        return None
    assert str(refusal).startswith(f"{path.stem}: ")
    assert not is_transient(refusal)
    return refusal


def tiles_of(width: int, height: int) -> int:
    return -(-width // TILE) * -(-height // TILE)


@st.composite
def tiffs(draw: st.DrawFn) -> tuple[TiffClaim, bool]:
    """Return the head of a TIFF, and whether it can be true."""
    width, height, compression = draw(SIDES), draw(SIDES), draw(st.sampled_from([JPEG, DEFLATE, NONE]))
    tile = encode_tile(TILE, compression)
    needed, layout = tiles_of(width, height), draw(st.sampled_from(["shared", "absent", "apart", "overlapping"]))
    listed = min(needed, draw(st.sampled_from([needed, needed, needed - 1, 1])) or 1, MOST_TILES)
    if layout == "apart":
        listed = min(listed, 64)
    stored = tile * (listed if layout == "apart" else 2 if layout == "overlapping" else 1)
    step = {"apart": len(tile), "overlapping": 1}.get(layout, 0)
    places = [(number * step % (len(stored) - len(tile) + 1), len(tile)) for number in range(listed)]
    if layout == "absent":
        places = [(0, 0)] * listed
    found = covered_bytes(*zip(*places, strict=True))
    is_line = max(width, height) > MOST_OBLONG * min(width, height)
    can_be = not is_line and listed == needed and width * height <= MOST_UNSTORED + MOST_PER_BYTE * found
    return TiffClaim(width, height, places, stored, TILE, compression=compression), can_be


@examples(60)
@given(tiffs(), st.sampled_from(["a.tiff", "a.svs"]))
def test_a_tiff_is_refused_where_its_tiles_cannot_hold_it(claim: tuple[TiffClaim, bool], name: str):
    tiff, can_be = claim
    with tempfile.TemporaryDirectory() as folder:
        refusal = refusal_of(tiff.write(Path(folder, name)))
    if not can_be:
        assert refusal is not None
    elif len({*tiff.places}) == 1:
        assert refusal is None


@examples(30)
@given(SIDES, SIDES, st.sampled_from([1, 7, 2**20, LARGEST]), st.integers(1, 20), st.sampled_from([DEFLATE, NONE]))
def test_strips_that_cannot_hold_their_image_are_refused(
    width: int, height: int, rows: int, listed: int, compression: int
):
    stored = bytes(3000)
    claim = TiffClaim(width, height, [(0, len(stored))] * listed, stored, None, rows, compression)
    needed = -(-height // min(rows, height)) if compression == DEFLATE else None
    with tempfile.TemporaryDirectory() as folder:
        refusal = refusal_of(claim.write(Path(folder, "a.tiff")))
    is_short = listed < needed if needed else width * height * 3 > 20_000
    assert refusal is not None or not (is_short or width * height > MOST_UNSTORED + MOST_PER_BYTE * len(stored))


@examples(40)
@given(
    SIDES.filter(lambda side: side < 2**32 - 1), SIDES.filter(lambda side: side < 2**32 - 1),
    st.integers(1, 6), st.sampled_from(["as stored", "as needed", "more"]), st.booleans(),
)  # fmt: skip
def test_a_dicom_is_refused_where_its_frames_cannot_hold_it(
    width: int, height: int, stored: int, claimed: str, is_sparse: bool
):
    needed = tiles_of(width, height)
    frames = {"as stored": stored, "as needed": needed, "more": LARGEST}[claimed]
    places = [(0, TILE * number) for number in range(stored)] if is_sparse else None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.dcm")
        write_dicom_claim(path, width, height, tile=TILE, frames=min(frames, LARGEST), stored=stored, places=places)
        refusal = refusal_of(path)
    if frames > stored or (not is_sparse and frames < needed) or width * height > 2 * MOST_UNSTORED:
        assert refusal is not None
    elif not is_sparse and frames == needed == stored:
        assert refusal is None


@pytest.mark.parametrize("side", [3000, 30_000])
def test_a_store_whose_chunks_are_missing_is_background(tmp_path: Path, side: int):
    write_store(tmp_path / "a.zarr", side)
    with open_slide(tmp_path / "a.zarr") as slide:
        assert slide.read_region(Region(side - 16, side - 16, 0, 8, 8)).min() == 255


@pytest.mark.parametrize("side", [200_000, LARGEST])
def test_a_store_of_one_chunk_claims_no_field_of_glass(tmp_path: Path, side: int):
    write_store(tmp_path / "a.zarr", side)
    assert "stores" in str(refusal_of(tmp_path / "a.zarr"))


def write_store(path: Path, side: int, chunk: int = 256) -> None:
    """Write a store of which one chunk is stored."""
    group = zarr.open_group(str(path), mode="w")
    array = group.create_array("0", shape=(side, side, 3), chunks=(chunk, chunk, 3), dtype="u1", fill_value=255)
    array[:chunk, :chunk] = 128
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"] + [{"name": "c"}]
    scale = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.5, 1]}]}
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [scale]}]


def test_a_mosaic_of_two_distant_pieces_is_refused(tmp_path: Path):
    with czi.create_czi(str(tmp_path / "a.czi")) as file:
        for place in (0, 2**30):
            file.write(np.full((64, 64, 3), 200, np.uint8), location=(place, place))
    assert "stores" in str(refusal_of(tmp_path / "a.czi"))


def test_a_store_of_countless_chunks_is_refused(tmp_path: Path):
    write_store(tmp_path / "a.zarr", 30_000, chunk=1)
    assert "in chunks of 1 × 1 are 900,000,000" in str(refusal_of(tmp_path / "a.zarr"))


@pytest.mark.parametrize("reader", ["openslide", "tiff"])
@pytest.mark.parametrize(("width", "height"), [(65_500, 65_500), (65_500, 256), (256, 65_500), (8000, 8000)])
def test_a_tile_whose_own_header_claims_too_much_is_refused(tmp_path: Path, width: int, height: int, reader: str):
    tile = claimed_by_jpeg(encode_tile(TILE, JPEG), width, height)
    assert tile_refusal(tmp_path, tile, JPEG, reader)


@pytest.mark.parametrize("compression", [34712, 33003, 33005])
def test_a_codestream_that_claims_too_much_is_refused(tmp_path: Path, compression: int):
    pixels = np.full((TILE, TILE, 3), 200, np.uint8)
    tile = imagecodecs.jpeg2k_encode(pixels, level=0, reversible=True, codecformat="j2k")
    at = tile.index(b"\xff\x51") + 6
    sides, offsets = struct.pack(">II", LARGEST, LARGEST), tile[at + 8 : at + 16]
    tile = tile[:at] + sides + offsets + sides + tile[at + 24 :]
    assert "claims 2,147,483,647 × 2,147,483,647 px" in tile_refusal(tmp_path, tile, compression, "tiff")


def claimed_by_jpeg(tile: bytes, width: int, height: int) -> bytes:
    at = tile.index(b"\xff\xc0") + 5
    return tile[:at] + struct.pack(">HH", height, width) + tile[at + 4 :]


def tile_refusal(folder: Path, tile: bytes, compression: int, reader: str) -> str:
    """Return why the only tile of a slide cannot be read."""
    path = TiffClaim(TILE, TILE, [(0, len(tile))], tile, TILE, compression=compression).write(folder / "a.tiff")
    with pytest.raises(UnreadableSlide) as refusal, open_slide(path, mpp=0.5, reader=reader) as slide:
        slide.read_region(Region(0, 0, 0, 16, 16))
    assert not is_transient(refusal.value)
    return str(refusal.value)


@pytest.mark.parametrize("empty", ["shared", "absent"])
def test_much_empty_glass_beside_little_tissue_opens(tmp_path: Path, empty: str):
    """A biopsy on 100,000 × 60,000 px of glass: empty tiles lie in one place, or are not stored."""
    side, width, height = 1024, 100_352, 61_440
    noise = np.random.default_rng(1).integers(0, 256, (side, side, 3), np.uint8)
    blank = encode_tile(side, JPEG, (255, 255, 255))
    tissue = imagecodecs.jpeg8_encode(noise, colorspace="rgb", outcolorspace="rgb", level=50)
    columns, rows = width // side, height // side
    background = (len(tissue), len(blank)) if empty == "shared" else (0, 0)
    places = [(0, len(tissue)), *[background] * (columns * rows - 1)]
    path = TiffClaim(width, height, places, tissue + blank, side).write(tmp_path / "a.tiff")
    with open_slide(path) as slide:
        assert (slide.info.width, slide.info.height) == (width, height)


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 12)), max_size=12))
def test_bytes_that_several_tiles_share_count_once(stretches: list[tuple[int, int]]):
    offsets, lengths = zip(*stretches, strict=True) if stretches else ((), ())
    covered = {byte for at, count in stretches for byte in range(at, at + count)}
    assert covered_bytes(offsets, lengths) == len(covered)


def test_a_picture_that_is_a_line_is_refused_and_a_strip_is_not(tmp_path: Path):
    for name, height in (("line", 1), ("strip", 2)):
        Image.new("L", (20_000, height)).save(tmp_path / f"{name}.png")
    with pytest.raises(UnreadableSlide, match=r"^line: .* of 20,000 × 1 px one side is over 10,000 times the other; "):
        open_slide(tmp_path / "line.png", mpp=0.5)
    with open_slide(tmp_path / "strip.png", mpp=0.5) as slide:
        assert slide.info.height == 2
