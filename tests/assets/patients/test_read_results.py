"""What ``ap.results`` reads of a folder that Dagster's assets made: slides, cases, and embeddings of both."""

from pathlib import Path

import dagster as dg
import h5py
import numpy as np
import pandas as pd
import pytest
from plugins import TINY_ENCODER, plugin_file
from small_projects import GEOMETRY, paint, project

import atlaspatch_core as ap
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.names import PartitionKind, ProjectNames
from atlaspatch_core.config.project import Project
from atlaspatch_core.errors import InvalidLabels, NotFresh

pytestmark = pytest.mark.e2e

CASES = {"p1": ("a",), "p2": ("a", "b")}
LABELS = pd.DataFrame({"patient": ["p2", "p1", "p9"], "outcome": ["dead", "alive", "alive"]})


def lab(folder: Path, cases: dict[str, tuple[str, ...]]) -> Project:
    """Return a project with an embedding of slides and of cases, and its table of cases written."""
    rows = [f"{case},slides/{stem}.svs" for case, stems in cases.items() for stem in stems]
    (folder / "cases.csv").write_text("\n".join(["case_id,slide_path", *rows]) + "\n")
    encoders = {"patch_encoders": ["tiny"], "slide_encoders": ["mean-tiny"]}
    return project(
        folder,
        plugins=[plugin_file(TINY_ENCODER)],
        geometry=[GEOMETRY | encoders],
        patients={"manifest": folder / "cases.csv", "encoders": ["mean-tiny"]},
    )


def materialize(of: Project, names: PartitionKind, keys: tuple[str, ...], instance: dg.DagsterInstance) -> None:
    """Materialise the assets of these slides, or cases, as a run of the job does."""
    names.register(instance, keys)
    definitions = build_definitions(of)
    assets = [each for each in definitions.assets or () if isinstance(each, dg.AssetsDefinition)]
    result = dg.materialize(
        assets,
        selection=list(definitions.resolve_job_def(names.job_name).asset_layer.selected_asset_keys),
        partition_key=keys[0],
        run_config=names.config(keys),
        instance=instance,
        resources=definitions.resources,
    )
    assert result.success


@pytest.fixture(scope="module")
def made(tmp_path_factory, open_instance) -> Project:
    """A project with two slides and two cases that were made."""
    folder = tmp_path_factory.mktemp("lab")
    paint(folder / "slides", "a", "b")
    of = lab(folder, CASES)
    with open_instance(folder / "dagster") as instance:
        materialize(of, ProjectNames.of(of).slides, ("a", "b"), instance)
        materialize(of, ProjectNames.of(of).cases, ("p1", "p2"), instance)
    return of


def features_of(of: Project, stem: str) -> np.ndarray:
    with h5py.File(of.output / "patches" / f"{stem}.h5") as file:
        return file["features/tiny"][:]


def test_slides_that_dagster_made_are_read_as_fresh(made):
    cohort = ap.results(made.output, made)

    assert cohort.stems == ("a", "b")
    assert cohort.encoders == (("tiny",), ("mean-tiny",), ("mean-tiny",))
    assert set(cohort.states().state) == {"fresh"}
    assert cohort.slides().mpp.to_dict() == {"a": 0.5, "b": 0.5}
    for stem in cohort.stems:
        assert np.array_equal(cohort.features(stem), features_of(made, stem))
        assert np.allclose(cohort.embedding(stem), features_of(made, stem).mean(axis=0))


def test_the_embedding_of_a_case_is_that_of_its_slides(made):
    cohort = ap.results(made.output, made)

    for case, stems in CASES.items():
        patches = np.concatenate([features_of(made, stem) for stem in stems])
        assert np.allclose(cohort.patient_embedding(case), patches.mean(axis=0))
    with pytest.raises(NotFresh, match="p9: patient_embedding/mean-tiny is missing"):
        cohort.patient_embedding("p9")


def test_embeddings_of_cases_stand_beside_the_labels_of_their_rows(made):
    cohort = ap.results(made.output, made)

    with pytest.warns(ap.ResultsWarning, match=r"1 in the table of labels alone \(p9\)"):
        table = cohort.embeddings(patients=True, labels=LABELS)

    assert (table.index.name, list(table.index)) == ("case_id", ["p1", "p2"])
    assert table.outcome.tolist() == ["alive", "dead"]
    numbers = table[[f"mean-tiny_{place}" for place in range(3)]].to_numpy()
    assert np.array_equal(numbers, [cohort.patient_embedding(case) for case in ("p1", "p2")])


def test_a_row_of_slides_is_none_of_a_case(made):
    with pytest.raises(InvalidLabels, match="no column is called stem, slide_id or case_id"):
        ap.results(made.output, made).embeddings(patients=True, labels=LABELS.rename(columns={"patient": "who"}))


def test_a_case_with_another_slide_is_stale(made):
    changed = lab(made.output.parent, CASES | {"p1": ("b",)})
    try:
        cohort = ap.results(made.output, changed)
    finally:
        lab(made.output.parent, CASES)

    with pytest.raises(NotFresh, match="p1: patient_embedding/mean-tiny is stale"):
        cohort.patient_embedding("p1")
    assert cohort.patient_embedding("p1", include_stale=True).shape == (3,)
    with pytest.warns(ap.ResultsWarning, match=r"1 not usable \(p1: patient_embedding/mean-tiny is stale"):
        table = cohort.embeddings(patients=True)
    assert list(table.index) == ["p2"]
