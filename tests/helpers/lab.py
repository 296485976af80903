"""A small lab: painted slides, a tiny encoder with weights of its own, a project file, and what Dagster says of it."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dagster as dg
from painting import paint_slide, stain, white
from postgres import put_in_place
from project_files import project_text
from server import DagsterDev
from waiting import until

ENCODER = "timm-test_vit"
FEATURES = f"patch_features/{ENCODER}"
EMBEDDING = f"slide_embedding/mean-{ENCODER}"
ASSETS = ("slide", "tissue_mask", "patch_coords", FEATURES, EMBEDDING)
REST = 30.0
"""Seconds for which a file must lie untouched before the sensor takes it."""
PIECE = 65_536

PROJECT = project_text(
    geometry='patch_encoders = ["{encoder}"]\nslide_encoders = ["mean-{encoder}"]\nprecision = "float32"',
    tables='[weights]\n"{encoder}" = "{weights}"\n[upgrades]\nautomatic = {automatic}',
    runtime="threads = 1\nread_workers = 1",
)


def make_weights(path: Path, seed: int, note: str = "") -> None:
    """Write random weights of the encoder; equal seeds give equal weights, and another note another file of them."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(seed)
    save_file(timm.create_model("test_vit", num_classes=0).state_dict(), path, {"note": note})


def make_dev(folder: Path, storage: Mapping[str, str]) -> DagsterDev:
    """Return the Dagster of a lab, not yet started; ``storage`` are the variables that lead to Postgres, if any."""
    if storage:
        put_in_place(folder / "home")
    return DagsterDev(folder / "home", folder / "atlaspatch.toml", variables=storage)


@dataclass(slots=True)
class SlowCopy:
    """A slide that is copied into the watched folder piece by piece, until it is told to end."""

    target: Path
    content: bytes
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to copy."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def finish(self) -> float:
        """Write the rest at once, and return when the file last changed, seconds since 1970."""
        self._end.set()
        assert self._thread is not None
        self._thread.join()
        return self.target.stat().st_mtime

    def _run(self) -> None:
        pieces = [self.content[start : start + PIECE] for start in range(0, len(self.content), PIECE)]
        with self.target.open("wb") as file:
            for index, piece in enumerate(pieces):
                last = index >= len(pieces) - 2
                while last and not self._end.is_set():
                    self._end.wait(1.0)
                    self.target.touch()  # a network share that stalls: time goes on, bytes do not
                file.write(piece)
                file.flush()
                self._end.wait(0.5)


@dataclass(frozen=True, slots=True)
class Lab:
    """A project in a folder, its Dagster, and a browser page."""

    folder: Path
    dev: DagsterDev
    instance: dg.DagsterInstance
    third: SlowCopy

    @property
    def partitions(self) -> set[str]:
        """Slides that Dagster knows."""
        return set(self.instance.get_dynamic_partitions("slides"))

    def records(self, asset: str, stem: str) -> list[dg.EventLogRecord]:
        """Return the materialisations of a slide's asset, latest first."""
        asked = dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset.split("/")), asset_partitions=[stem])
        return list(self.instance.fetch_materializations(asked, limit=100).records)

    def counts(self, stem: str) -> list[int]:
        """Return how often each asset of a slide was materialised, upstream first."""
        return [len(self.records(asset, stem)) for asset in ASSETS]

    def said(self, asset: str, stem: str) -> dict[str, Any]:
        """Return the metadata of the latest materialisation as plain values; empty without one."""
        records = self.records(asset, stem)
        event = records[0].asset_materialization if records else None
        return {name: entry.value for name, entry in event.metadata.items()} if event else {}

    def ticks(self, sensor: str) -> list[dict[str, Any]]:
        """Return the ticks of a sensor that ended, latest first."""
        query = """query ($it: SensorSelector!) { sensorOrError(sensorSelector: $it) {
            ... on Sensor { sensorState { ticks(limit: 20) { status timestamp error { message } } } } } }"""
        selector = {
            "sensorName": sensor,
            "repositoryName": "__repository__",
            "repositoryLocationName": "atlaspatch",
        }
        found = self.dev.ask(query, it=selector)["sensorOrError"]["sensorState"]["ticks"]
        assert not any(tick["error"] for tick in found), found
        return [tick for tick in found if tick["status"] != "STARTED"]

    def staleness(self, asset: str, stem: str) -> tuple[str, list[str]]:
        """Return what Dagster shows of a slide: FRESH, STALE or MISSING, and the causes."""
        query = """query ($key: AssetKeyInput!, $slide: String!) { assetNodeOrError(assetKey: $key) {
            ... on AssetNode { staleStatus(partition: $slide) staleCauses(partition: $slide) { reason } } } }"""
        found = self.dev.ask(query, key={"path": asset.split("/")}, slide=stem)["assetNodeOrError"]
        return found["staleStatus"], [cause["reason"] for cause in found["staleCauses"]]

    def launch(self, job: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
        """Launch a job as its launchpad does, wait for its end, and return status and the messages of its log."""
        query = """mutation ($it: ExecutionParams!) { launchRun(executionParams: $it) {
            __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
            ... on RunConfigValidationInvalid { errors { message } } } }"""
        selector = {
            "jobName": job,
            "repositoryName": "__repository__",
            "repositoryLocationName": "atlaspatch",
        }
        started = self.dev.ask(query, it={"selector": selector, "runConfigData": config or {}})["launchRun"]
        assert started["__typename"] == "LaunchRunSuccess", started
        return self.ended(started["run"]["runId"])

    def ended(self, run_id: str) -> dict[str, Any]:
        """Wait for the end of a run, and return its status and log."""

        def look() -> dg.DagsterRun | None:
            run = self.instance.get_run_by_id(run_id)
            return run if run and run.is_finished else None

        run = until(f"run {run_id} ends", look, pause=0.5)
        log = [entry.user_message for entry in self.instance.all_logs(run_id)]
        return {"status": run.status, "log": "\n".join(log)}

    def write_project(self, weights: str, *, automatic: bool = False) -> None:
        """Write the project file with these weights of the encoder."""
        text = PROJECT.format(encoder=ENCODER, weights=weights, automatic=str(automatic).lower())
        (self.folder / "atlaspatch.toml").write_text(text)

    def reload(self) -> None:
        """Have Dagster read the project file again."""
        query = "mutation ($it: String!) { reloadRepositoryLocation(repositoryLocationName: $it) { __typename } }"
        assert (
            self.dev.ask(query, it="atlaspatch")["reloadRepositoryLocation"]["__typename"] == "WorkspaceLocationEntry"
        )

    def runs(self, job: str) -> list[dg.DagsterRun]:
        """Return the runs of a job, latest first."""
        return list(self.instance.get_runs(filters=dg.RunsFilter(job_name=job)))


def paint(path: Path, width: int) -> None:
    """Paint a slide of 1024 px with a rectangle of tissue of this width."""
    paint_slide(path, stain(white(1024, 1024), 256, 256, width, 512))
