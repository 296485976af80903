"""``atlaspatch adopt`` with weights and plugins of one's own, and what the status says of what is left."""

import json
from pathlib import Path
from typing import Any

import foreign_folders as foreign
import numpy as np
import pytest
from click.testing import CliRunner, Result
from painting import paint_slide
from plugins import TINY_ENCODER

from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import load_project
from atlaspatch_core.storage.hdf5 import read_array

pytestmark = pytest.mark.quick

NETWORK = "timm-test_efficientnet"
WIDTH, HEIGHT = 1000, 700
GEOMETRY = "20x_128px_0px_overlap"
SPIKED = [[130, 130], [900, 130], [900, 300], [1000, 300], [1000, 700], [500, 700], [500, 520], [380, 505], [130, 510]]
"""Outlines with a spike that TRIDENT's simplification takes away, over the right and bottom edge."""


def call(*words: object) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], catch_exceptions=False)


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Path:
    """A folder with a slide, weights, and a job as TRIDENT leaves it: its rule, its padding, its resampling."""
    import timm
    import torch

    folder = tmp_path_factory.mktemp("lab")
    torch.manual_seed(0)
    torch.save(timm.create_model("test_efficientnet", num_classes=0).state_dict(), folder / "tiny.pt")
    pixels = np.random.default_rng(7).integers((150, 40, 100), (250, 120, 200), (HEIGHT, WIDTH, 3)).astype(np.uint8)
    (folder / "slides").mkdir()
    paint_slide(folder / "slides" / "a.svs", pixels, mpp=0.25, levels=(1,))
    outlines = folder / "job" / "contours_geojson" / "a.geojson"
    outlines.parent.mkdir(parents=True)
    shape = {"type": "Polygon", "coordinates": [[*SPIKED, SPIKED[0]]]}
    feature = {"type": "Feature", "properties": {"tissue_id": 0}, "geometry": shape}
    outlines.write_text(json.dumps({"type": "FeatureCollection", "name": "a", "features": [feature]}))
    words = ["--patch-size", 128, "--target-mag", 20, "--rule", "trident", "--scale", "nominal", "--min-tissue", 0]
    words += ["--patch-encoders", NETWORK, "--patch-encoder-ckpt-path", f"{NETWORK}={folder}/tiny.pt"]
    made = call("encode-slide", folder / "slides", "-o", folder / "out", "--masks", outlines.parent, *words)
    assert made.exit_code == 0, made.output
    path = folder / "out" / "patches" / "a.h5"
    corners, features = read_array(path, "coords")[:, :2].astype(np.int64), read_array(path, f"features/{NETWORK}")
    assert (corners + 256 > (WIDTH, HEIGHT)).any()
    changes: dict[str, Any] = {"patch_size": 128, "patch_size_level0": 256.0, "level0_magnification": 40}
    changes |= {"level0_width": WIDTH, "level0_height": HEIGHT}
    foreign.trident_coords(folder / "job", "a", corners, GEOMETRY, **changes)
    foreign.trident_features(folder / "job", "a", corners, features, NETWORK, GEOMETRY, **changes)
    return folder


def test_every_row_of_a_trident_job_is_proven_by_the_weights_that_are_named(job, tmp_path):
    weights = ("--patch-encoder-ckpt-path", f"{NETWORK}={job}/tiny.pt")
    where = ("-o", tmp_path / "out", "--slides", job / "slides")
    taken = call("adopt", job / "job", *where, "--verify", "all", *weights)
    assert taken.exit_code == 0, taken.output
    assert f"features/{NETWORK} verified (numerically the same: all " in taken.output
    assert f"{GEOMETRY}/coords taken over ·" in taken.output
    project = load_project(tmp_path / "out" / "atlaspatch.toml")
    (spec,) = (geometry.spec for geometry in project.geometry)
    assert (spec.rule, spec.edge, spec.resampling, spec.min_tissue) == ("trident", "pad-black", "bicubic", 0.0)
    assert project.weights == {NETWORK: (job / "tiny.pt").resolve()}
    assert call("status", tmp_path / "out").output.splitlines()[-1] == "1 slide, all fresh"


def test_weights_that_nobody_named_can_be_named_when_adopting_again(job, tmp_path):
    project = tmp_path / "atlaspatch.toml"
    project.write_text(
        f'output = "out"\n[slides]\nfolders = ["{job}/slides"]\n[[geometry]]\nname = "{GEOMETRY}"\npatch_size = 128\n'
        f'target_mag = 20\nscale = "nominal"\nrule = "trident"\nmin_tissue = 0.0\npatch_encoders = ["{NETWORK}"]\n'
    )
    weights = ("--patch-encoder-ckpt-path", f"{NETWORK}={job}/tiny.pt")
    taken = call("adopt", job / "job", "--project", project, "--verify", 3, *weights)
    assert f"features/{NETWORK} verified" in taken.output
    assert f"does not name {NETWORK} as typed" in taken.output


def test_weights_of_what_does_not_run_are_wrong_usage(job, tmp_path):
    weights = ("--patch-encoder-ckpt-path", f"uni_v1={job}/tiny.pt")
    taken = call("adopt", job / "job", "-o", tmp_path / "out", "--slides", job / "slides", *weights, "--dry-run")
    assert (taken.exit_code, "uni_v1, which does not run here" in taken.output) == (2, True)


def test_the_status_names_what_was_adopted_and_is_not_asked_for(job, tmp_path):
    other = foreign.trident_job(tmp_path / "job", "a", encoder="somebodys")
    slides = tmp_path / "slides"
    slides.mkdir()
    paint_slide(slides / "a.svs", np.full((1024, 1024, 3), 255, np.uint8))
    assert call("adopt", other, "-o", tmp_path / "out", "--slides", slides).exit_code == 0
    shown = call("status", tmp_path / "out").output
    output = f"{foreign.GEOMETRY}/patch_features/somebodys"
    assert "1 slide, all fresh of what the project asks for" in shown
    assert f"{output} of a: adopted from TRIDENT, unverified (the project has no such encoder)" in shown
    rows = {row["output"]: row["state"] for row in json.loads(call("status", tmp_path / "out", "--json").stdout)}
    assert rows[output] == "unverified"
    assert f"a,{output},unverified" in call("status", tmp_path / "out", "--csv").stdout


def test_features_of_a_plugin_are_proven_by_the_plugin_that_is_named(tmp_path):
    slides, plugin = tmp_path / "slides", tmp_path / "tiny.py"
    slides.mkdir()
    plugin.write_text(TINY_ENCODER)
    pixels = np.random.default_rng(7).integers(100, 250, (1024, 1024, 3)).astype(np.uint8)
    paint_slide(slides / "a.svs", pixels)
    corners = foreign.lattice()
    colours = np.stack([pixels[y : y + 256, x : x + 256].mean(axis=(0, 1)) / 255 for x, y in corners])
    foreign.trident_outlines(tmp_path / "job", "a", [(257, 257, 767, 767)])
    foreign.trident_coords(tmp_path / "job", "a", corners)
    foreign.trident_features(tmp_path / "job", "a", corners, colours.astype(np.float32), "tiny")
    words = ("-o", tmp_path / "out", "--slides", slides, "--feature-plugin", plugin, "--verify", "all")
    taken = call("adopt", tmp_path / "job", *words)
    assert "features/tiny verified (numerically the same: all 4 rows" in taken.output, taken.output
    assert load_project(tmp_path / "out" / "atlaspatch.toml").plugins == (plugin.resolve(),)
    again = call("adopt", tmp_path / "job", *words)
    assert "features/tiny already there" in again.output, again.output
