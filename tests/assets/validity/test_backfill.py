"""``atlaspatch backfill``: says what it takes, keeps what is the same, computes the rest, and Dagster records it."""

from pathlib import Path

import dagster as dg
import pytest
from click.testing import CliRunner, Result
from prepared import PreparedFolder
from project_files import project_text
from upgrading import EMBEDDING, FEATURES, NETWORK, paint_noise

from atlaspatch_assets.cli.main import cli
from atlaspatch_assets.defs.validity.backfill import Order, build_requests, choose_steps, plan_backfill
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_core.config.project import make_project
from atlaspatch_core.errors import UnknownName
from atlaspatch_core.validity.outcome import OutputKey
from atlaspatch_core.validity.recipe import make_recipe
from atlaspatch_core.validity.states import State, Validity

PROJECT = project_text(
    geometry='precision = "float32"\nslide_encoders = ["mean-{network}"]',
    tables='[weights]\n"{network}" = "{weights}"\n[upgrades]\ncanary_slides = 2\ncanary_patches = 2',
    runtime="threads = 1\nread_workers = 1\nslides_per_run = 2",
)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, weights) -> PreparedFolder:
    """Three slides, taken to their embeddings."""

    def prepare(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            enter(folder, patch)
            write(weights["old.pt"])
            paint_noise(folder / "slides", "a", "b", "c")
            assert invoke("materialize").exit_code == 0

    return PreparedFolder(tmp_path_factory.mktemp("finished"), prepare)


@pytest.fixture
def folder(finished, monkeypatch) -> Path:
    """The finished project, which is the current folder."""
    enter(finished.put_back(), monkeypatch)
    return finished.path


@pytest.fixture
def home(folder) -> Path:
    return folder / "dagster"


def enter(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(folder / "dagster"))
    monkeypatch.chdir(folder)


def write(weights: Path) -> None:
    Path("atlaspatch.toml").write_text(PROJECT.format(network=NETWORK, weights=weights))


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def statuses(home: Path, asset: str) -> dict[str, str]:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        records = instance.fetch_materializations(dg.AssetKey(asset.split("/")), limit=100).records
        events = [record.asset_materialization for record in reversed(records)]
        return {str(it.partition): str(it.metadata["status"].value) for it in events if it}


def test_nothing_is_stale_after_a_run(home):
    result = invoke("backfill", "--stale")

    assert (result.exit_code, result.output) == (0, "To compute: nothing to do\n")


def test_a_dry_run_tells_and_does_nothing(home, weights):
    write(weights["other.pt"])

    result = invoke("backfill", "--stale", "--dry-run")

    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0].startswith(f"{FEATURES}: 3 slides: weights.sha256 ")
    assert lines[2].startswith(f"To compute: 3 slides (3 × {FEATURES}, 3 × {EMBEDDING}): 12 patches, about ")
    assert set(statuses(home, FEATURES).values()) == {"computed"}


def test_the_same_numbers_are_kept_and_nothing_is_computed(home, weights):
    write(weights["same.safetensors"])

    result = invoke("backfill", "--stale")

    assert result.exit_code == 0, result.output
    assert "numerically the same" in result.output
    assert statuses(home, FEATURES) == statuses(home, EMBEDDING) == dict.fromkeys("abc", "restamped")
    assert "3 slides, all fresh" in invoke("status").output
    assert "nothing to do" in invoke("backfill", "--stale").output


def test_other_numbers_are_computed_and_recorded(home, weights):
    write(weights["other.pt"])

    result = invoke("backfill", "--stale")

    assert result.exit_code == 0, result.output
    assert "different: 4 patches of 2 slides" in result.output
    assert "3 slides: 6 results computed, 0 reused, 0 failed." in result.output
    assert statuses(home, EMBEDDING) == dict.fromkeys("abc", "computed")
    assert "3 slides, all fresh" in invoke("status").output


def test_missing_slides_are_made_and_failed_ones_are_not_tried_again(home, folder):
    paint_noise(folder / "slides", "d")
    (folder / "slides" / "broken.svs").write_bytes(b"no slide")

    first, second = invoke("backfill", "--missing"), invoke("backfill", "--missing")

    assert first.exit_code == 1
    assert statuses(home, EMBEDDING).keys() == {"a", "b", "c", "d"}
    assert "FAILED broken" in first.output
    assert second.exit_code == 0
    assert "FAILED" not in second.output


def test_failed_slides_are_counted_tried_again_and_their_outputs_and_cases_follow(home, folder):
    for stem in ("mended", "broken", "gone"):
        (folder / "slides" / f"{stem}.svs").write_bytes(b"no slide")
    Path("cases.csv").write_text("case_id,slide_path\nP1,slides/mended.svs\nP2,slides/broken.svs\n")
    with Path("atlaspatch.toml").open("a") as file:
        file.write(f'[patients]\nmanifest = "cases.csv"\nencoders = ["mean-{NETWORK}"]\n')
    first = invoke("backfill", "--missing")
    paint_noise(folder / "slides", "mended")
    (folder / "slides" / "gone.svs").unlink()

    dry = invoke("backfill", "--failed", "--dry-run")
    assert "mended" not in statuses(home, EMBEDDING)
    done = invoke("backfill", "--failed")

    assert [it.exit_code for it in (first, dry, done)] == [1, 0, 1]
    assert "2 slides failed and will be tried again, with all that depends on it\n" in dry.output
    assert "1 slide of these will fail again, unless what reads them changed" in dry.output
    assert "1 slide left out, because the file is gone" in dry.output
    assert f"2 × slide, 2 × tissue_mask, 2 × patch_coords, 2 × {FEATURES}, 2 × {EMBEDDING}" in dry.output
    assert statuses(home, EMBEDDING)["mended"] == "computed"
    assert statuses(home, f"patient_embedding/mean-{NETWORK}") == {"P1": "computed"}
    assert ["FAILED broken" in done.output, "FAILED gone" in done.output] == [True, False]
    missing = invoke("backfill", "--missing")
    assert "1 slide left out, because what comes before failed" in missing.output
    assert "To compute: nothing to do" in missing.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--stale, --missing, --failed, or several"),
        (["--stale", "--asset", "uni_v9"], "there is no asset uni_v9; choose among slide"),
        (["--stale", "--project", "none.toml"], "atlaspatch init"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_sentence(home, arguments, told):
    result = invoke("backfill", *arguments)

    assert result.exit_code == 2
    assert told in result.output


SLIDE, MASK, COORDS = OutputKey("slide"), OutputKey("tissue_mask"), OutputKey("patch_coords")
STEPS = {SLIDE, MASK, COORDS}


def recipe():
    return make_recipe(make_project({"geometry": [{"patch_size": 256, "target_mag": 20}]}, origin="test"))


def states(stem: str, *found: State) -> list[Validity]:
    return [Validity(stem, step, state) for step, state in zip((SLIDE, MASK, COORDS), found, strict=True)]


def test_slides_with_the_same_steps_share_an_order_and_failures_hold_up_the_rest():
    """Slides that need the same steps share an order and what comes after a failure is held up."""
    fresh, stale, missing, failed = State.FRESH, State.STALE, State.MISSING, State.FAILED
    found = [
        *states("a", fresh, fresh, stale),
        *states("b", fresh, stale, stale),
        *states("c", fresh, fresh, stale),
        *states("d", fresh, missing, stale),
        *states("e", failed, stale, stale),
    ]

    made = plan_backfill(recipe(), found, [stale], STEPS)

    assert made.orders == (Order(("a", "c"), (COORDS,)), Order(("b", "d"), (MASK, COORDS)))
    assert {it.stem for it in made.outputs} == {"a", "b", "c", "d"}
    assert [(it.stem, it.step) for it in made.held_up] == [("e", MASK), ("e", COORDS)]


def test_what_depends_on_a_failed_output_follows_it_when_it_is_tried_again():
    fresh, stale, missing, failed = State.FRESH, State.STALE, State.MISSING, State.FAILED
    found = [
        *states("a", fresh, failed, missing),
        *states("b", fresh, failed, fresh),
        *states("c", fresh, stale, missing),
        *states("d", failed, missing, missing),
    ]

    made = plan_backfill(recipe(), found, [failed], STEPS)

    assert made.orders == (Order(("a", "b"), (MASK, COORDS)), Order(("d",), (SLIDE, MASK, COORDS)))
    assert [(it.stem, it.step) for it in made.outputs if it.stem != "d"] == [("a", MASK), ("a", COORDS), ("b", MASK)]
    assert made.held_up == ()
    assert plan_backfill(recipe(), found, [failed], {MASK}).orders == (Order(("a", "b"), (MASK,)),)
    assert plan_backfill(recipe(), found, [failed, missing], {COORDS}).orders == (
        Order(("a", "c"), (MASK, COORDS)),
        Order(("d",), (SLIDE, MASK, COORDS)),
    )


def test_a_request_is_granted_once_an_occasion():
    order = Order(("a", "b", "c"), (MASK, COORDS))

    first, again, later = (
        [it.run_key for it in build_requests(ProjectNames(), [order], 2, occasion, {})]
        for occasion in ("one", "one", "two")
    )

    assert len(first) == 2
    assert first == again
    assert not {*first} & {*later}


def test_an_asset_is_known_by_its_key_or_the_last_part_of_it():
    geometry = {"patch_size": 256, "target_mag": 20, "patch_encoders": ["efficientnet_lite0"]}
    made = make_recipe(make_project({"geometry": [geometry]}, origin="test"))

    assert choose_steps(made, ["efficientnet_lite0", "slide"]) == {
        SLIDE,
        OutputKey("patch_features", "efficientnet_lite0"),
    }
    assert choose_steps(made, []) == {stage.step for stage in made.stages}
    with pytest.raises(UnknownName):
        choose_steps(made, ["features"])
