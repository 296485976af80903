"""Adoption: what is provably the same counts as computed, the rest is marked, and neither folder loses anything."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import foreign_folders as foreign
import h5py
import numpy as np
import pytest
from foreign_folders import GEOMETRY, lattice
from four_points import probed
from numpy.typing import NDArray
from painting import paint_slide

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.find import discover
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.interop.adopt.adoption import adopt_folder
from atlaspatch_core.interop.adopt.result import AdoptStatus
from atlaspatch_core.interop.adopt.settings import AdoptSettings
from atlaspatch_core.interop.audit.run import audit_folder
from atlaspatch_core.layouts.recognise import recognise_folder
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.hdf5_stamps import IdentityUpdate
from atlaspatch_core.storage.store import Store
from atlaspatch_core.upgrades.trial import trials
from atlaspatch_core.validity.outcome import Status
from atlaspatch_core.validity.recipe import make_recipe
from atlaspatch_core.validity.states import State, validities
from atlaspatch_core.validity.stored import stored_in_files

NETWORK = "timm-test_efficientnet"
MEAN = f"mean-{NETWORK}"
COORDS, FEATURES, EMBEDDING = "patch_coords", f"patch_features/{NETWORK}", f"slide_embedding/{MEAN}"
COLUMN_ORDER = [0, 2, 1, 3]
"""Rows of the four patches as TRIDENT wrote them before v0.2.5."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    import timm
    import torch

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "tiny.pt"
    torch.save(timm.create_model("test_efficientnet", num_classes=0).state_dict(), path)
    return path


@pytest.fixture(scope="module")
def true_features(tmp_path_factory, weights) -> NDArray[np.float32]:
    """What the network gives for the four patches of the painted slide, row by row."""
    lab = Lab(tmp_path_factory.mktemp("truth"), weights)
    lab.paint("a")
    lab.run()
    with h5py.File(lab.folder / "out" / "patches" / "a.h5") as file:
        assert file["coords"][:, :2].tolist() == lattice().tolist()
        return file[f"features/{NETWORK}"][()]


@dataclass
class Lab:
    """A folder with slides, a job of somebody else, and an output."""

    folder: Path
    weights: Path

    @property
    def job(self) -> Path:
        return self.folder / "job"

    @property
    def slides(self) -> Path:
        return self.folder / "slides"

    def paint(self, *stems: str, **options: Any) -> None:
        self.slides.mkdir(exist_ok=True)
        pixels = np.full((1024, 1024, 3), 255, np.uint8)
        pixels[256:768, 256:768] = np.random.default_rng(7).integers((150, 40, 100), (250, 120, 200), (512, 512, 3))
        for stem in stems:
            paint_slide(self.slides / f"{stem}.svs", pixels, **options)

    def project(self, **geometry: Any) -> Project:
        base = {"patch_size": 256, "target_mag": 20, "precision": "float32", "scale": "nominal", "min_tissue": 0.0}
        values = {
            "output": self.folder / "out",
            "slides": {"folders": [self.slides]},
            "geometry": [base | {"patch_encoders": [NETWORK], "slide_encoders": [MEAN]} | geometry],
            "weights": {NETWORK: self.weights},
            "runtime": {"device": "cpu", "read_workers": 1, "threads": 1},
        }
        return make_project(values, origin="test")

    def sources(self) -> dict[str, SlideSource]:
        return {source.stem: source for source in discover([self.slides]).sources}

    def run(self, project: Project | None = None) -> dict[str, Status]:
        outcomes = process(self.sources().values(), make_recipe(project or self.project()))
        return {str(it.step): it.status for it in outcomes}

    def adopt(self, project: Project | None = None, **settings: Any) -> dict[str, tuple[AdoptStatus, str]]:
        """Adopt the only slide, or all; what became of each result, by its name behind the slide's."""
        recipe = make_recipe(project or self.project())
        slides = adopt_folder(recognise_folder(self.job), recipe, self.sources().values(), AdoptSettings(**settings))
        taken = [outcome for _, outcomes in slides for outcome in outcomes]
        alone = len({it.stem for it in taken}) == 1
        return {it.what if alone else f"{it.stem}: {it.what}": (it.fate, it.why) for it in taken}

    def states(self, project: Project | None = None) -> dict[str, tuple[State, str]]:
        recipe = make_recipe(project or self.project())
        found = validities(recipe, list(self.sources()), stored_in_files(recipe))
        return {str(it.step): (it.state, it.why) for it in found}

    def read(self, name: str, stem: str = "a") -> tuple[Any, dict[str, Any]]:
        with h5py.File(self.folder / "out" / "patches" / f"{stem}.h5") as file:
            return file[name][()], dict(file[name].attrs)

    def recipe_of(self, name: str) -> dict[str, Any]:
        return json.loads(self.read(name)[1]["recipe"])


@pytest.fixture
def lab(tmp_path, weights) -> Lab:
    made = Lab(tmp_path, weights)
    made.paint("a")
    return made


@pytest.fixture
def trident(lab, true_features) -> Lab:
    """A job of TRIDENT with the very features of the project's network, in column order."""
    corners, features = lattice()[COLUMN_ORDER], true_features[COLUMN_ORDER]
    foreign.trident_outlines(lab.job, "a")
    foreign.trident_coords(lab.job, "a", corners)
    foreign.trident_features(lab.job, "a", corners, features, NETWORK)
    foreign.trident_embedding(lab.job, "a", corners, true_features.mean(axis=0), MEAN)
    return lab


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Return bytes and times of all files but caches and locks."""
    files = (it for it in folder.rglob("*") if it.is_file() and not {".index", ".locks"} & set(it.parts))
    return {str(it): (it.read_bytes(), it.stat().st_mtime_ns) for it in files}


def fates(taken: dict[str, tuple[AdoptStatus, str]]) -> dict[str, AdoptStatus]:
    return {what: fate for what, (fate, _) in taken.items()}


# what is provably the same


def test_coords_that_our_grid_gives_are_fresh_and_features_match_by_place(trident, true_features):
    """Coords that our grid gives from their outlines are fresh and features are matched by place."""
    taken = trident.adopt()

    assert fates(taken) == {
        "outlines": AdoptStatus.SAME,
        "coords": AdoptStatus.SAME,
        f"features/{NETWORK}": AdoptStatus.UNVERIFIED,
        f"slide_features/{MEAN}": AdoptStatus.UNVERIFIED,
    }
    coords, attributes = trident.read("coords")
    assert coords.tolist() == [[x, y, 256, 256, 0] for x, y in lattice()]
    assert "unverified" not in attributes
    assert np.array_equal(trident.read(f"features/{NETWORK}")[0], true_features)
    states = trident.states()
    assert [states[step][0] for step in ("slide", "tissue_mask", COORDS)] == [State.FRESH] * 3


def test_unverified_features_say_so_in_the_file_in_the_status_and_in_the_audit(trident):
    trident.adopt()

    spec, attributes = trident.recipe_of(f"features/{NETWORK}")["spec"], trident.read(f"features/{NETWORK}")[1]
    assert (spec["origin"], spec["unverified"], bool(attributes["unverified"])) == ("TRIDENT", True, True)
    assert attributes["adopted_from"] == str(trident.job / GEOMETRY / f"features_{NETWORK}" / "a.h5")
    assert trident.states()[FEATURES] == (
        State.STALE,
        "adopted from TRIDENT, unverified (no weights recorded); 'atlaspatch adopt' proves or accepts it",
    )
    found = audit_folder(recognise_folder(trident.folder / "out"))
    assert sorted(it.kind for it in found) == ["unverified", "unverified"]


def test_other_readers_still_find_rows_in_the_file(trident, true_features):
    trident.adopt()
    with h5py.File(trident.folder / "out" / "patches" / "a.h5") as file:
        assert file.attrs["num_patches"] == 4
        assert file.attrs["patch_size_level0"] == 256
        assert file[f"features/{NETWORK}"].shape == true_features.shape
        assert file[f"slide_features/{MEAN}"].attrs["num_patches"] == 4


def test_the_next_run_computes_what_is_unverified_anew_and_nothing_else(trident):
    trident.adopt()
    assert trident.run() == {
        "slide": Status.REUSED,
        "tissue_mask": Status.REUSED,
        COORDS: Status.REUSED,
        FEATURES: Status.COMPUTED,
        EMBEDDING: Status.COMPUTED,
    }
    assert "unverified" not in trident.read(f"features/{NETWORK}")[1]


# proof by sample


def test_a_sample_that_gives_the_same_proves_features_and_their_embedding(trident):
    """A sample that gives the same proves features and the embedding made of them."""
    before = trident.adopt() and trident.read(f"features/{NETWORK}")[0]

    taken = trident.adopt(verify=3)

    assert fates(taken) == {
        "outlines": AdoptStatus.THERE,
        "coords": AdoptStatus.THERE,
        f"features/{NETWORK}": AdoptStatus.VERIFIED,
        f"slide_features/{MEAN}": AdoptStatus.VERIFIED,
    }
    assert {state for state, _ in trident.states().values()} == {State.FRESH}
    values, attributes = trident.read(f"features/{NETWORK}")
    assert np.array_equal(values, before)
    assert "unverified" not in attributes
    recipe = trident.recipe_of(f"features/{NETWORK}")
    assert (recipe["origin"], recipe["verified"]["patches"], recipe["verified"]["of"]) == ("TRIDENT", 3, 4)
    assert recipe["verified"]["least_cosine"] > 0.9999
    assert set(trident.run().values()) == {Status.REUSED}


def test_a_sample_that_gives_something_else_is_unverified_and_says_how_far_off(lab):
    """A sample that gives something else leaves them unverified and says how far off."""
    corners = lattice()
    foreign.trident_outlines(lab.job, "a")
    foreign.trident_coords(lab.job, "a", corners)
    dim = 256
    foreign.trident_features(lab.job, "a", corners, foreign.random_features(4, dim), NETWORK)

    fate, why = lab.adopt(verify=2)[f"features/{NETWORK}"]

    assert fate is AdoptStatus.UNVERIFIED
    assert why.startswith("different: 2 of 4 rows, among them 2 of 4 at the tissue rim; 2 differ (2 of 2 tried at the ")
    assert lab.states()[FEATURES][0] is State.STALE


def test_an_embedding_that_its_features_do_not_give_stays_unverified(trident):
    foreign.trident_embedding(trident.job, "a", lattice(), foreign.random_features(1, 256)[0], MEAN)
    taken = trident.adopt(verify=2)
    assert taken[f"features/{NETWORK}"][0] is AdoptStatus.VERIFIED
    assert taken[f"slide_features/{MEAN}"][0] is AdoptStatus.UNVERIFIED
    assert "cosine" in taken[f"slide_features/{MEAN}"][1]


# accepted by a person


def test_what_a_person_accepts_is_fresh_and_says_who_accepted_it_and_when(trident):
    assert fates(trident.adopt(accept=True))[f"features/{NETWORK}"] is AdoptStatus.ACCEPTED

    assert {state for state, _ in trident.states().values()} == {State.FRESH}
    told = trident.recipe_of(f"features/{NETWORK}")["accepted"]
    assert "@" in told["by"]
    assert told["at"].startswith("20")
    assert set(trident.run().values()) == {Status.REUSED}
    assert sorted(it.kind for it in audit_folder(recognise_folder(trident.folder / "out"))) == ["accepted", "accepted"]


def test_what_lies_there_unverified_can_be_accepted_later(trident):
    trident.adopt()
    taken = trident.adopt(accept=True)
    assert list(fates(taken).values()) == [
        AdoptStatus.THERE,
        AdoptStatus.THERE,
        AdoptStatus.ACCEPTED,
        AdoptStatus.ACCEPTED,
    ]
    assert {state for state, _ in trident.states().values()} == {State.FRESH}


def test_with_both_wishes_what_is_proven_is_verified_and_the_rest_accepted(trident):
    foreign.trident_embedding(trident.job, "a", lattice(), foreign.random_features(1, 256)[0], MEAN)
    taken = trident.adopt(verify=2, accept=True)
    assert list(fates(taken).values()) == [
        AdoptStatus.SAME,
        AdoptStatus.SAME,
        AdoptStatus.VERIFIED,
        AdoptStatus.ACCEPTED,
    ]
    assert {state for state, _ in trident.states().values()} == {State.FRESH}


def test_an_accepted_result_keeps_its_history_when_it_is_stamped_again(trident):
    trident.adopt(accept=True)
    store = Store(trident.folder / "out")
    identity = store.stored_results("a")[f"features/{NETWORK}"].identity
    store.restamp("a", "", [IdentityUpdate(f"features/{NETWORK}", identity.fingerprint, identity)])
    assert "accepted" in trident.recipe_of(f"features/{NETWORK}")


# what cannot be proven


def coords_elsewhere(lab: Lab) -> NDArray[np.int64]:
    """Write patches that no grid of ours gives: off the lattice."""
    corners = lattice() + 13
    foreign.trident_outlines(lab.job, "a")
    foreign.trident_coords(lab.job, "a", corners)
    foreign.trident_features(lab.job, "a", corners, foreign.random_features(4, 256), NETWORK)
    return corners


def test_patches_that_our_grid_does_not_give_are_kept_marked_until_the_next_run(lab):
    """Patches that our grid does not give are kept and marked and the next run lays its own."""
    corners = coords_elsewhere(lab)

    taken = lab.adopt()

    assert fates(taken) == {
        "outlines": AdoptStatus.SAME,
        "coords": AdoptStatus.UNVERIFIED,
        f"features/{NETWORK}": AdoptStatus.UNVERIFIED,
    }
    coords, attributes = lab.read("coords")
    assert coords[:, :2].tolist() == corners.tolist()
    assert attributes["unverified"]
    state, why = lab.states()[COORDS]
    assert (state, "our grid gives other patches" in why) == (State.STALE, True)
    assert lab.run()[COORDS] is Status.COMPUTED
    assert lab.read("coords")[0][:, :2].tolist() != corners.tolist()


@pytest.mark.parametrize("at_once", [True, False])
def test_accepted_patches_are_what_the_project_has_from_then_on(lab, at_once):
    corners = coords_elsewhere(lab)
    if not at_once:
        lab.adopt()
    taken = lab.adopt(accept=True)
    assert taken["coords"][0] is AdoptStatus.ACCEPTED
    assert taken[f"features/{NETWORK}"][0] is AdoptStatus.ACCEPTED
    statuses = lab.run()
    assert (statuses[COORDS], statuses[FEATURES]) == (Status.REUSED, Status.REUSED)
    assert lab.read("coords")[0][:, :2].tolist() == corners.tolist()


def test_patches_beyond_our_grid_are_left_out_and_the_others_keep_their_features(lab, true_features):
    """Patches beyond those of our grid are left out and the others keep their features."""
    corners = np.vstack([lattice(), [[0, 0]]])
    features = np.vstack([true_features, true_features[:1]])
    foreign.trident_outlines(lab.job, "a")
    foreign.trident_coords(lab.job, "a", corners)
    foreign.trident_features(lab.job, "a", corners, features, NETWORK)

    taken = lab.adopt(verify=4)

    assert taken["coords"] == (AdoptStatus.SAME, "all 4 that our grid gives; it leaves out 1 of theirs")
    assert taken[f"features/{NETWORK}"][0] is AdoptStatus.VERIFIED
    assert np.array_equal(lab.read(f"features/{NETWORK}")[0], true_features)


def test_outlines_round_the_patches_keep_exactly_them(lab):
    corners = np.vstack([lattice(), [[0, 0]]])
    foreign.trident_outlines(lab.job, "a")
    foreign.trident_coords(lab.job, "a", corners)
    taken = lab.adopt(keep_patches=True)
    assert taken["outlines"] == (AdoptStatus.SAME, "drawn round the patches")
    assert taken["coords"][0] is AdoptStatus.SAME
    assert sorted(lab.read("coords")[0][:, :2].tolist()) == sorted(corners.tolist())
    assert lab.states()[COORDS] == (State.FRESH, "")


def test_outlines_are_simplified_where_that_gives_the_same_patches(lab):
    """A spike thinner than a quarter of a patch touches a patch that TRIDENT, which simplifies first, leaves out."""
    ring = [[256, 256], [768, 256], [768, 500], [800, 505], [768, 510], [768, 768], [256, 768], [256, 256]]
    path = foreign.trident_outlines(lab.job, "a")
    values = json.loads(path.read_text())
    values["features"][0]["geometry"]["coordinates"] = [ring]
    path.write_text(json.dumps(values))
    foreign.trident_coords(lab.job, "a", lattice())
    taken = lab.adopt()
    assert taken["outlines"] == (AdoptStatus.SAME, "its outlines, simplified by 64 px as its grid takes them")
    assert taken["coords"] == (AdoptStatus.SAME, "")


def test_results_of_another_slide_or_another_scale_or_another_geometry_are_left_out(lab):
    foreign.trident_coords(lab.job, "a", lattice(), level0_width=4096)
    assert lab.adopt()[GEOMETRY] == (
        AdoptStatus.LEFT,
        "they are of a slide of 4096 × 1024 px, this one has 1024 × 1024 px",
    )
    foreign.trident_coords(lab.job, "a", lattice(), patch_size_level0=512.0)
    assert "512 level-0 px wide there, 256 here" in lab.adopt()[GEOMETRY][1]
    foreign.trident_coords(lab.job, "a", lattice(), patch_size=224)
    assert "add a [[geometry]]" in lab.adopt()["20x_224px_0px_overlap"][1]
    foreign.trident_coords(lab.job, "a", lattice() * 4)
    assert "begin outside the slide" in lab.adopt()[GEOMETRY][1]
    assert not (lab.folder / "out" / "patches").exists()


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda rows: np.where(np.arange(4)[:, None] == 1, np.nan, rows), "1 of 4 rows are not finite"),
        (lambda rows: np.where(np.arange(4)[:, None] >= 2, 0, rows), "the last 2 of 4 rows are zeros"),
        (lambda rows: rows[:3], "it has 3 rows for 4 patches"),
        (lambda rows: rows.astype(np.int64), "its numbers are of type int64"),
    ],
)
def test_features_that_are_damaged_are_left_out_and_the_coords_are_not(
    trident, damage: Callable[[NDArray[Any]], NDArray[Any]], why, true_features
):
    foreign.trident_features(trident.job, "a", lattice(), damage(true_features), NETWORK)
    taken = trident.adopt()
    assert taken["coords"][0] is AdoptStatus.SAME
    assert taken[f"features/{NETWORK}"][0] is AdoptStatus.LEFT
    assert why in taken[f"features/{NETWORK}"][1]


def test_features_of_another_length_than_the_encoder_declares_are_left_out(lab):
    foreign.trident_outlines(lab.job, "a")
    foreign.trident_coords(lab.job, "a", lattice())
    foreign.trident_features(lab.job, "a", lattice(), foreign.random_features(4, 100), "efficientnet_lite0")
    project = lab.project(patch_encoders=["efficientnet_lite0"], slide_encoders=[])
    fate, why = lab.adopt(project)["features/efficientnet_lite0"]
    assert (fate, "it has 100 dims, efficientnet_lite0 gives 1280" in why) == (AdoptStatus.LEFT, True)


def test_features_of_an_encoder_that_the_project_does_not_have_are_kept_and_marked(trident):
    foreign.trident_features(trident.job, "a", lattice(), foreign.random_features(4), "somebodys")
    assert trident.adopt(accept=True)["features/somebodys"] == (
        AdoptStatus.UNVERIFIED,
        "the project has no such encoder",
    )
    trident.run()
    assert trident.read("features/somebodys")[0].shape == (4, 8)


def test_names_of_trident_become_ours(lab):
    foreign.trident_outlines(lab.job, "a")
    foreign.trident_coords(lab.job, "a", lattice())
    foreign.trident_features(lab.job, "a", lattice(), foreign.random_features(4), "gigapath")
    foreign.trident_embedding(lab.job, "a", lattice(), foreign.random_features(1)[0], "mean-virchow2")
    assert {"features/prov_gigapath", "slide_features/mean-virchow_v2"} <= lab.adopt().keys()


def test_tensors_without_coords_are_taken_in_the_order_of_the_coords_beside_them(lab, true_features):
    import torch

    foreign.trident_outlines(lab.job, "a")
    foreign.trident_coords(lab.job, "a", lattice()[COLUMN_ORDER])
    path = lab.job / GEOMETRY / f"features_{NETWORK}" / "a.pt"
    path.parent.mkdir()
    torch.save(true_features[COLUMN_ORDER], path)
    assert lab.adopt(verify=4)[f"features/{NETWORK}"][0] is AdoptStatus.VERIFIED


def test_unverified_features_are_no_matter_for_a_canary_that_speaks_for_all_slides(trident):
    trident.adopt()
    recipe = make_recipe(trident.project())
    stale = [it for it in validities(recipe, ["a"], stored_in_files(recipe)) if it.state is State.STALE]
    assert FEATURES in {str(it.step) for it in stale}
    assert trials(recipe, stale) == []


# other layouts


def test_results_of_atlaspatch_keep_their_patches_by_outlines_drawn_round_them(lab, true_features):
    corners, rows = np.vstack([lattice(), lattice()[:1]]), np.vstack([true_features, true_features[:1]])
    foreign.atlaspatch_file(lab.job, "a", corners, {NETWORK: rows})
    project = lab.project(rule="atlaspatch")

    taken = lab.adopt(project, verify=4)

    assert taken["outlines"] == (AdoptStatus.SAME, "drawn round the patches")
    assert taken["coords"][0] is AdoptStatus.SAME
    assert taken[f"features/{NETWORK}"][0] is AdoptStatus.VERIFIED
    states = lab.states(project)
    assert {step: states[step][0] for step in ("tissue_mask", COORDS, FEATURES)} == {
        "tissue_mask": State.FRESH,
        COORDS: State.FRESH,
        FEATURES: State.FRESH,
    }


NOTCHED = [(300, 200), (900, 200), (900, 500), (700, 500), (700, 900), (300, 900)]
HOLE = [(420, 330), (420, 480), (560, 480), (560, 330)]


@pytest.mark.parametrize("step", [128, 64])
def test_overlapping_patches_of_atlaspatch_keep_exactly_theirs(lab, step: int):
    """They share points of its test, so what covers them covers points of patches that it left out."""
    rings = [np.array(ring, np.int32) for ring in (NOTCHED, HOLE)]
    corners = probed([(rings[0], rings[1:])], 256, step)
    foreign.atlaspatch_file(lab.job, "a", np.array(corners), overlap=256 - step)

    taken = lab.adopt(lab.project(rule="atlaspatch", step_size=step))

    assert taken["outlines"] == (AdoptStatus.SAME, "drawn round the patches")
    assert taken["coords"] == (AdoptStatus.SAME, "")


def test_results_of_clam_need_the_name_of_their_encoder(lab, true_features):
    foreign.clam_coords(lab.job, "a", lattice())
    foreign.clam_features(lab.job, "a", lattice(), true_features)
    assert lab.adopt()["features"] == (
        AdoptStatus.LEFT,
        "nothing says which encoder made them; name it by --patch-encoder",
    )
    assert lab.adopt(encoder=NETWORK, verify=2)[f"features/{NETWORK}"][0] is AdoptStatus.VERIFIED


def test_a_patch_size_of_clam_counts_at_its_level(lab):
    foreign.clam_coords(lab.job, "a", np.array([[0, 0]]), level=1, size=128)
    taken = lab.adopt(lab.project(patch_size=128, target_mag=5, patch_encoders=[], slide_encoders=[]))
    assert taken["coords"][0] is AdoptStatus.SAME
    with h5py.File(lab.folder / "out" / "patches" / "a.h5") as file:
        assert file.attrs["patch_size_level0"] == 512


# nothing is lost


def test_neither_folder_changes_by_a_second_adoption_nor_the_first_folder_by_any(trident):
    job = snapshot(trident.job)
    trident.adopt()
    output = snapshot(trident.folder / "out")

    taken = trident.adopt()

    assert list(fates(taken).values()) == [
        AdoptStatus.THERE,
        AdoptStatus.THERE,
        AdoptStatus.UNVERIFIED,
        AdoptStatus.UNVERIFIED,
    ]
    assert snapshot(trident.folder / "out") == output
    trident.adopt(verify=4)
    proven = snapshot(trident.folder / "out")
    assert list(fates(trident.adopt(verify=4, accept=True)).values()) == [AdoptStatus.THERE] * 4
    assert snapshot(trident.folder / "out") == proven
    assert snapshot(trident.job) == job


def test_what_the_output_has_stays_and_only_what_it_lacks_is_added(trident, true_features):
    project = trident.project(slide_encoders=[], patch_encoders=["efficientnet_lite0"])
    trident.run(project)
    before = trident.read("features/efficientnet_lite0")[0]

    wider = trident.project(patch_encoders=["efficientnet_lite0", NETWORK])
    taken = trident.adopt(wider, verify=2)

    assert (taken["outlines"][0], taken["coords"][0]) == (AdoptStatus.THERE, AdoptStatus.THERE)
    assert taken[f"features/{NETWORK}"][0] is AdoptStatus.VERIFIED
    assert np.array_equal(trident.read("features/efficientnet_lite0")[0], before)


def test_computed_features_are_never_replaced(trident):
    trident.run()
    output = snapshot(trident.folder / "out")
    taken = trident.adopt(accept=True)
    assert set(fates(taken).values()) == {AdoptStatus.THERE}
    assert snapshot(trident.folder / "out") == output


def test_stale_coords_in_the_output_are_left_alone(trident):
    trident.run()
    output = snapshot(trident.folder / "out")
    taken = trident.adopt(trident.project(min_tissue=0.5))
    assert taken["coords"][0] is AdoptStatus.LEFT
    assert "grid.min_tissue 0.0 → 0.5" in taken["coords"][1]
    assert snapshot(trident.folder / "out") == output


def test_a_dry_run_says_the_same_and_writes_nothing(trident):
    said = trident.adopt(dry_run=True)
    assert not (trident.folder / "out").exists()
    assert fates(said) == fates(trident.adopt())


def test_outlines_that_a_person_drew_in_the_output_win(trident):
    path = trident.folder / "out" / "contours_geojson" / "a.geojson"
    path.parent.mkdir(parents=True)
    path.write_bytes(foreign.trident_outlines(trident.folder / "other", "a", [(256, 256, 768, 512)]).read_bytes())
    before = path.read_bytes()
    taken = trident.adopt()
    assert taken["outlines"][0] is AdoptStatus.THERE
    assert taken["coords"] == (AdoptStatus.SAME, "all 2 that our grid gives; it leaves out 2 of theirs")
    assert path.read_bytes() == before


def test_one_damaged_slide_stops_no_other(trident, true_features):
    trident.paint("a", "b", "c")
    for stem in ("b", "c", "d"):
        foreign.trident_outlines(trident.job, stem)
        foreign.trident_coords(trident.job, stem, lattice())
    (trident.job / GEOMETRY / "patches" / "b_patches.h5").write_bytes(b"\x89HDF\r\n\x1a\n")

    taken = trident.adopt()

    assert taken["b: results"][0] is AdoptStatus.FAILED
    assert "b_patches.h5 cannot be read" in taken["b: results"][1]
    assert taken["d: results"] == (AdoptStatus.LEFT, "its slide is not among those named by --slides")
    assert taken["c: coords"][0] is AdoptStatus.SAME


def test_a_slide_without_patches_is_taken_over(lab):
    foreign.trident_outlines(lab.job, "a", [])
    foreign.trident_coords(lab.job, "a", np.zeros((0, 2)))
    foreign.trident_features(lab.job, "a", np.zeros((0, 2)), np.zeros(0, np.float32), NETWORK)
    assert fates(lab.adopt()) == {"outlines": AdoptStatus.SAME, "coords": AdoptStatus.SAME}
    assert lab.states()[COORDS] == (State.FRESH, "")
