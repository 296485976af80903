"""A folder that an earlier version wrote is reused: no identity has changed since but those whose version was raised.

Segmenters went up, ``otsu`` from 1 to 4: automatic masks are made again, come out as they were, and what follows is
reused.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from shutil import copy, copytree
from typing import Any

import h5py
import pytest
from paths import DATA
from processes import run_cli

from atlaspatch_core.config.project import load_project
from atlaspatch_core.encoders.architecture import Built, PackageModel
from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder
from atlaspatch_core.encoders.declared_names import declared_name
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.encoders.patient import find_patient_encoder
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS, find_slide_encoder
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import Identity, canonical_json, short_hash
from atlaspatch_core.storage.hdf5 import datasets_of
from atlaspatch_core.storage.records import read_record
from atlaspatch_core.tissue.contours import polygons_fingerprint, read_geojson
from atlaspatch_core.tissue.segmenters import SEGMENTERS, Segmentation
from atlaspatch_core.tissue.segmenters.declaration import TissueSpec
from atlaspatch_core.validity.recipe import make_recipe

BEFORE = DATA / "written_before"
EXPECTED = json.loads((BEFORE / "expected.json").read_bytes())
SPECS = json.loads((BEFORE / "specs.json").read_bytes())
RAISED = {f"segmenter/{name}/{removed}" for name in SEGMENTERS for removed in (False, True)}
"""Declared things whose version was raised since, so that their specs are others."""
OF_ATLASPATCH = "10x_128px_32px_overlap"
"""The geometry of the rule atlaspatch."""
ENCODE_SLIDE = (
    "encode-slide slides/supplied.tif -o encode_slide_output --patch-size 256 --target-mag 20 --min-tissue 0.1 "
    "--masks masks --feature-plugin colour_encoder.py --patch-encoders colour --slide-encoders mean-colour "
    "--feature-precision float32 --device cpu"
)


@pytest.fixture
def folder(tmp_path: Path, bundled_slide: Path) -> Path:
    """The folder as it was written, and the slide of the package that it does not carry."""
    copytree(BEFORE, tmp_path / "before")
    copy(bundled_slide, tmp_path / "before" / "slides")
    return tmp_path / "before"


def atlaspatch(folder: Path, *words: str) -> str:
    """Return what a command prints, with Dagster's instance beside the folder."""
    done = run_cli(*words, folder=folder, environment={"DAGSTER_HOME": str(folder.parent / "dagster")})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def hdf5_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.h5"))}


def test_of_a_folder_written_before_only_what_changed_is_made_again(folder: Path):
    """Status, a run of Dagster and a backfill of slides and cases; no byte of another result changes.

    Changed have a segmenter's version and the rule atlaspatch, with three outputs of three slides.
    """
    before = hdf5_bytes(folder)
    assert "tissue_mask: segmenter_version 1 → 4" in atlaspatch(folder, "status")
    assert "3 slides: 10 results computed, 26 reused" in atlaspatch(folder, "materialize")
    status = atlaspatch(folder, "status").splitlines()
    assert "3 slides, all fresh" in status
    assert "2 cases, all fresh" in status
    backfill = ["backfill", "--stale", "--missing", "--failed"]
    assert "0 results computed, 2 reused" in atlaspatch(folder, *backfill)  # this instance had not heard of the cases
    assert atlaspatch(folder, *backfill) == "To compute: nothing to do\n"
    after = hdf5_bytes(folder)
    assert {name.split("/")[1] for name in before if after[name] != before[name]} == {OF_ATLASPATCH}
    assert {name for name in before if after[name] != before[name]} == {
        name for name in before if OF_ATLASPATCH in name
    }


def test_a_supplied_mask_that_was_copied_with_its_folder_is_not_stale(folder: Path):
    """A supplied mask is known by its time, which a copy changes, and then by its outlines."""
    words = atlaspatch(folder, "status")
    assert [line.strip() for line in words.splitlines() if "tissue_mask: " in line and "upstream" not in line] == [
        "tissue_mask: segmenter_version 1 → 4"
    ]
    assert words.count(f"{OF_ATLASPATCH}/patch_coords: grid.edge pad → pad-black") == 2


def test_what_encode_slide_wrote_before_is_reused(folder: Path):
    before = hdf5_bytes(folder / "encode_slide_output")
    assert "1 slide: 0 computed, 1 reused, 0 failed" in atlaspatch(folder, *ENCODE_SLIDE.split())
    assert hdf5_bytes(folder / "encode_slide_output") == before


def test_stored_identities_have_the_fingerprints_of_before(folder: Path):
    """Those of results are worked out anew from the recipe and the inputs that stand beside each."""
    output = folder / "output"
    assert dict([*fingerprints_of_records(output), *fingerprints_of_results(output)]) == EXPECTED["fingerprints"]


def fingerprints_of_records(output: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(output.glob("slides/*.json")):
        record = read_record(path)
        assert record.slide is not None
        assert record.tissue_mask is not None
        yield f"slides/{path.name}:slide", record.slide.identity.fingerprint
        yield f"slides/{path.name}:tissue_mask", record.tissue_mask.polygons


def fingerprints_of_results(output: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(output.rglob("*.h5")):
        with h5py.File(path) as file:
            for name, item in datasets_of(file).items():
                if "recipe" in item.attrs:
                    recipe, inputs = (json.loads(str(item.attrs[key])) for key in ("recipe", "inputs"))
                    identity = Identity(recipe["step"], recipe["version"], recipe["spec"], inputs)
                    assert item.attrs["fingerprint"] == identity.fingerprint
                    yield f"{path.relative_to(output)}:{name}", identity.fingerprint


def test_polygons_have_the_fingerprints_of_before(folder: Path):
    """But for the one that a person edited, they are those that the record tells of."""
    polygons = {path.stem: polygons_fingerprint(read_geojson(path)) for path in folder.glob("output/*/*.geojson")}
    recorded = {stem: EXPECTED["fingerprints"][f"slides/{stem}.json:tissue_mask"] for stem in polygons}
    assert polygons == recorded | {"edited": "9c1d07052e33b5b1"}


def test_code_versions_are_those_of_before(folder: Path):
    recipe = make_recipe(load_project(folder / "atlaspatch.toml"))
    versions = {str(stage.step): stage.code_version for stage in (*recipe.stages, *recipe.cases)}
    before = EXPECTED["code_versions"]
    changed = {name for name in before if versions.get(name) != before[name]}
    assert changed == {"tissue_mask", f"{OF_ATLASPATCH}/patch_coords"}


def test_everything_that_is_declared_has_the_spec_of_before():
    """Every patch, slide and patient encoder, and every segmenter; new ones may come."""
    further = {
        "slide/abmil-uni_v1": find_slide_encoder("abmil-uni_v1"),
        "patient/mean-uni_v1": find_patient_encoder("mean-uni_v1"),
        "patient/moozy": find_patient_encoder("moozy"),
    }
    patch = {f"patch/{name}": encoder for name, encoder in PATCH_ENCODERS.items()}
    slide = {f"slide/{name}": encoder for name, encoder in SLIDE_ENCODERS.items()}
    specs = {name: encoder_spec(encoder) for name, encoder in (patch | slide | further).items()}
    specs |= {
        f"segmenter/{name}/{removed}": mask_spec(name, removed) for name in SEGMENTERS for removed in (False, True)
    }
    hashes = {name: short_hash(canonical_json(spec)) for name, spec in specs.items()}
    assert {name for name in SPECS if hashes.get(name) != SPECS[name]} == RAISED


def test_every_function_of_a_declared_encoder_has_a_declared_name():
    """So that renaming a function, or a class of functions, changes no identity."""
    encoders = [*PATCH_ENCODERS.values(), *SLIDE_ENCODERS.values(), find_slide_encoder("abmil-uni_v1")]
    functions = [getattr(encoder, role, None) for encoder in encoders for role in ("pooling", "adapt", "forward")]
    assert [function for function in functions if function and not hasattr(function, "declared_name")] == []
    packages = [encoder.architecture for encoder in encoders if isinstance(encoder.architecture, PackageModel)]
    assert [package.loader for package in packages if not package.name] == []
    networks = [segmenter.network for segmenter in SEGMENTERS.values() if segmenter.network]
    assert all(network.architecture.name for network in networks if isinstance(network.architecture, Built))


def encoder_spec(encoder: PatchEncoder | SlideEncoder) -> dict[str, Any]:
    """Return what decides an encoder's numbers, also where its weights are not there."""
    spec = {
        "architecture": encoder.architecture.spec() if encoder.architecture else None,
        "weights": weights_spec(encoder),
        "adapt": declared_name(encoder.adapt),
        "precision": encoder.precision,
    }
    if isinstance(encoder, SlideEncoder):
        return spec | {"forward": declared_name(encoder.forward), "patch_encoder": encoder.patch_encoder}
    transform = asdict(encoder.transform) if encoder.transform else None
    return spec | {"transform": transform, "pooling": declared_name(encoder.pooling), "autocast": encoder.autocast}


def weights_spec(encoder: PatchEncoder | SlideEncoder) -> Any:
    try:
        return encoder.source.spec(encoder.name) if encoder.source else None
    except AtlasPatchError:
        return "missing"


def mask_spec(segmenter: str, removed: bool) -> dict[str, Any]:
    tissue = TissueSpec(segmenter=segmenter, remove_artifacts=removed, remove_penmarks=removed)
    return Segmentation(tissue, {}).spec()
