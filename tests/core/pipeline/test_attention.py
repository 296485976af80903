"""Attention is kept beside the embedding: it is what numpy says, changes nothing else, and goes with the embedding."""

import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from known_attention import ABMIL, PATCH_ENCODER, WIDTH, attention_by_hand, paint_scan, recipe_with_abmil, write_abmil
from resealing import rewriting
from rotting import rot_values

import atlaspatch_core as ap
from atlaspatch_core.discovery.sources import SlideSource
from atlaspatch_core.errors import DamagedOutput, NoAttention, NotFresh
from atlaspatch_core.interop.audit.findings import AuditFinding, AuditSeverity
from atlaspatch_core.interop.audit.repair import repair
from atlaspatch_core.interop.audit.run import audit_folder
from atlaspatch_core.layouts.recognise import recognise_folder
from atlaspatch_core.operations.inspect import inspect_slide
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.hdf5 import datasets_of
from atlaspatch_core.storage.hdf5_stamps import IdentityUpdate
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import Recipe
from atlaspatch_core.validity.stored import stored_in_files

EMBEDDING, ATTENTION = f"slide_features/{ABMIL}", f"attention/{ABMIL}"


@pytest.fixture
def scan(tmp_path) -> SlideSource:
    return paint_scan(tmp_path, "a")


def run(recipe: Recipe, scan: SlideSource, **options) -> dict[str, Outcome]:
    outcomes = {outcome.step.kind: outcome for outcome in process([scan], recipe, **options)}
    assert not [outcome.why for outcome in outcomes.values() if outcome.status is Status.FAILED]
    return outcomes


def datasets(folder: Path) -> dict[str, tuple[np.ndarray, dict]]:
    """Return the values and attributes of all that a slide's file holds."""
    with h5py.File(folder / "out" / "patches" / "a.h5") as file:
        return {name: (item[()], dict(item.attrs)) for name, item in datasets_of(file).items()}


def assert_unchanged(before: dict, folder: Path) -> None:
    after = datasets(folder)
    for name, (values, about) in before.items():
        assert values.tobytes() == after[name][0].tobytes(), name
        assert str(about) == str(after[name][1]), name


def hide_pixels(path: Path) -> None:
    """Let a slide's file be zeros of the same size and time: who opens it fails, who does not need it goes on."""
    stat = path.stat()
    path.write_bytes(bytes(stat.st_size))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


@pytest.mark.parametrize("heads", [0, 1, 3])
def test_kept_attention_is_what_numpy_says_of_the_stored_features(tmp_path, scan, heads):
    recipe = recipe_with_abmil(tmp_path, keep_attention=True)
    write_abmil(tmp_path / "abmil.pt", WIDTH, heads=heads)
    run(recipe, scan)
    found = datasets(tmp_path)
    kept, about = found[ATTENTION]
    by_hand = attention_by_hand(tmp_path / "abmil.pt", found[f"features/{PATCH_ENCODER}"][0], heads=heads)
    assert (kept.dtype, kept.shape) == (np.float32, by_hand.shape)
    assert kept.shape == ((len(found["coords"][0]),) if heads < 2 else (len(found["coords"][0]), heads))
    np.testing.assert_allclose(kept, by_hand, rtol=2e-4, atol=1e-7)
    assert np.ptp(kept) > 0.2 / len(kept)
    np.testing.assert_allclose(kept.sum(axis=0), 1, atol=1e-5)
    assert about["fingerprint"] == found[EMBEDDING][1]["fingerprint"]
    assert {"sha256", "sha256_of_attributes", "license", "created_at"} <= about.keys()


def test_it_is_added_to_embeddings_that_lie_there_from_stored_features_alone(tmp_path, scan):
    run(recipe_with_abmil(tmp_path), scan)
    before = datasets(tmp_path)
    assert ATTENTION not in before
    hide_pixels(scan.path)
    outcomes = run(recipe_with_abmil(tmp_path, keep_attention=True), scan)
    assert {outcome.status for outcome in outcomes.values()} == {Status.REUSED}
    assert outcomes["slide_embedding"].why == "its attention was computed from stored features"
    assert_unchanged(before, tmp_path)
    by_hand = attention_by_hand(tmp_path / "abmil.pt", before[f"features/{PATCH_ENCODER}"][0])
    np.testing.assert_allclose(datasets(tmp_path)[ATTENTION][0], by_hand, rtol=2e-4, atol=1e-7)
    kept = datasets(tmp_path)
    assert run(recipe_with_abmil(tmp_path, keep_attention=True), scan)["slide_embedding"].why == ""
    assert run(recipe_with_abmil(tmp_path), scan)["slide_embedding"].status is Status.REUSED
    assert_unchanged(kept, tmp_path)


def test_with_and_without_it_the_embedding_is_the_same(tmp_path, scan):
    run(recipe_with_abmil(tmp_path), scan)
    before = datasets(tmp_path)[EMBEDDING]
    run(recipe_with_abmil(tmp_path, keep_attention=True), scan, force=True)
    after = datasets(tmp_path)[EMBEDDING]
    assert before[0].tobytes() == after[0].tobytes()
    assert [before[1][name] for name in ("fingerprint", "recipe")] == [
        after[1][name] for name in ("fingerprint", "recipe")
    ]


def test_an_embedding_that_is_made_anew_takes_its_former_attention_away(tmp_path, scan):
    run(recipe_with_abmil(tmp_path, keep_attention=True), scan)
    former = datasets(tmp_path)[ATTENTION][0]
    write_abmil(tmp_path / "abmil.pt", WIDTH, seed=9)
    assert run(recipe_with_abmil(tmp_path), scan)["slide_embedding"].status is Status.COMPUTED
    assert ATTENTION not in datasets(tmp_path)
    with pytest.raises(NoAttention, match=f"a: no attention of {ABMIL} is kept in .*run again with --keep-attention"):
        ap.results(tmp_path / "out").attention("a")
    run(recipe_with_abmil(tmp_path, keep_attention=True), scan)
    assert not np.allclose(datasets(tmp_path)[ATTENTION][0], former)
    assert np.array_equal(ap.results(tmp_path / "out").attention("a", ABMIL), datasets(tmp_path)[ATTENTION][0])


def test_what_is_stale_is_read_as_the_embedding_is(tmp_path, scan):
    run(recipe_with_abmil(tmp_path, keep_attention=True), scan)
    write_abmil(tmp_path / "abmil.pt", WIDTH, seed=9)
    read = ap.results(tmp_path / "out", recipe_with_abmil(tmp_path).project)
    with pytest.raises(NotFresh, match="is stale"):
        read.attention("a")
    assert np.array_equal(read.attention("a", include_stale=True), datasets(tmp_path)[ATTENTION][0])


def test_coords_that_are_laid_anew_as_they_were_lose_no_attention(tmp_path, scan):
    recipe = recipe_with_abmil(tmp_path, keep_attention=True)
    run(recipe, scan)
    kept = {ATTENTION: datasets(tmp_path)[ATTENTION]}
    first = [stage.step for stage in recipe.stages if stage.encoder is None]
    assert run(recipe, scan, steps=first, force=True)["patch_coords"].status is Status.COMPUTED
    assert_unchanged(kept, tmp_path)


def test_other_coords_leave_none_behind(tmp_path, scan):
    run(recipe_with_abmil(tmp_path, keep_attention=True), scan)
    recipe = recipe_with_abmil(tmp_path, step_size=64)
    run(recipe, scan, steps=[stage.step for stage in recipe.stages if stage.encoder is None])
    assert ATTENTION not in datasets(tmp_path)


def test_an_embedding_of_another_identity_and_the_same_numbers_keeps_its_attention(tmp_path, scan):
    run(recipe_with_abmil(tmp_path, keep_attention=True), scan)
    store = Store(tmp_path / "out")
    identity = store.stored_results("a")[EMBEDDING].identity
    assert identity
    stamp = IdentityUpdate(EMBEDDING, identity.fingerprint, replace(identity, version=identity.version + 1))
    store.restamp("a", "", [stamp])
    values, about = datasets(tmp_path)[ATTENTION]
    assert about["fingerprint"] == stamp.identity.fingerprint != identity.fingerprint
    assert np.array_equal(ap.results(tmp_path / "out").attention("a", include_stale=True), values)
    assert not problems(tmp_path / "out")


def problems(folder: Path) -> list[AuditFinding]:
    return [it for it in audit_folder(recognise_folder(folder)) if it.severity is AuditSeverity.PROBLEM]


def assert_checks_find_it(recipe: Recipe, scan: SlideSource) -> None:
    """Let the checks of the assets look at the slide: that of the embedding alone does not pass."""
    recorded = {step: of["a"] for step, of in stored_in_files(recipe).fingerprints.items() if "a" in of}
    inspected = inspect_slide(recipe, scan, "a", recorded)
    assert [one.step.kind for one in inspected if not one.sound] == ["slide_embedding"]


@pytest.mark.parametrize("keeps", [True, False])
def test_rot_in_it_is_found_marked_and_mended_by_the_next_run(tmp_path, scan, keeps):
    run(recipe_with_abmil(tmp_path, keep_attention=True), scan)
    whole = datasets(tmp_path)
    rot_values(tmp_path / "out" / "patches" / "a.h5", ATTENTION)
    with pytest.raises(DamagedOutput, match=rf"a: {ATTENTION} in .*has other values than were written"):
        ap.results(tmp_path / "out").attention("a")
    assert_checks_find_it(recipe_with_abmil(tmp_path), scan)
    [finding] = problems(tmp_path / "out")
    assert (finding.kind, finding.text.startswith(f"{ATTENTION} has other values")) == ("damaged", True)
    assert list(repair(recognise_folder(tmp_path / "out"), [finding], mark=True, add=False))
    hide_pixels(scan.path)
    outcomes = run(recipe_with_abmil(tmp_path, keep_attention=keeps), scan)
    assert {outcome.status for outcome in outcomes.values()} == {Status.REUSED}
    assert not problems(tmp_path / "out")
    assert np.array_equal(datasets(tmp_path)[ATTENTION][0], whole[ATTENTION][0])


def test_attention_that_no_network_gives_is_a_problem_of_the_audit(tmp_path, scan):
    run(recipe_with_abmil(tmp_path, keep_attention=True), scan)
    with rewriting(tmp_path / "out" / "patches" / "a.h5") as file:
        file[ATTENTION][1] = np.nan
    assert [(it.kind, it.text) for it in problems(tmp_path / "out")] == [
        ("not_finite", f"{ATTENTION}: 1 of {len(datasets(tmp_path)[ATTENTION][0])} rows are not finite")
    ]


def test_encoders_without_attention_have_none_kept(tmp_path, scan):
    recipe = recipe_with_abmil(tmp_path, keep_attention=True, slide_encoders=[f"mean-{PATCH_ENCODER}"])
    run(recipe, scan)
    assert not [name for name in datasets(tmp_path) if name.startswith("attention")]
