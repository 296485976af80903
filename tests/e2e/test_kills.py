"""Everything is killed at moments of chance, and started again by the same command: all slides land, with no hand."""

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import dagster as dg
import pytest
from lab import ASSETS, ENCODER, PROJECT, make_dev, make_weights, paint
from postgres import STORAGES, storage_of
from rounds import Chance, soak
from server import DagsterDev
from waiting import until

from atlaspatch_assets.lib.project_runs import UNFINISHED

pytestmark = [pytest.mark.e2e, pytest.mark.soak]

STEMS = [f"slide_{number}" for number in range(5)]
KILLS = 3


def ready_lab(folder: Path, storage: Mapping[str, str]) -> DagsterDev:
    (folder / "slides").mkdir()
    make_weights(folder / "weights.safetensors", 0)
    for number, stem in enumerate(STEMS):
        paint(folder / "slides" / f"{stem}.svs", 300 + 16 * number)
    text = PROJECT.format(encoder=ENCODER, weights="weights.safetensors", automatic="false")
    (folder / "atlaspatch.toml").write_text(text + "slides_per_run = 2\n")
    return make_dev(folder, storage)


def landed(instance: dg.DagsterInstance) -> int:
    """Return how many results are recorded."""
    keys = [dg.AssetKey(asset.split("/")) for asset in ASSETS]
    return sum(len(instance.get_materialized_partitions(key)) for key in keys)


def open_runs(instance: dg.DagsterInstance, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
    return list(instance.get_runs(filters=dg.RunsFilter(statuses=list(statuses or UNFINISHED))))


def moments(instance: dg.DagsterInstance, chance: random.Random) -> list[Callable[[], bool]]:
    """Return what is waited for before each kill, in an order of chance."""
    before, all_of_them, status = landed(instance), len(STEMS) * len(ASSETS), dg.DagsterRunStatus
    some = [
        lambda: bool(open_runs(instance, status.STARTING, status.STARTED)),
        lambda: bool(open_runs(instance, status.STARTED)),
        lambda: landed(instance) > before,
        lambda: True,
    ]
    done = [lambda ask=ask: ask() or landed(instance) == all_of_them for ask in some]
    chance.shuffle(done)
    return done


@pytest.mark.parametrize("storage", STORAGES)
def test_all_slides_land_whatever_is_killed_at_whatever_moment(tmp_path, storage):
    def check(chance: Chance) -> None:
        (folder := tmp_path / str(chance.number)).mkdir()
        check_that_all_land(folder, storage, chance)

    soak(1, check)


def check_that_all_land(folder: Path, storage: str, chance: random.Random) -> None:
    with (
        storage_of(storage) as variables,
        ready_lab(folder, variables) as dev,
        dg.DagsterInstance.from_config(str(dev.home)) as instance,
    ):
        for happened in moments(instance, chance)[:KILLS]:
            until("the moment comes", happened, pause=0.2)
            time.sleep(chance.uniform(0, 3))
            dev.kill()
            cut_off = open_runs(instance, dg.DagsterRunStatus.STARTED)
            dev.start()
            dev.wait_until_ready()
            until("runs that were cut off have ended", lambda runs=cut_off: all(_ended(instance, run) for run in runs))
        until("all slides land", lambda: landed(instance) == len(STEMS) * len(ASSETS), pause=0.5)
        until("nothing waits", lambda: not open_runs(instance), pause=0.5)


def _ended(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    latest = instance.get_run_by_id(run.run_id)
    return latest is not None and latest.is_finished
