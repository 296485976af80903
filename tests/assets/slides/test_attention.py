"""Attention that is kept is told on the events and the pages of its embedding, whose version stays the same."""

import dagster as dg
import pytest
from known_attention import ABMIL, paint_scan, recipe_with_abmil
from small_projects import last, run, said

from atlaspatch_assets.lib.stages import asset_specs
from atlaspatch_core.config.project import Project
from atlaspatch_core.validity.recipe import make_recipe

EMBEDDING = f"slide_embedding/{ABMIL}"


def project_of(folder, **geometry) -> Project:
    project = recipe_with_abmil(folder, **geometry).project
    return project.model_copy(update={"slides": project.slides.model_copy(update={"folders": (folder / "slides",)})})


def test_attention_of_an_embedding_that_lies_there_is_told_and_its_version_stays(tmp_path):
    (tmp_path / "slides").mkdir()
    paint_scan(tmp_path / "slides", "a")
    versions, reasons = [], []
    with dg.DagsterInstance.ephemeral() as instance:
        for keeps in (False, True, True):
            assert run(project_of(tmp_path, keep_attention=keeps), instance, ["a"]).success
            versions.append(last(instance, EMBEDDING, "a").event_log_entry.tags["dagster/data_version"])
            told = said(instance, EMBEDDING, "a")
            assert told.get("attention_heads") == (1 if keeps else None)
            reasons.append(told["why"])
    assert len(set(versions)) == 1
    assert reasons[1] == "its attention was computed from stored features" != reasons[2]


@pytest.mark.parametrize("keeps", [False, True])
def test_the_page_of_an_embedding_says_where_its_attention_lies(tmp_path, keeps):
    specs = asset_specs(make_recipe(project_of(tmp_path, keep_attention=keeps)))
    [spec] = [spec for spec in specs if spec.key.to_user_string() == EMBEDDING]
    columns = {column.name: column.type for column in spec.metadata["dagster/column_schema"].columns}
    assert columns.get(f"attention/{ABMIL}") == ("float32 (patches,)" if keeps else None)
    assert (f"attention/{ABMIL}" in str(spec.description)) == keeps
