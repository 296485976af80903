"""A slide that becomes another one while it is worked on fails by that reason; nothing of mixed pixels is kept."""

import os
import shutil
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from painting import paint_slide, stain, white
from replacing import WAYS
from replacing_plugin import PLACES, write_plugin
from rounds import examples

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.discovery.transient import is_transient
from atlaspatch_core.errors import ReplacedSlide
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.slides.content_hash import content_fingerprint, file_signature
from atlaspatch_core.slides.watch import SlideWatch
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import Recipe, make_recipe

Results = dict[str, dict[str, bytes]]
SIDE = 2048


def paint(path: Path, seed: int) -> Path:
    """Write a slide of the size of all others in px and bytes."""
    pixels = stain(white(SIDE, SIDE), 0, 512 * (seed % 2), SIDE, 1536, (200, 80, 100 + 30 * seed))
    return paint_slide(path, pixels)


@pytest.fixture(scope="module")
def painted(tmp_path_factory) -> dict[str, Path]:
    """The slide ``a``, its neighbour ``b``, and what ``a`` becomes."""
    folder = tmp_path_factory.mktemp("slides")
    paths = {name: paint(folder / name / f"{stem}.svs", seed) for name, stem, seed in made_in(folder)}
    assert len({path.stat().st_size for path in paths.values()}) == 1
    return paths


def made_in(folder: Path) -> list[tuple[str, str, int]]:
    for name in ("a", "b", "new"):
        (folder / name).mkdir()
    return [("a", "a", 0), ("b", "b", 2), ("new", "a", 3)]


@pytest.fixture(scope="module")
def whole(painted, tmp_path_factory) -> Results:
    """What is made of each slide that nobody touches."""
    made: Results = {}
    for name, path in painted.items():
        folder = tmp_path_factory.mktemp(name)
        outcomes = list(
            process([SlideSource(path.stem, path)], recipe_of(folder, {"place": "", "stem": "", "way": ""}))
        )
        assert {outcome.status for outcome in outcomes} == {Status.COMPUTED}
        made[name] = results(folder / "out")[path.stem]
    return made


def recipe_of(folder: Path, order: dict[str, str | int]) -> Recipe:
    geometry = {"patch_size": 256, "target_mag": 20, "min_tissue": 0.5, "slide_encoders": ("mean-tiny",)}
    values = {
        "output": folder / "out",
        "geometry": (geometry,),
        "plugins": (write_plugin(folder, {"new": "", "count": 0} | order),),
        "runtime": {"device": "cpu", "threads": 1, "read_workers": 2, "feature_batch_size": 16},
    }
    return make_recipe(make_project(values, origin="test"))


def results(output: Path) -> Results:
    """Return stem to the bytes of its coords, features, embedding and mask, as far as there are any."""
    made: Results = {}
    for path in sorted(output.glob("contours_geojson/*.geojson")):
        made[path.stem] = {"mask": path.read_bytes()}
    for path in sorted(output.glob("patches/*.h5")):
        with h5py.File(path) as file:
            names = [name for name in ("coords", "features/tiny", "slide_features/mean-tiny") if name in file]
            made[path.stem] |= {name: np.asarray(file[name]).tobytes() for name in names}
    return made


def run(folder: Path, recipe: Recipe) -> list[Outcome]:
    return list(process([SlideSource(stem, folder / f"{stem}.svs") for stem in "ab"], recipe))


@given(place=st.sampled_from(PLACES), count=st.integers(0, 5), way=st.sampled_from(sorted(WAYS)))
@examples(5)
def test_what_is_kept_is_of_the_slide_that_was_identified(painted, whole, place, count, way):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for stem in "ab":
            shutil.copy2(painted[stem], folder / f"{stem}.svs")
        count = 0 if place in ("open", "opened", "close") else count
        recipe = recipe_of(
            folder, {"stem": "a", "place": place, "count": count, "way": way, "new": str(painted["new"])}
        )
        outcomes = run(folder, recipe)
        failed = [outcome for outcome in outcomes if outcome.status is Status.FAILED]
        first = results(folder / "out")
        assert first["b"] == whole["b"]
        assert first.get("a", {}).items() <= whole["a"].items()
        for outcome in failed:
            assert outcome.stem == "a"
            assert "a.svs was replaced" in outcome.why
            assert outcome.transient
        if not failed:
            assert first["a"] == whole["a"]
        if place in ("open", "opened"):
            assert failed
        if not (folder / "done").exists() or (not failed and "same times" in way):
            return
        if way == "half a copy":
            shutil.copyfile(painted["new"], folder / "a.svs")
        assert Status.FAILED not in {outcome.status for outcome in run(folder, recipe)}
        assert results(folder / "out") == {"a": whole["new"], "b": whole["b"]}


def test_a_slide_that_was_replaced_after_it_was_copied_is_not_identified(painted, tmp_path):
    for folder in ("slides", "local"):
        (tmp_path / folder).mkdir()
        shutil.copy2(painted["a"], tmp_path / folder / "a.svs")
    path = tmp_path / "slides" / "a.svs"
    source = SlideSource("a", path, local=tmp_path / "local" / "a.svs", copied_signature=file_signature(path))
    WAYS["move"](painted["new"], path)
    outcomes = list(process([source], recipe_of(tmp_path, {"place": "", "stem": "", "way": ""})))
    assert "was replaced" in outcomes[0].why
    assert results(tmp_path / "out") == {}


@pytest.fixture
def watched(painted, tmp_path) -> tuple[Path, SlideWatch]:
    path = Path(shutil.copy2(painted["a"], tmp_path / "a.svs"))
    watch = SlideWatch(path)
    watch.expect_content(content_fingerprint(path), full_hash=False)
    return path, watch


@pytest.mark.parametrize("way", WAYS)
def test_another_file_is_seen_whatever_its_size_and_times(watched, painted, way):
    path, watch = watched
    assert not watch.is_changed()
    WAYS[way](painted["new"], path)
    assert watch.is_changed()


@pytest.mark.parametrize("way", ["touched", "linked", "moved", "copied again", "made read-only"])
def test_the_same_content_is_the_same_slide(watched, painted, way):
    path, watch = watched
    if way == "touched":
        os.utime(path, (1, 1))
    elif way == "linked":
        os.link(path, path.with_name("b.svs"))
    elif way == "moved":
        WAYS["move"](painted["a"], path)
    elif way == "copied again":
        WAYS["copy over it"](painted["a"], path)
    else:
        path.chmod(0o444)
    assert not watch.is_changed()


def test_files_that_lie_untouched_are_not_read(watched):
    path, watch = watched
    watch.expect_content("that of no file", full_hash=False)
    assert not watch.is_changed()
    os.utime(path)
    assert watch.is_changed()


def test_each_file_of_a_slide_of_many_counts(tmp_path):
    (tmp_path / "a").mkdir()
    files = [tmp_path / "a.mrxs", *(tmp_path / "a" / f"Data{number:04}.dat" for number in range(20))]
    for file in files:
        file.write_bytes(b"one")
    for file in files:
        watch = SlideWatch(tmp_path / "a.mrxs")
        watch.expect_content(content_fingerprint(tmp_path / "a.mrxs"), full_hash=False)
        file.write_bytes(b"two")
        assert watch.is_changed()


def test_a_replaced_slide_may_be_well_the_next_time():
    assert is_transient(ReplacedSlide("a: a.svs was replaced"))
