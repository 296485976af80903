"""A stored tile that is damaged fails its slide by name; no decoder makes something up for it."""

import struct
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st
from paint import (
    LOSSLESS,
    LOSSY,
    TILE,
    Page,
    Pyramid,
    aperio_text,
    difference,
    frames_of,
    paint_scan,
    shrink,
    write_ome,
    write_pages,
    write_series,
    write_zarr_image,
)
from PIL import Image
from reading import show
from rounds import examples
from shapely import box

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.patches import GridSpec, lay_grid, stream_patches
from atlaspatch_core.slides import Region, open_slide

pytestmark = pytest.mark.quick
WIDTH, HEIGHT = 320, 256
SCAN = paint_scan(WIDTH, HEIGHT, 3)
SCAN = np.clip(SCAN + np.random.default_rng(1).integers(-9, 9, SCAN.shape), 0, 255).astype(np.uint8)
COMPRESSIONS = ("deflate", "lzw", "zstd", "packbits", "jpeg", "webp", 33005)
"""33005 is Aperio's JPEG 2000 of RGB."""
COLUMNS = WIDTH // TILE


def write_damaged(folder: Path, kind: str, compression: str, tile: int, damage: str) -> Path:
    """Write two levels, and overwrite a part of one tile of the first."""
    text = aperio_text(WIDTH, HEIGHT) if kind == "svs" else None
    pages = [Page(SCAN, text=text, compression=compression)]
    pages += [Page(shrink(SCAN, 2), reduced=kind != "svs", text=text, compression=compression)]
    path = write_pages(folder / f"a.{kind}", pages)
    with tifffile.TiffFile(path) as tiff:
        start, size = tiff.pages.first.dataoffsets[tile], tiff.pages.first.databytecounts[tile]
    first, count = {"half": (size // 2, size - size // 2), "all": (0, size), "some": (size // 3, 64)}[damage]
    noise = np.random.default_rng(tile).integers(0, 256, count, np.uint8).tobytes()
    with path.open("r+b") as file:
        file.seek(start + first)
        file.write(noise if damage == "some" else bytes(count))
    return path


def streamed(path: Path, reader: str | None) -> dict[tuple[int, int], np.ndarray] | str:
    """Return the patches of a slide by their corner, or why there are none."""
    try:
        with open_slide(path, mpp=0.5, reader=reader) as slide:
            grid = lay_grid(slide.info, [box(0, 0, WIDTH, HEIGHT)], GridSpec(patch_size=TILE, target_mpp=0.5))
            batches = list(stream_patches(slide, grid, batch_size=4, workers=1))
    except UnreadableSlide as refusal:
        return str(refusal)
    rows = [
        (grid.coords[row], patch) for batch in batches for row, patch in zip(batch.rows, batch.patches, strict=True)
    ]
    return {(int(x), int(y)): patch for (x, y), patch in rows}


@given(
    kind=st.sampled_from(["tif", "svs"]),
    how=st.sampled_from(
        [(name, damage) for name in COMPRESSIONS for damage in ("half", "all")] + [("deflate", "some")]
    ),
    tile=st.integers(0, WIDTH * HEIGHT // TILE**2 - 1),
    reader=st.sampled_from([None, None, "tiff"]),
)
@examples(30)
def test_a_damaged_tile_is_refused_by_name_however_it_is_read(kind, how, tile, reader):
    compression, damage = how
    row, column = divmod(tile, COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        path = write_damaged(Path(folder), kind, compression, tile, damage)
        shown, patches = show(path, reader=reader), streamed(path, reader)
    tolerance = LOSSY if compression in ("jpeg", "webp") else LOSSLESS
    if shown.refusal:
        assert "cannot be decoded" in shown.refusal
        assert "copy it again" in shown.refusal
        assert "of level 0" in shown.refusal
        assert "--reader-type" not in shown.refusal
    else:
        assert difference(shown.levels[0], SCAN) <= tolerance
    if isinstance(patches, str):
        assert "cannot be decoded" in patches
        assert f"row {row}, column {column}" in patches or shown.reader != "tiff"
    else:
        for (x, y), patch in patches.items():
            assert difference(patch, SCAN[y : y + TILE, x : x + TILE]) <= tolerance


@pytest.mark.parametrize("tile", [2, 16, 18])
def test_threads_that_read_side_by_side_blame_the_damaged_level_alone(tmp_path: Path, tile: int):
    path = write_damaged(tmp_path, "tif", "zstd", tile, "all")
    regions = [Region(x, y, 0, TILE, TILE) for y in range(0, HEIGHT, TILE) for x in range(0, WIDTH, TILE)]
    with open_slide(path, mpp=0.5) as slide, ThreadPoolExecutor(8) as pool:
        read = [pool.submit(slide.read_region, region) for region in regions]
    refusals = {str(future.exception()) for future in read if future.exception()}
    assert refusals
    assert all("of level 0" in refusal and "copy it again" in refusal for refusal in refusals)
    for region, future in zip(regions, read, strict=True):
        if not future.exception():
            assert difference(future.result(), SCAN[region.y : region.y + TILE, region.x : region.x + TILE]) <= LOSSLESS


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("zeros", [True, False])
def test_a_picture_that_broke_off_is_refused(tmp_path: Path, suffix: str, zeros: bool):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(SCAN).save(path, quality=90)
    assert difference(show(path).levels[0], SCAN) <= LOSSY
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) // 2 if zeros else 0))
    assert "copy it again" in show(path).refusal


@given(frame=st.integers(0, WIDTH * HEIGHT // TILE**2 - 1), reader=st.sampled_from([None, "dicom"]))
@examples(6)
def test_a_damaged_frame_of_dicom_is_refused(frame: int, reader: str | None):
    with tempfile.TemporaryDirectory() as folder:
        path = write_series(Path(folder) / "a", [Pyramid((SCAN,), (0, 0), None, (1,))])
        file = path / "0-1.dcm"
        content = bytearray(file.read_bytes())
        start, size = frames_of(content)[frame]
        content[start + size // 2 : start + size] = bytes(size - size // 2)
        file.write_bytes(content)
        refusal = show(path, reader=reader).refusal
    assert "cannot be decoded" in refusal
    assert "the stored frame in row {}, column {}".format(*divmod(frame, COLUMNS)) in refusal


def write_tag(path: Path, offset: int, kind: int, count: int, value: bytes) -> None:
    """Overwrite type, count and value of a tag of a TIFF."""
    with path.open("r+b") as file:
        file.seek(offset + 2)
        file.write(struct.pack("<HI4s", kind, count, value))


@given(data=st.data(), kind=st.sampled_from(["tif", "svs", "ome.tif"]), reader=st.sampled_from([None, "tiff"]))
@examples(40)
def test_a_tag_of_a_wrong_type_is_refused_or_changes_nothing_it_decides(data, kind: str, reader):
    scan = SCAN[:TILE, :TILE]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{kind}"
        if kind == "ome.tif":
            write_ome(path, [scan], ["A"])
        else:
            text = aperio_text(TILE, TILE) if kind == "svs" else None
            write_pages(path, [Page(scan, text=text), Page(shrink(scan, 2), reduced=kind != "svs", text=text)])
        with tifffile.TiffFile(path) as tiff:
            tags = [tag for page in tiff.pages for tag in page.aspage().tags.values()]
        tag = data.draw(st.sampled_from(tags))
        types = [
            (2, 4, b"abc\0"),
            (5, 1, b"\x08\0\0\0"),
            (3, 2, b"\1\0\7\0"),
            (7, 4, b"\1\2\3\4"),
            (12, 1, b"\x08\0\0\0"),
        ]
        write_tag(path, tag.offset, *data.draw(st.sampled_from(types)))
        shown = show(path, reader=reader)
    assert shown.levels or shown.refusal.startswith("a: ")


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_a_fault_of_the_program_is_not_told_as_damage(tmp_path: Path, suffix: str):
    path = tmp_path / f"a{suffix}"
    if suffix == ".tif":
        write_pages(path, [Page(SCAN)])
    else:
        write_zarr_image(zarr.open_group(str(path), mode="w", zarr_format=2), SCAN, "yxc")
    no_names: Any = (3,)
    with pytest.raises(AttributeError):
        open_slide(path, mpp_keys=no_names, reader="tiff" if suffix == ".tif" else None)
