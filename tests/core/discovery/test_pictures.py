"""Pictures beside slides are no slides, unless somebody says that they are."""

from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from PIL import Image

from atlaspatch_core.cli.main import cli
from atlaspatch_core.discovery.find import discover
from atlaspatch_core.discovery.slide_tables import TableMpp

PIXELS = np.zeros((64, 64, 3), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A slide, and what people put beside slides."""
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb", resolution=(20_000, 20_000), resolutionunit=3)
    tifffile.imwrite(tmp_path / "a_macro.tif", PIXELS, photometric="rgb")
    tifffile.imwrite(tmp_path / "a_print.tif", PIXELS, photometric="rgb", resolution=(300, 300), resolutionunit=2)
    for name in ("a.png", "b.JPG"):
        Image.fromarray(PIXELS).save(tmp_path / name)
    return tmp_path


def stems(*paths: Path, **how) -> list[str]:
    return [source.stem for source in discover(paths, **how).sources]


def test_pictures_beside_a_slide_are_counted_and_no_slides(folder):
    found = discover([folder])
    assert [source.stem for source in found.sources] == ["a"]
    assert found.pictures_left_out == (
        "4 pictures beside slides are left out; --wsi-ext .tif,.jpg,.png takes them, too"
    )


def test_pictures_that_are_asked_for_are_slides(folder):
    assert stems(folder, extensions=[".jpg", ".png"]) == ["a", "b"]
    assert stems(folder / "a_macro.tif", folder / "b.JPG") == ["a_macro", "b"]
    assert stems(folder / "*.png") == ["a"]
    assert stems(folder / "*") == ["a"]


def test_a_folder_of_pictures_alone_holds_slides(folder):
    (folder / "a.tif").unlink()
    assert stems(folder) == ["a", "a_macro", "a_print", "b"]


def test_pictures_below_a_folder_of_slides_are_beside_them(folder):
    (folder / "exports").mkdir()
    (folder / "b.JPG").rename(folder / "exports" / "b.jpg")
    assert stems(folder, recursive=True) == ["a"]
    assert stems(folder, folder / "exports") == ["a", "b"]


def test_a_picture_whose_scale_a_table_states_is_meant_as_a_slide(folder):
    table = {name: TableMpp(0.5, "table, line 2") for name in ("b", "a_macro.tif", "a")}
    assert stems(folder, mpp_by_name=table) == ["a", "a_macro", "b"]


def test_a_tiff_that_is_large_tiled_or_has_more_pages_is_a_slide_without_a_scale(folder):
    tifffile.imwrite(folder / "large.tif", np.zeros((8, 5000), np.uint8))
    tifffile.imwrite(folder / "tiled.tif", PIXELS, photometric="rgb", tile=(32, 32))
    tifffile.imwrite(folder / "pages.tif", np.stack([PIXELS, PIXELS]), photometric="rgb")
    (folder / "damaged.tif").write_bytes(b"II*\0")
    assert stems(folder) == ["a", "damaged", "large", "pages", "tiled"]


def test_commands_tell_of_pictures_in_one_line(folder):
    result = CliRunner().invoke(cli, ["doctor", "--slides", str(folder)])
    assert [line for line in result.output.splitlines() if "picture" in line] == [discover([folder]).pictures_left_out]
    taken = CliRunner().invoke(cli, ["doctor", "--slides", str(folder), "--wsi-ext", "jpg"])
    assert ("b " in taken.output, "picture" in taken.output) == (True, False)
