"""The sample that proves features: rows of every kind of patch, and no more said of them than was shown."""

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import foreign_folders as foreign
import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from painting import paint_slide
from rounds import examples

from atlaspatch_core.cli.main import cli
from atlaspatch_core.interop.adopt.sampling import draw_rows, strata_of
from atlaspatch_core.patches.grid import PatchGrid
from atlaspatch_core.patches.grid_spec import GridSpec
from atlaspatch_core.patches.scale import choose_sampling
from atlaspatch_core.slides.slide import Level, SlideInfo
from atlaspatch_core.storage.hdf5 import read_array

pytestmark = pytest.mark.quick

NETWORK = "timm-test_efficientnet"
SIDE, WIDTH, HEIGHT = 128, 1000, 700
GEOMETRY = "20x_128px_0px_overlap"
TISSUE = (129, 129, WIDTH, HEIGHT)
KINDS = ("at the edge", "at the tissue rim", "inside")


@dataclass
class Job:
    """A slide whose tissue reaches over its right and bottom edge, and the features of its 35 patches."""

    folder: Path
    project: Path
    corners: NDArray[np.int64]
    features: NDArray[np.float32]

    def rows(self, kind: str) -> list[int]:
        over = (self.corners + SIDE > (WIDTH, HEIGHT)).any(axis=1)
        first = (self.corners == 128).any(axis=1) & ~over
        return np.flatnonzero(
            {"at the edge": over, "at the tissue rim": first, "inside": ~over & ~first}[kind]
        ).tolist()

    def adopt(self, output: Path, wrong: list[int], verify: object) -> str:
        """Adopt the job with some rows of another network; return what is said of the features."""
        job, rows = output / "job", self.features.copy()
        rows[wrong] = foreign.random_features(len(wrong), rows.shape[1], seed=3)
        changes: dict[str, Any] = {"patch_size": SIDE, "patch_size_level0": float(SIDE)}
        changes |= {"level0_width": WIDTH, "level0_height": HEIGHT}
        foreign.trident_outlines(job, "a", [TISSUE])
        foreign.trident_coords(job, "a", self.corners, GEOMETRY, **changes)
        foreign.trident_features(job, "a", self.corners, rows, NETWORK, GEOMETRY, **changes)
        project = output / "atlaspatch.toml"
        project.write_text(self.project.read_text().replace('output = "out"', 'output = "taken"'))
        words = ["adopt", job, "--project", project, "--verify", verify]
        result = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)
        line = next(line for line in result.output.splitlines() if line.startswith("a: "))
        return line.split(f"features/{NETWORK} ")[1]


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Job:
    import timm
    import torch

    folder = tmp_path_factory.mktemp("job")
    torch.manual_seed(0)
    torch.save(timm.create_model("test_efficientnet", num_classes=0).state_dict(), folder / "tiny.pt")
    pixels = np.random.default_rng(7).integers((150, 40, 100), (250, 120, 200), (HEIGHT, WIDTH, 3)).astype(np.uint8)
    paint_slide(folder / "a.svs", pixels)
    project = folder / "atlaspatch.toml"
    project.write_text(
        f'output = "out"\n[slides]\nfolders = ["{folder}/a.svs"]\n[weights]\n{NETWORK} = "{folder}/tiny.pt"\n'
        '[runtime]\ndevice = "cpu"\nthreads = 1\nread_workers = 1\n'
        f'[[geometry]]\npatch_size = {SIDE}\ntarget_mag = 20\nscale = "nominal"\nrule = "trident"\nmin_tissue = 0.0\n'
        f'precision = "float32"\npatch_encoders = ["{NETWORK}"]\n'
    )
    outlines = foreign.trident_outlines(folder / "job", "a", [TISSUE])
    words = ["encode-slide", folder / "a.svs", "-o", folder / "out", "--patch-size", SIDE, "--target-mag", 20]
    words += ["--rule", "trident", "--scale", "nominal", "--min-tissue", 0, "--masks", outlines.parent]
    words += ["--patch-encoders", NETWORK, "--patch-encoder-ckpt-path", f"{NETWORK}={folder}/tiny.pt"]
    words += ["--feature-precision", "float32", "--device", "cpu", "--patch-workers", 1]
    result = CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    path = folder / "out" / "patches" / "a.h5"
    corners, features = read_array(path, "coords")[:, :2].astype(np.int64), read_array(path, f"features/{NETWORK}")
    return Job(folder, project, corners, features)


@examples(12)
@given(
    kind=st.sampled_from(KINDS),
    verify=st.sampled_from((1, 3, 5, 8, 16, 34, "all")),
)
def test_rows_of_one_kind_that_differ_are_found_by_a_sample_of_any_size(job, kind, verify):
    with TemporaryDirectory() as folder:
        said = job.adopt(Path(folder), job.rows(kind), verify)
    assert said.startswith("unverified (different: ")
    assert f"tried {kind})" in said
    assert all(f"tried {other}" not in said for other in KINDS if other != kind)


@examples(5)
@given(row=st.integers(0, 34))
def test_one_row_that_differs_is_found_where_all_are_tried(job, row):
    with TemporaryDirectory() as folder:
        said = job.adopt(Path(folder), [row], "all")
    assert "unverified (different: all 35 rows; 1 differ (1 of " in said


def test_what_is_said_of_a_sample_names_the_rows_that_it_shows(job, tmp_path):
    edge, rim, inside = (len(job.rows(kind)) for kind in KINDS)
    said = job.adopt(tmp_path, [], 30)
    assert said.startswith(f"verified (numerically the same: 30 of 35 rows, among them all {edge} at the edge, ")
    assert said.endswith("; of the others nothing is known)")
    assert (edge, rim, inside) == (11, 9, 15)


def test_all_rows_that_are_the_same_leave_nothing_unknown(job, tmp_path):
    said = job.adopt(tmp_path, [], "all")
    assert said.startswith("verified (numerically the same: all 35 rows, cosine at least ")
    assert "nothing is known" not in said


def large_grid(columns: int, rows: int) -> tuple[PatchGrid, SlideInfo]:
    """Return a slide covered with patches, those of the last column and row over its edge."""
    width, height = columns * 256 - 100, rows * 256 - 100
    info = SlideInfo("a", Path(), "test", (Level(width, height, 1.0),), 0.5, "test", 20.0, "test")
    corners = np.array([(x, y) for y in range(0, height, 256) for x in range(0, width, 256)], np.int32)
    fraction = np.random.default_rng(1).uniform(0.6, 1, len(corners)).astype(np.float32)
    return PatchGrid(corners, fraction, choose_sampling(info, GridSpec(patch_size=256))), info


@examples(60)
@given(columns=st.integers(1, 90), rows=st.integers(1, 60), verify=st.integers(1, 400))
@example(columns=3, rows=3, verify=5)
def test_a_sample_has_rows_of_every_kind_and_as_many_as_were_asked_for(columns, rows, verify):
    grid, info = large_grid(columns, rows)
    strata = strata_of(grid, info)
    sample = draw_rows(grid, info, grid.coords[::-1].astype(np.int64), verify, "a")
    assert sorted(np.concatenate(list(strata.values()))) == list(range(len(grid)))
    assert sorted(set(sample.rows.tolist())) == sample.rows.tolist()
    assert min(verify, len(grid)) <= len(sample.rows) <= max(min(verify, len(grid)), len(strata) + 2)
    assert {0, len(grid) - 1} <= set(sample.rows.tolist())
    assert all(np.isin(of_kind, sample.rows).any() for of_kind in strata.values())
    over = strata.get("at the edge", np.zeros(0, np.int64))
    assert len(over) > (verify - 2) // 2 or np.isin(over, sample.rows).all()


@examples(3)
@given(row=st.integers(0, 34), fewer=st.sampled_from((3, 8, 16)))
def test_what_fewer_rows_proved_is_refuted_by_all_and_not_proven_again_by_fewer(job, row, fewer):
    with TemporaryDirectory() as folder:
        first = job.adopt(Path(folder), [row], fewer)
        assert job.adopt(Path(folder), [row], "all").startswith("unverified (different: all 35 rows; 1 differ ")
        assert "computed again, it was different" in job.adopt(Path(folder), [row], fewer)
        path = Path(folder) / "taken" / "patches" / "a.h5"
        with h5py.File(path) as file:
            recipe = json.loads(file[f"features/{NETWORK}"].attrs["recipe"])
    assert first.startswith(("verified (", "unverified (different: "))
    assert (recipe["different"]["patches"], "verified" in recipe) == (35, False)


def test_what_fewer_rows_proved_is_proven_by_all_and_then_left_alone(job, tmp_path):
    assert job.adopt(tmp_path, [], 8).startswith("verified (numerically the same: 8 of 35 rows")
    assert job.adopt(tmp_path, [], 8) == "already there"
    assert job.adopt(tmp_path, [], "all").startswith("verified (numerically the same: all 35 rows")
    assert job.adopt(tmp_path, [], "all") == "already there"
