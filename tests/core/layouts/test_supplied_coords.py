"""Coordinates that somebody else laid: checked against the slide, and encoded as they are."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from painting import paint_slide, stain, white

from atlaspatch_core.config.project import make_project
from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import UnusableCoords
from atlaspatch_core.layouts.supplied_coords import find_coords, read_coords
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.slides.slide import Level, SlideInfo
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import SLIDE, make_recipe
from atlaspatch_core.validity.states import State, validities
from atlaspatch_core.validity.stored import stored_in_files

pytestmark = pytest.mark.quick

CORNERS = [[512, 0], [0, 0], [0, 300]]
TRIDENT = {
    "patch_size": 256,
    "patch_size_level0": 512.0,
    "level0_magnification": 40,
    "target_magnification": 20.0,
    "overlap": 64,
    "level0_width": 1024,
    "level0_height": 1024,
}
CLAM = {"patch_size": 256, "patch_level": 1}


def info(mpp: float = 0.25, downsamples: tuple[float, ...] = (1, 2, 4)) -> SlideInfo:
    levels = tuple(Level(round(1024 / down), round(1024 / down), down) for down in downsamples)
    return SlideInfo("a", Path("a.svs"), "openslide", levels, mpp, "stated", 40, "stated")


def write(path: Path, corners, attributes, dtype=np.int64) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        coords = file.create_dataset("coords", data=np.array(corners, dtype))
        coords.attrs.update(attributes)
    return path


def geometry(**more) -> Geometry:
    return Geometry(**({"patch_size": 256, "target_mag": 20} | more))


def test_tridents_coords_keep_their_order_and_their_scale(tmp_path):
    found = read_coords(write(tmp_path / "a_patches.h5", CORNERS, TRIDENT), info(), geometry())
    sampling = found.grid.sampling
    assert found.grid.coords.tolist() == CORNERS
    assert (sampling.patch_size, sampling.patch_size_level0, sampling.step_size_level0) == (256, 512, 384)
    assert (sampling.level, sampling.read_size, sampling.mpp) == (1, 256, 0.5)
    assert found.overlap == 64
    assert np.isnan(found.grid.tissue_fraction).all()


def test_clams_coords_are_of_a_level_and_its_downsample(tmp_path):
    path = write(tmp_path / "a.h5", CORNERS, CLAM)
    assert read_coords(path, info(), geometry()).grid.sampling.patch_size_level0 == 512
    path = write(tmp_path / "a.h5", CORNERS, {"patch_size": 256, "patch_level": 0, "custom_downsample": 2})
    sampling = read_coords(path, info(), geometry()).grid.sampling
    assert (sampling.level, sampling.read_size, sampling.patch_size_level0) == (0, 512, 512)


def test_five_columns_say_level_and_size_themselves(tmp_path):
    rows = [[x, y, 128, 128, 2] for x, y in CORNERS]
    sampling = read_coords(write(tmp_path / "a.h5", rows, TRIDENT, np.int32), info(), geometry()).grid.sampling
    assert (sampling.level, sampling.read_size, sampling.mpp) == (2, 128, 0.5)


def test_a_file_without_patches_has_none(tmp_path):
    path = write(tmp_path / "a.h5", np.empty((0, 2)), TRIDENT)
    assert len(read_coords(path, info(), geometry()).grid) == 0


@pytest.mark.parametrize(
    ("corners", "attributes", "complaint"),
    [
        ([[1024, 0]], TRIDENT, r"1 of 1 patches .* begin beyond the slide of 1024 × 1024 px, the first at \(1024, 0\)"),
        ([[-1, 5]], TRIDENT, r"begin beyond the slide"),
        (CORNERS, TRIDENT | {"level0_width": 2048}, "is of a slide of 2048 × 1024 px, this one has 1024 × 1024"),
        (CORNERS, TRIDENT | {"patch_size": 512, "patch_size_level0": 1024}, "512 px wide, 256 px are asked for"),
        (CORNERS, TRIDENT | {"patch_size_level0": 1024}, "have 1 µm/px, asked for is 0.5 µm/px; give .*10"),
        (CORNERS, {"patch_size": 256}, "says neither patch_size_level0 nor patch_level"),
        (CORNERS, CLAM | {"patch_level": 7}, "is of level 7, the slide has 3"),
        ([[0.5, 0.0]], TRIDENT, "holds no coords that can be read .*not whole"),
    ],
)
def test_coords_that_cannot_be_of_the_slide_are_refused_in_one_sentence(tmp_path, corners, attributes, complaint):
    dtype = np.float64 if isinstance(corners[0][0], float) else np.int64
    path = write(tmp_path / "a.h5", corners, attributes, dtype)
    with pytest.raises(UnusableCoords, match=f"^a: .*{complaint}"):
        read_coords(path, info(), geometry())


def test_files_are_found_by_all_names_and_two_are_one_too_many(tmp_path):
    with pytest.raises(UnusableCoords, match=r"a: there are no coords in .*a_patches.h5 or a.h5"):
        find_coords(tmp_path, "a")
    below = write(tmp_path / "patches" / "a_patches.h5", CORNERS, TRIDENT)
    assert find_coords(tmp_path, "a") == below
    write(tmp_path / "patches" / "a.h5", CORNERS, CLAM)
    with pytest.raises(UnusableCoords, match="are both its coords"):
        find_coords(tmp_path, "a")
    ours = write(tmp_path / "patches" / "a.h5", CORNERS, TRIDENT | {"fingerprint": "0123456789abcdef"})
    assert find_coords(tmp_path, "a") == ours


def run(source: SlideSource, output: Path, coords: Path | None, **more) -> dict[OutputKey, Outcome]:
    values = {"patch_size": 256, "target_mag": 20, "coords": coords, "patch_encoders": ("efficientnet_lite0",)}
    project = make_project({"output": output, "geometry": (values | more,)}, origin="test")
    return {outcome.step: outcome for outcome in process([source], make_recipe(project))}


@pytest.fixture
def source(tmp_path) -> SlideSource:
    pixels = stain(white(1024, 1024), 0, 0, 700, 700)
    return SlideSource("a", paint_slide(tmp_path / "a.svs", pixels, mpp=0.25, levels=(1, 2), objective_power=40))


COORDS, FEATURES = OutputKey("patch_coords"), OutputKey("patch_features", "efficientnet_lite0")


def test_features_are_computed_on_supplied_coords_and_know_when_these_change(tmp_path, source):
    path = write(tmp_path / "coords" / "patches" / "a_patches.h5", CORNERS, TRIDENT)
    output = tmp_path / "out"
    first = run(source, output, tmp_path / "coords")
    assert {outcome.status for outcome in first.values()} == {Status.COMPUTED}
    assert first[COORDS].facts["rule"] == "supplied"
    assert first[COORDS].numbers["patches"] == 3
    with h5py.File(Store(output).h5("a")) as file:
        assert file["coords"][:, :2].tolist() == CORNERS
        assert file["features/efficientnet_lite0"].shape == (3, 1280)
        assert file.attrs["rule"] == "supplied"
        assert file.attrs["supplied_from"] == str(path)
    assert {outcome.status for outcome in run(source, output, tmp_path / "coords").values()} == {Status.REUSED}

    write(path, CORNERS[:2], TRIDENT)
    again = run(source, output, tmp_path / "coords")
    assert again[SLIDE].status is Status.REUSED
    assert again[COORDS].why.startswith("corners ")
    assert again[FEATURES].status is Status.COMPUTED


def test_supplied_coords_of_our_own_give_the_very_same_features(tmp_path, source):
    assert run(source, tmp_path / "own", None)[COORDS].numbers["patches"] > 1
    run(source, tmp_path / "out", tmp_path / "own")
    with h5py.File(Store(tmp_path / "own").h5("a")) as own, h5py.File(Store(tmp_path / "out").h5("a")) as copied:
        assert (own["coords"][()] == copied["coords"][()]).all()
        assert (own["features/efficientnet_lite0"][()] == copied["features/efficientnet_lite0"][()]).all()
        assert own["coords"].attrs["fingerprint"] != copied["coords"].attrs["fingerprint"]


def test_a_slide_without_supplied_coords_fails_alone(tmp_path, source):
    (tmp_path / "coords").mkdir()
    outcomes = run(source, tmp_path / "out", tmp_path / "coords")
    assert outcomes[COORDS].status is Status.FAILED
    assert "there are no coords in" in outcomes[COORDS].why
    assert outcomes[FEATURES].status is Status.SKIPPED


def test_the_state_of_supplied_coords_is_known_without_opening_the_slide(tmp_path, source):
    path = write(tmp_path / "coords" / "a.h5", CORNERS, TRIDENT)
    output, coords = tmp_path / "out", tmp_path / "coords"
    run(source, output, coords)
    values = {"patch_size": 256, "target_mag": 20, "coords": coords, "patch_encoders": ("efficientnet_lite0",)}
    recipe = make_recipe(make_project({"output": output, "geometry": (values,)}, origin="test"))

    def states() -> dict[OutputKey, State]:
        return {found.step: found.state for found in validities(recipe, ["a"], stored_in_files(recipe))}

    assert set(states().values()) == {State.FRESH}
    write(path, CORNERS[:1], TRIDENT)
    assert (states()[COORDS], states()[FEATURES]) == (State.STALE, State.STALE)
    path.unlink()
    assert states()[COORDS] is State.FAILED
