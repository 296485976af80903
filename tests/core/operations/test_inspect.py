"""Whether what lies in the files is sound."""

import os

import numpy as np
import pytest
from painting import paint_slide, stain, white
from resealing import rewriting

from atlaspatch_core.config.project import make_project
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.operations.inspect import inspect_slide
from atlaspatch_core.operations.near_duplicates import find_near_duplicates
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import make_recipe

pytestmark = pytest.mark.quick

SLIDE, COORDS = OutputKey("slide"), OutputKey("patch_coords")
FEATURES, EMBEDDING = (
    OutputKey("patch_features", "efficientnet_lite0"),
    OutputKey("slide_embedding", "mean-efficientnet_lite0"),
)


class Made:
    """A project with finished slides: how they lie there and what is recorded of them."""

    def __init__(self, folder, **widths):
        geometry = {"patch_size": 256, "target_mag": 20, "precision": "float32", "slide_encoders": [EMBEDDING.encoder]}
        values = {"output": folder / "out", "geometry": [geometry], "runtime": {"device": "cpu", "threads": 1}}
        self.recipe = make_recipe(make_project(values, origin="test"))
        self.sources = {stem: SlideSource(stem, paint(folder, stem, width)) for stem, width in widths.items()}
        self.recorded: dict[str, dict[OutputKey, str]] = {stem: {} for stem in widths}
        for outcome in process(self.sources.values(), self.recipe):
            self.recorded[outcome.stem][outcome.step] = outcome.fingerprint or ""

    @property
    def store(self):
        return Store(self.recipe.project.output)

    def file(self, stem="a"):
        return rewriting(self.store.h5(stem))

    def odd(self, stem="a") -> dict[OutputKey, list[str]]:
        """Return the names of what did not pass."""
        found = inspect_slide(self.recipe, self.sources.get(stem), stem, self.recorded[stem])
        return {it.step: [f.name for f in it.findings if not f.passed] for it in found if not it.sound}

    def twins(self, *stems):
        return find_near_duplicates(self.store, self.recipe.stage(EMBEDDING), stems, list(self.recorded))


def paint(folder, stem, width):
    return paint_slide(folder / f"{stem}.svs", stain(white(1024, 1024), 256, 256, width, 512))


@pytest.fixture
def made(tmp_path):
    return Made(tmp_path, a=500)


def test_what_was_just_made_is_sound_and_every_output_was_looked_at(made):
    found = inspect_slide(made.recipe, made.sources["a"], "a", made.recorded["a"])

    assert [it.step for it in found] == [SLIDE, COORDS, FEATURES, EMBEDDING]
    assert [it.why for it in found] == ["", "", "", ""]


def test_coords_outside_the_slide_or_twice_are_counted(made):
    with made.file() as file:
        file["coords"][0, 0] = 5000
        file["coords"][1] = file["coords"][2]

    assert made.odd() == {COORDS: ["outside", "twice"]}


def test_rows_that_are_missing_are_seen_in_features_and_in_what_goes_with_coords(made):
    with made.file() as file:
        file["features/efficientnet_lite0"].resize(3, axis=0)
        file["tissue_fraction"].resize(3, axis=0)

    assert made.odd() == {COORDS: ["rows_tissue_fraction"], FEATURES: ["rows"]}


@pytest.mark.parametrize(
    ("row", "value", "name"),
    [(0, np.nan, "not_finite"), (slice(None), 1.0, "constant"), (slice(2, None), 0.0, "zero_tail"), (0, 1e9, "norms")],
    ids=["nan", "all the same", "cut off", "one far longer"],
)
def test_features_that_no_network_gives_are_found(made, row, value, name):
    with made.file() as file:
        if name == "norms":
            values = np.tile(file["features/efficientnet_lite0"][:1], (300, 1))
            del file["features/efficientnet_lite0"]
            file["features/efficientnet_lite0"] = values
            file["features/efficientnet_lite0"].attrs["fingerprint"] = made.recorded["a"][FEATURES]
        file["features/efficientnet_lite0"][row] = value

    assert name in made.odd()[FEATURES]


def test_an_embedding_of_one_number_is_found(made):
    with made.file() as file:
        file["slide_features/mean-efficientnet_lite0"][...] = 0.5

    assert made.odd() == {EMBEDDING: ["constant"]}


def test_a_file_of_another_version_than_recorded_is_found(made):
    made.recorded["a"][FEATURES] = "another"

    assert made.odd() == {FEATURES: ["fingerprint"]}


def test_a_file_that_is_damaged_or_gone_is_a_finding_of_every_output_in_it(made):
    made.store.h5("a").write_bytes(b"damaged")
    damaged = made.odd()
    made.store.h5("a").unlink()

    assert damaged == made.odd() == {COORDS: ["readable"], FEATURES: ["readable"], EMBEDDING: ["readable"]}


def test_a_slide_whose_content_changed_behind_its_time_is_found(made):
    path = made.sources["a"].path
    state = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 255
    path.write_bytes(content)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))

    assert made.odd() == {SLIDE: ["content"]}


def test_a_slide_that_openly_changed_or_is_gone_is_not_called_damaged(made):
    paint(made.sources["a"].path.parent, "a", 300)
    changed = made.odd()
    made.sources.clear()

    assert changed == made.odd() == {}


def test_outputs_that_were_never_recorded_are_not_missed(made):
    made.recorded["a"] = {COORDS: made.recorded["a"][COORDS]}

    assert [it.step for it in inspect_slide(made.recipe, None, "a", made.recorded["a"])] == [COORDS]


def test_one_slide_under_two_names_is_found_and_others_are_not(tmp_path):
    made = Made(tmp_path, a=500, copy=500, other=300)

    assert made.twins("a", "other") == {"a": ["copy"], "other": []}


def test_a_slide_without_an_embedding_has_no_twin(tmp_path):
    made = Made(tmp_path, a=500)

    assert made.twins("missing") == {}
