"""A slide encoder of two patch encoders as an asset: both are upstream of it, and each makes it stale."""

from pathlib import Path

import dagster as dg
import pytest
from small_projects import last, run, said
from two_upstream import EMBEDDING, NETWORK, network_weights, paint_noise, project_of_two
from upgrading import states

from atlaspatch_assets.lib.stages import asset_specs
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
