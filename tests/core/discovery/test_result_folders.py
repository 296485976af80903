"""What a run wrote is never found by the next search of a folder above it; what users call alike is."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from rounds import examples

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.find import discover
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import make_recipe

pytestmark = pytest.mark.quick

PICTURES = ("thumbnails", "contours", "visualization", "masks", "stitches", "images", "patch_images")
STEMS = st.text("ab_-1", min_size=1, max_size=4)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def ours(home: Path, stem: str) -> None:
    store = Store(home)
    for geometry in ("", "g"):
        touch(store.h5(stem, geometry), store.visualization(stem, geometry, kind="_mask"), store.visualization(stem))
        touch(store.patch_image(stem, 0, 256, geometry), store.dumped_patches(stem, geometry) / "000001_x0_y0.png")
        touch(store.small_picture(stem, "grid", geometry))
    touch(store.thumbnail(stem), store.contours(stem), store.geojson(stem), store.record(stem), store.lock(stem))


def ours_of_slides_that_failed(home: Path, stem: str) -> None:
    store = Store(home)
    touch(store.thumbnail(stem), store.record(stem), store.lock(stem))


def trident(home: Path, stem: str) -> None:
    touch(home / "thumbnails" / f"{stem}.jpg", home / "contours" / f"{stem}.jpg")
    touch(home / "contours_geojson" / f"{stem}.geojson", home / "wsi_states" / f"{stem}__123456789abc.json")
    of_geometry = home / "20x_256px_0px_overlap"
    touch(of_geometry / "patches" / f"{stem}_patches.h5", of_geometry / "visualization" / f"{stem}.jpg")
    touch(of_geometry / "patch_images" / stem / "000000_x0_y0.jpg")


def atlaspatch(home: Path, stem: str) -> None:
    touch(home / "patches" / f"{stem}.h5", home / "images" / stem / f"{stem}_x0_y0.png")
    touch(home / "visualization" / f"{stem}.png", home / "visualization" / f"{stem}_contours.png")


def atlaspatch_masks(home: Path, stem: str) -> None:
    touch(home / "visualization" / f"{stem}_mask.png", home / "visualization" / f"{stem}_mask_bw.png")


def atlaspatch_outlines(home: Path, stem: str) -> None:
    touch(home / "visualization" / f"{stem}_contours.png")


def trident_of_segmentation(home: Path, stem: str) -> None:
    touch(home / "_config_segmentation.json", home / "thumbnails" / f"{stem}.jpg", home / "contours" / f"{stem}.jpg")


def clam(home: Path, stem: str) -> None:
    touch(home / "process_list_autogen.csv", home / "masks" / f"{stem}.jpg", home / "stitches" / f"{stem}.jpg")


LAYOUTS = (
    ours,
    ours_of_slides_that_failed,
    trident,
    trident_of_segmentation,
    atlaspatch,
    atlaspatch_masks,
    atlaspatch_outlines,
    clam,
)


@examples(50)
@given(st.sampled_from(LAYOUTS), st.sets(STEMS, min_size=1, max_size=3), st.sampled_from(["", "results", "a/b"]))
def test_a_search_finds_the_slides_and_nothing_of_the_results(lay_out, stems, below):
    with tempfile.TemporaryDirectory() as folder:
        slides = {Path(folder) / f"{stem}.svs" for stem in stems}
        touch(*slides)
        for stem in stems:
            lay_out(Path(folder) / below, stem)
        found = discover([Path(folder)], recursive=True)
        assert {source.path for source in found.sources} == slides
        assert found.clashes == ()
        assert found.not_searched.startswith(f"{len(found.results)} folder")
        assert not discover([Path(folder)]).results


@examples(30)
@given(st.sampled_from(PICTURES), st.sampled_from([".svs", ".png", ".jpg"]))
def test_a_user_may_call_folders_of_slides_as_results_are_called(name, suffix):
    with tempfile.TemporaryDirectory() as folder:
        touch(slide := Path(folder) / name / f"a{suffix}")
        found = discover([Path(folder)], recursive=True)
        assert ([source.path for source in found.sources], found.results) == ([slide], ())


@pytest.mark.parametrize(("name", "suffix"), [*((name, ".svs") for name in PICTURES), ("images", ".png")])
def test_slides_among_results_are_found(tmp_path, name, suffix):
    touch(tmp_path / "patches" / "b.h5", slide := tmp_path / name / f"a{suffix}")
    assert [source.path for source in discover([tmp_path], recursive=True).sources] == [slide]
    assert [source.path for source in discover([tmp_path / name]).sources] == [slide]


def test_what_a_run_wrote_with_all_its_pictures_is_not_found_by_the_next(tmp_path):
    pixels = white(1024, 1024)
    stain(pixels, 128, 128, 640, 640)
    slide = paint_slide(tmp_path / "a.svs", pixels)
    pictures = dict.fromkeys(("grids", "mask", "contours", "save_images", "dump_patches"), True)
    geometry = [{"name": "g", "patch_size": 256, "target_mpp": 0.5}]
    values = {"output": str(tmp_path / "out"), "slides": {"folders": [str(slide)]}, "pictures": pictures}
    project = make_project(values | {"geometry": geometry}, origin="test")
    list(process(discover([slide]).sources, make_recipe(project)))
    assert len(list((tmp_path / "out").rglob("*_x*_y*.png"))) > 1
    assert [source.path for source in discover([tmp_path], recursive=True).sources] == [slide]
