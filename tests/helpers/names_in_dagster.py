"""All names by which Dagster knows a project: of its definitions, its runs, its events and its partition sets."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_core.config.project import Project

OF_A_RUN = ("atlaspatch/progress", "atlaspatch/machine", ".dagster/grpc_info")
"""Tags that differ from run to run, or from machine to machine."""


def names_of_definitions(of: Project) -> dict[str, Any]:
    """Return assets with partition set, group and checks, jobs with ops, pools and tags, sensors, schedules."""
    repository = build_definitions(of).get_repository_def()
    graph = repository.asset_graph
    keys = sorted(graph.get_all_asset_keys())
    checks = {key: sorted(it.name for it in graph.asset_check_keys if it.asset_key == key) for key in keys}
    sets = {key: getattr(graph.get(key).partitions_def, "name", None) for key in keys}
    return {
        "assets": {key.to_user_string(): [sets[key], graph.get(key).group_name, *checks[key]] for key in keys},
        "jobs": {
            job.name: [{node.name: sorted(node.definition.pools) for node in job.graph.nodes}, dict(job.run_tags)]
            for job in repository.get_all_jobs()
        },
        "sensors": {it.name: sorted(target.job_name for target in it.targets) for it in repository.sensor_defs},
        "schedules": {it.name: it.job_name for it in repository.schedule_defs},
    }


def names_in_instance(instance: dg.DagsterInstance, home: Path) -> dict[str, Any]:
    """Return runs with their tags, latest events with those of theirs and their metadata, and partition sets."""
    runs = {run.job_name: {k: v for k, v in run.tags.items() if k not in OF_A_RUN} for run in instance.get_runs()}
    events = {}
    for key in instance.all_asset_keys():
        (record, *_) = instance.fetch_materializations(key, limit=1).records
        event = record.asset_materialization
        assert event is not None
        events[key.to_user_string()] = [event.partition, sorted(event.tags or ()), sorted(event.metadata)]
    return {"runs": runs, "events": events, "partition_sets": partition_sets(home)}


def names_of_requests(requests: list[dg.RunRequest]) -> list[Any]:
    """Return job, partition, configuration and tags of the runs that a sensor asks for."""
    return [[it.job_name, it.partition_key, it.run_config, it.tags] for it in requests]


def partition_sets(home: Path) -> dict[str, list[str]]:
    """Return partition set to its keys, of all that a storage in SQLite knows."""
    (path,) = home.rglob("index.db")
    with sqlite3.connect(path) as database:
        rows = database.execute("SELECT partitions_def_name, partition FROM dynamic_partitions ORDER BY id").fetchall()
    return {name: [key for of, key in rows if of == name] for name, _ in rows}


def names_of_a_day(
    of: Project, instance: dg.DagsterInstance, home: Path, materialize: Callable[[], object], label: str = ""
) -> dict[str, Any]:
    """Return all names of a project after its sensors looked and its slides and cases were made.

    ``label`` stands before the names of its sensors.
    """
    asked = [names_of_requests(tick(of, instance, f"{label}new_slides").run_requests)]
    materialize()
    asked += [names_of_requests(tick(of, instance, f"{label}new_cases").run_requests)]
    return names_of_definitions(of) | names_in_instance(instance, home) | {"requests": {"sensors": asked}}


def tick(of: Project, instance: dg.DagsterInstance, sensor: str, cursor: str | None = None) -> Any:
    """Evaluate a sensor once, and store what it asks to be stored, as Dagster's daemon does."""
    definitions = build_definitions(of)
    with dg.build_sensor_context(instance_ref=instance.get_ref(), definitions=definitions, cursor=cursor) as context:
        found = definitions.resolve_sensor_def(sensor).evaluate_tick(context)
    for event in found.asset_events:
        instance.report_runless_asset_event(event)
    for request in found.dynamic_partitions_requests or ():
        if isinstance(request, dg.AddDynamicPartitionsRequest):
            instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        else:
            for key in request.partition_keys:
                instance.delete_dynamic_partition(request.partitions_def_name, key)
    return found
