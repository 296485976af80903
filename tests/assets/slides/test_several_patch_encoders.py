"""A slide encoder of two patch encoders as an asset: both are upstream of it, and each makes it stale."""

from pathlib import Path

import dagster as dg
import h5py
import numpy as np
import pytest
import torch
from eagle_files import SMALL, chief_checkpoint, eagle_by_hand, paint_gradient
from network_files import network_weights
from small_projects import last, project, run, said
from two_upstream import EMBEDDING, NETWORK, paint_noise, project_of_two
from upgrading import states

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.lib.stages import asset_specs
from atlaspatch_core.encoders.patch import PATCH_ENCODERS
from atlaspatch_core.validity.recipe import make_recipe

UPSTREAM = {"patch_coords", "patch_features/tiny", f"patch_features/{NETWORK}"}


@pytest.mark.e2e
def test_the_asset_depends_on_the_features_of_both_and_follows_each(tmp_path: Path):
    weights, instance = network_weights(tmp_path), dg.DagsterInstance.ephemeral()
    (tmp_path / "slides").mkdir()
    paint_noise(tmp_path / "slides" / "a.svs")
    before, after = (project_of_two(tmp_path, weights[name]) for name in ("old.pt", "other.pt"))
    (spec,) = [spec for spec in asset_specs(make_recipe(before)) if spec.key.to_user_string() == EMBEDDING]
    assert {dep.asset_key.to_user_string() for dep in spec.deps} == UPSTREAM
    assert f"computed from the tiny and {NETWORK} features" in str(spec.description)

    assert run(before, instance, ["a"]).success
    first = last(instance, EMBEDDING, "a")
    assert said(instance, EMBEDDING, "a")["patches"] == 4
    assert states(before, instance) == {}
    assert states(after, instance)[EMBEDDING] == {"a stale"}
    assert run(after, instance, ["a"]).success
    assert last(instance, EMBEDDING, "a").run_id != first.run_id
    assert states(after, instance) == {}


@pytest.mark.e2e
def test_eagle_materializes_from_checkpoints_of_ctranspath_and_chief(tmp_path: Path):
    """The class tokens of Virchow2 stand aside for a smaller network; all else is EAGLE's own."""
    architecture, instance = PATCH_ENCODERS["ctranspath-original"].architecture, dg.DagsterInstance.ephemeral()
    torch.manual_seed(0)
    torch.save({"model": architecture.build(None).state_dict()}, tmp_path / "ctranspath.pth")
    state = chief_checkpoint(tmp_path / "CHIEF_pretraining.pth", seed=1)
    (tmp_path / "slides").mkdir()
    paint_gradient(tmp_path / "slides" / "a.svs")
    (tmp_path / "small.py").write_text(SMALL)
    geometry = {"patch_size": 112, "target_mpp": 2, "precision": "float32", "slide_encoders": ["half-eagle"]}
    weights = {"ctranspath-original": tmp_path / "ctranspath.pth", "half-eagle": tmp_path / "CHIEF_pretraining.pth"}
    of = project(tmp_path, geometry=[geometry], plugins=[tmp_path / "small.py"], weights=weights)
    slides = ProjectNames.of(of).slides
    slides.register(instance, ["a"])
    (assets,) = [asset for asset in build_definitions(of).assets or () if slides.op_name in asset.node_def.name]
    result = dg.materialize([assets], instance=instance, partition_key="a", run_config=slides.config(["a"]))
    assert result.success
    with h5py.File(tmp_path / "output" / "patches" / "a.h5") as file:
        names = ("features/ctranspath-original", "features/averaged", "slide_features/half-eagle")
        by_attention, averaged, embedding = (file[name][()] for name in names)  # pyright: ignore
    assert len(averaged) >= 36
    np.testing.assert_allclose(embedding, eagle_by_hand(state, by_attention, averaged), atol=1e-5)
    assert not np.allclose(embedding, averaged.mean(axis=0), atol=1e-3)
