"""Masks that a person supplies: outlines or images take the place of the segmenter's, slide by slide."""

import json
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import shapely
import tifffile
from hypothesis import assume, given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from PIL import Image
from rounds import examples

from atlaspatch_core.cli.printing import output_name
from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.discovery.unused import slides_without_mask
from atlaspatch_core.errors import UnusableMask
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.slides.slide import Level, SlideInfo
from atlaspatch_core.tissue.contours import geojson_bytes, read_geojson
from atlaspatch_core.tissue.mask_images import read_mask_image
from atlaspatch_core.tissue.supplied_masks import find_mask, read_mask
from atlaspatch_core.validity import stored_in_files, validities
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import make_recipe

INFO = SlideInfo("a", Path("a.svs"), "painted", (Level(2048, 1024, 1.0),), 0.5, "stated", 20, "stated")
BOX = shapely.box(512, 256, 1024, 768)


def quarter(height: int, width: int, value: int = 255, dtype: type = np.uint8) -> np.ndarray:
    """Return a mask whose tissue is the slide's left upper quarter."""
    mask = np.zeros((height, width), dtype)
    mask[: height // 2, : width // 2] = value
    return mask


def as_png(folder: Path, mask: np.ndarray, suffix: str = ".png") -> Path:
    path = folder / f"a{suffix}"
    assert cv2.imwrite(str(path), mask)
    return path


def as_pyramid(folder: Path) -> Path:
    path = folder / "a.tif"
    with tifffile.TiffWriter(path) as file:
        for factor in (1, 2, 4):
            file.write(
                quarter(6144 // factor, 12288 // factor), tile=(256, 256), subfiletype=int(factor > 1), compression=8
            )
    return path


def as_palette(folder: Path, mask: np.ndarray) -> Path:
    """White for 0, blue for 2: no colour is black."""
    image = Image.fromarray(mask)
    image.putpalette([255, 255, 255, 255, 0, 0, 0, 0, 255])
    image.save(folder / "a.png")
    return folder / "a.png"


def as_white(folder: Path, mask: np.ndarray) -> Path:
    tifffile.imwrite(folder / "a.tif", 255 - mask, photometric="miniswhite")
    return folder / "a.tif"


IMAGES: dict[str, Callable[[Path], Path]] = {
    "png": lambda folder: as_png(folder, quarter(512, 1024)),
    "ones": lambda folder: as_png(folder, quarter(512, 1024, 1)),
    "16 bit": lambda folder: as_png(folder, quarter(512, 1024, 300, np.uint16)),
    "colour": lambda folder: as_png(folder, np.dstack([quarter(512, 1024), *[np.zeros((512, 1024), np.uint8)] * 2])),
    "alpha": lambda folder: as_png(folder, np.dstack([*[quarter(512, 1024)] * 3, np.full((512, 1024), 255, np.uint8)])),
    "alpha alone": lambda folder: as_png(
        folder, np.dstack([*[np.full((512, 1024), 255, np.uint8)] * 3, quarter(512, 1024)])
    ),
    "palette": lambda folder: as_palette(folder, quarter(512, 1024, 2)),
    "zero is white": lambda folder: as_white(folder, quarter(512, 1024)),
    "coarse": lambda folder: as_png(folder, quarter(64, 128)),
    "finer than the slide": lambda folder: as_png(folder, quarter(2048, 4096)),
    "jpeg": lambda folder: as_png(folder, quarter(512, 1024), ".jpg"),
    "tiff": lambda folder: as_png(folder, quarter(512, 1024), ".tif"),
    "pyramid": as_pyramid,
}


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_stretched_over_the_slide_and_what_is_not_zero_is_tissue(name: str, tmp_path: Path):
    (polygon,) = read_mask(IMAGES[name](tmp_path), INFO, simplify_um=0.0).polygons
    quarter_of_slide = shapely.box(0, 0, 1024, 512)
    different = polygon.symmetric_difference(quarter_of_slide).area / quarter_of_slide.area
    assert different < (0.01 if name == "jpeg" else 1e-9)


def as_twice(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", np.stack([quarter(64, 128)] * 2), photometric="minisblack")
    return folder / "a.tif"


def as_floats(folder: Path) -> Path:
    tifffile.imwrite(folder / "a.tif", np.linspace(0, 1, 64 * 128, dtype=np.float32).reshape(64, 128))
    return folder / "a.tif"


def as_white_first(folder: Path) -> Path:
    image = Image.fromarray(quarter(64, 128, 1))
    image.putpalette([255, 255, 255, 0, 0, 0])
    image.save(folder / "a.png")
    return folder / "a.png"


UNCLEAR: dict[str, Callable[[Path], Path]] = {
    "holds several images": as_twice,
    "holds fractions": as_floats,
    "shows index 1 in black and index 0 in a colour": as_white_first,
    "blurs values as small as 1": lambda folder: as_png(folder, quarter(64, 128, 1), ".jpg"),
    "is a photograph": lambda folder: as_png(folder, quarter(64, 128, 90) + np.uint8(150), ".jpg"),
    "its colours have 16 bits": lambda folder: as_png(folder, np.dstack([quarter(64, 128, 3, np.uint16)] * 3)),
}


@pytest.mark.parametrize("words", UNCLEAR)
def test_an_image_that_does_not_say_what_is_tissue_is_refused(words: str, tmp_path: Path):
    with pytest.raises(UnusableMask, match=words):
        read_mask(UNCLEAR[words](tmp_path), INFO, 0.0)


def test_an_image_without_tissue_is_an_empty_mask(tmp_path: Path):
    assert read_mask(as_png(tmp_path, np.zeros((64, 128), np.uint8)), INFO, 4.0).polygons == ()


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (quarter(1024, 1024), "has 1024 × 1024 px, the slide 2048 × 1024: other proportions"),
        (quarter(1024, 512), r"has 512 × 1024 px \(turned by a quarter\?\), the slide 2048 × 1024"),
        (quarter(512, 1024, 1) + 1, r"every pixel of its mask .*a\.png is above zero \(values 1, 2\)"),
        (np.full((512, 1024), 255, np.uint8), r"every pixel .* \(values 255\).*store the background as 0"),
    ],
)
def test_an_image_that_makes_glass_tissue_is_refused(mask: np.ndarray, words: str, tmp_path: Path):
    with pytest.raises(UnusableMask, match=words):
        read_mask(as_png(tmp_path, mask), INFO, 4.0)


@examples(60)
@given(st.integers(40, 3000), st.integers(40, 3000), st.floats(1.0, 64.0), st.integers(-40, 40), st.data())
def test_a_mask_of_the_slides_proportions_is_taken_and_any_other_refused(width, height, factor, off, data):
    """A level is the slide divided, its sides rounded down or up; what misses that by more is of something else."""
    info = replace(INFO, levels=(Level(width, height, 1.0),))
    rounding = data.draw(st.sampled_from([math.floor, math.ceil, round]))
    columns, rows = max(1, rounding(width / factor) + off), max(1, rounding(height / factor))
    assume(columns * rows > 1)
    mask = np.zeros((rows, columns), np.uint8)
    mask[0, 0] = 1
    path = Path(tempfile.mkdtemp()) / "a.png"
    Image.fromarray(mask).save(path)
    missed = abs(columns - width / factor)
    distance = min(missed - width / height, missed * height / width - 1)
    if off == 0:
        read_mask(path, info, 0.0)
    elif distance > 1.5:
        with pytest.raises(UnusableMask, match="other proportions"):
            read_mask(path, info, 0.0)


def test_outlines_are_united_and_cut_at_the_edge_of_the_slide(tmp_path: Path):
    path = tmp_path / "a.geojson"
    path.write_bytes(geojson_bytes([shapely.box(-100, -100, 200, 200), shapely.box(100, 100, 300, 300)], "a"))
    (polygon,) = read_mask(path, INFO, 4.0).polygons
    assert polygon.area == 200 * 200 + 200 * 200 - 100 * 100
    assert polygon.bounds == (0, 0, 300, 300)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.geojson", b"{", "no GeoJSON that can be read"),
        ("a.geojson", geojson_bytes([shapely.box(5000, 0, 6000, 100)], "a"), "lies beside the slide of 2048 × 1024 px"),
        ("a.png", b"no picture", "cannot be read"),
        ("a.tif", b"no picture", "cannot be read"),
    ],
)
def test_a_mask_that_cannot_be_used_says_why(name: str, content: bytes, words: str, tmp_path: Path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableMask, match=words) as error:
        read_mask(tmp_path / name, INFO, 4.0)
    assert str(error.value).startswith("a: ")


def test_two_masks_of_one_slide_are_refused_and_none_is_none(tmp_path: Path):
    assert find_mask(None, "a") is None
    assert find_mask(tmp_path, "a") is None
    for name in ("a.png", "a.geojson"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(UnusableMask, match=r"a\.geojson and .*a\.png are both its mask"):
        find_mask(tmp_path, "a")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two slides of 1536 × 1024 px with tissue on the right, and a mask for the first that lies on the left."""
    for stem in "ab":
        paint_slide(tmp_path / f"{stem}.svs", stain(white(1536, 1024), 1024, 256, 512, 512))
    (tmp_path / "masks").mkdir()
    supply(tmp_path, shapely.box(0, 0, 512, 512))
    return tmp_path


def supply(folder: Path, *polygons: shapely.Polygon) -> None:
    (folder / "masks" / "a.geojson").write_bytes(geojson_bytes(polygons, "a"))


def project(folder: Path, **changes) -> Project:
    values = {
        "output": folder / "out",
        "slides": {"folders": [folder], "masks": folder / "masks"},
        "geometry": [{"patch_size": 256, "target_mag": 20}],
        "runtime": {"device": "cpu", "read_workers": 1},
    }
    return make_project(values | changes, origin="test")


def run(folder: Path, *, force: bool = False, **changes) -> dict[str, Outcome]:
    """Take both slides through their steps; return the outcomes by slide and step."""
    sources = [SlideSource(stem, folder / f"{stem}.svs") for stem in "ab"]
    outcomes = process(sources, make_recipe(project(folder, **changes)), force=force)
    return {f"{outcome.stem} {outcome.step}": outcome for outcome in outcomes}


def computed(outcomes: dict[str, Outcome]) -> list[str]:
    return [name for name, outcome in outcomes.items() if outcome.status is Status.COMPUTED]


def test_a_supplied_mask_is_taken_over_and_a_slide_without_one_is_segmented(folder: Path):
    outcomes = run(folder)
    assert outcomes["a tissue_mask"].facts["made_by"] == "supplied"
    assert outcomes["b tissue_mask"].facts["made_by"] == "otsu"
    assert outcomes["a patch_coords"].numbers["patches"] == 4
    (copied,) = read_geojson(folder / "out" / "contours_geojson" / "a.geojson")
    assert copied.equals(shapely.box(0, 0, 512, 512))
    assert {"tissue_share", "pen_share", "dark_share"} <= outcomes["a tissue_mask"].numbers.keys()
    assert computed(run(folder)) == []


def test_another_supplied_mask_makes_that_slides_results_stale_and_says_so(folder: Path):
    run(folder)
    supply(folder, shapely.box(0, 0, 768, 512))
    outcomes = run(folder)
    assert computed(outcomes) == ["a tissue_mask", "a patch_coords"]
    assert outcomes["a tissue_mask"].why == "a.geojson changed"
    assert "tissue_mask" in outcomes["a patch_coords"].why
    assert outcomes["a patch_coords"].numbers["patches"] == 6


def test_the_same_outlines_in_a_file_that_was_touched_change_nothing(folder: Path):
    run(folder)
    os.utime(folder / "masks" / "a.geojson", (1, 1))
    assert computed(run(folder)) == []


def test_a_mask_that_comes_later_and_one_that_is_taken_away_say_so(folder: Path):
    run(folder, slides={"folders": [folder]})
    came = run(folder)
    (folder / "masks" / "a.geojson").unlink()
    went = run(folder)
    assert computed(came) == computed(went) == ["a tissue_mask", "a patch_coords"]
    assert came["a tissue_mask"].why == "a.geojson was supplied"
    assert went["a tissue_mask"].why == "the supplied mask was taken away"
    assert computed(run(folder)) == []


def test_outlines_edited_in_the_output_win_until_they_are_deleted_or_forced(folder: Path):
    run(folder)
    output = folder / "out" / "contours_geojson" / "a.geojson"
    edited = geojson_bytes([shapely.box(256, 256, 512, 512)], "a")
    for restore in (output.unlink, lambda: None):
        output.write_bytes(edited)
        outcomes = run(folder)
        assert outcomes["a tissue_mask"].facts["made_by"] == "edited"
        assert outcomes["a patch_coords"].numbers["patches"] == 1
        restore()
        outcomes = run(folder, force=not output.exists() or output.read_bytes() == edited)
        assert outcomes["a tissue_mask"].facts["made_by"] == "supplied"
        assert outcomes["a patch_coords"].numbers["patches"] == 4


def test_a_mask_image_follows_the_tolerance_of_outlines_and_outlines_do_not(folder: Path):
    mask = np.zeros((512, 768), np.uint8)
    cv2.circle(mask, (300, 250), 150, 255, -1)
    cv2.imwrite(str(folder / "masks" / "b.png"), mask)
    run(folder)
    outcomes = run(folder, tissue={"simplify_um": 40.0})
    assert computed(outcomes) == ["b tissue_mask", "b patch_coords"]
    assert outcomes["b tissue_mask"].why == "simplify_um 4.0 → 40.0" or "simplify_um" in outcomes["b tissue_mask"].why


def test_a_mask_that_cannot_be_read_fails_its_slide_alone(folder: Path):
    (folder / "masks" / "a.geojson").write_text("{")
    outcomes = run(folder)
    assert outcomes["a tissue_mask"].status is Status.FAILED
    assert "a.geojson is no GeoJSON" in outcomes["a tissue_mask"].why
    assert computed(outcomes) == ["a slide", "b slide", "b tissue_mask", "b patch_coords"]


def test_images_in_the_folder_of_masks_are_no_slides(folder: Path):
    cv2.imwrite(str(folder / "masks" / "b.tif"), np.zeros((64, 64), np.uint8))
    recursive = project(folder, slides={"folders": [folder], "recursive": True, "masks": folder / "masks"})
    assert [source.stem for source in find_slides(recursive).sources] == ["a", "b"]


def test_what_qupath_exports_is_a_mask(folder: Path):
    outline = {"type": "MultiPolygon", "coordinates": [[[[0.5, 0], [512, 0], [512, 512.25], [0, 512], [0.5, 0]]]]}
    feature = {"type": "Feature", "geometry": outline, "properties": {"objectType": "annotation"}}
    (folder / "masks" / "a.geojson").write_text(json.dumps([feature]))
    assert run(folder)["a patch_coords"].numbers["patches"] == 4


@examples(25)
@given(
    labels=st.sets(st.integers(0, 255), min_size=2, max_size=5),
    tissue=st.sets(st.integers(0, 255), min_size=1, max_size=3),
    form=st.sampled_from(["grey", "palette", "RGB", "16 bits"]),
    seed=st.integers(0, 9),
)
def test_named_values_are_tissue_and_no_others_whatever_the_form_of_the_image(labels, tissue, form, seed):
    pixels = np.random.default_rng(seed).choice(sorted(labels), (64, 128)).astype(np.uint8)
    forms = {"RGB": np.dstack([pixels] * 3), "16 bits": pixels.astype(np.uint16)}
    image = Image.fromarray(forms.get(form, pixels))
    if form == "palette":
        image.putpalette([value for index in range(256) for value in (255 - index, 255, 255)])
    with tempfile.TemporaryDirectory() as folder:
        image.save(Path(folder) / "a.png")
        mask, _ = read_mask_image(Path(folder) / "a.png", INFO, tissue_values=tuple(tissue))
    assert (mask == np.isin(pixels, sorted(tissue))).all()


def test_labels_without_background_are_refused_until_the_values_of_tissue_are_named(folder: Path):
    (folder / "masks" / "a.geojson").unlink()
    as_png(folder / "masks", quarter(1024 // 4, 1536 // 4, 1) + 1)
    slides = {"folders": [folder], "masks": folder / "masks"}
    assert "--mask-values" in run(folder)["a tissue_mask"].why
    made = run(folder, slides=slides | {"mask_values": [2]})["a tissue_mask"]
    assert (made.status, made.numbers["tissue_share"]) == (Status.COMPUTED, pytest.approx(0.25, abs=0.01))
    assert run(folder, slides=slides | {"mask_values": [2, 2]})["a tissue_mask"].status is Status.REUSED
    assert run(folder, slides=slides | {"mask_values": [1, 2]})["a tissue_mask"].numbers["tissue_share"] > 0.99


def test_colours_and_jpegs_have_no_labels(tmp_path: Path):
    as_png(tmp_path, np.dstack([quarter(64, 128), quarter(64, 128, 9), quarter(64, 128, 5)]))
    with pytest.raises(UnusableMask, match="has colours, no labels"):
        read_mask(tmp_path / "a.png", INFO, 4.0, tissue_values=(1,))
    with pytest.raises(UnusableMask, match="is a JPEG, which blurs labels"):
        read_mask(as_png(tmp_path, quarter(64, 128), ".jpg"), INFO, 4.0, tissue_values=(1,))


@pytest.mark.parametrize("ending", ["_mask", "-mask"])
def test_a_mask_of_another_slides_very_name_is_that_ones_alone(ending: str, tmp_path: Path):
    """Whatever is worked on first: the other slide is known by its file."""
    stems = ("a", f"a{ending}")
    (tmp_path / "masks").mkdir()
    for stem in stems:
        paint_slide(tmp_path / f"{stem}.svs", stain(white(1024, 1024), 512, 256, 256, 256))
    as_png(tmp_path / "masks", quarter(64, 64), f"{ending}.png")
    recipe = make_recipe(project(tmp_path))
    sources = [SlideSource(stem, tmp_path / f"{stem}.svs") for stem in stems]
    for _ in range(2):
        made_by = {
            outcome.stem: outcome.facts["made_by"]
            for outcome in process(sources, recipe)
            if outcome.step.kind == "tissue_mask"
        }
        assert made_by == {"a": "otsu", f"a{ending}": "supplied"}
    found = find_slides(recipe.project)
    assert slides_without_mask(recipe.project.slides, found) == ("a",)
    assert {str(it.state) for it in validities(recipe, stems, stored_in_files(recipe))} == {"fresh"}
    (tmp_path / f"a{ending}.svs").unlink()
    assert slides_without_mask(recipe.project.slides, find_slides(recipe.project)) == ()
    assert next(process(sources[:1], recipe, force=True)).stem == "a"
    assert find_mask(tmp_path / "masks", "a", slide_folder=lambda: tmp_path) == tmp_path / "masks" / f"a{ending}.png"


def test_what_a_person_wants_ignored_is_counted_and_is_no_warning(folder: Path):
    """The number stands with the mask, also when nothing is read again; what else is left out is a warning with it."""
    boxes = [(shapely.box(0, 0, 768, 512), "Tissue"), (shapely.box(512, 0, 768, 512), "ignore*")]
    features = [
        {
            "type": "Feature",
            "geometry": shapely.geometry.mapping(box),
            "properties": {"classification": {"name": name}},
        }
        for box, name in boxes
    ]
    for cells, warned in (
        ([], []),
        ([features[0] | {"id": "PathDetectionObject"}], ["1 Ignore* outline, 1 detection"]),
    ):
        (folder / "masks" / "a.geojson").write_text(json.dumps(features + cells))
        for _ in range(2):
            outcomes = run(folder)
            mask = outcomes["a tissue_mask"]
            assert mask.numbers["ignored_outlines"] == 1
            assert output_name(mask).endswith("tissue less 1 Ignore* outline")
            assert outcomes["a patch_coords"].numbers["patches"] == 4
            assert [any(words in note for note in mask.notes) for words in warned] == [True] * len(warned)
            assert len(mask.notes) == len(warned)
