"""What the overview says of outputs is what a run does: fresh is reused, stale is computed for the reason told."""

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from painting import paint_slide, stain, white

from atlaspatch_core.config.project import Project, make_project
from atlaspatch_core.discovery.find import find_slides
from atlaspatch_core.operations.tracking.project_status import project_status
from atlaspatch_core.pipeline.processing import process
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity import recipe as recipes
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status
from atlaspatch_core.validity.recipe import TISSUE_MASK, make_recipe
from atlaspatch_core.validity.rules import is_of_upstream
from atlaspatch_core.validity.states import State, Validity

NETWORKS = ("timm-test_efficientnet", "timm-test_vit")
SQUARES = ((256, 256, 512), (128, 256, 640), (256, 128, 384))
"""x, y and side of tissue, and of outlines, level-0 px."""
BESIDE = (5000, 5000, 256)
"""Of outlines beside the slide."""
OPTIONS: dict[str, tuple[Any, ...]] = {
    "geometry.min_tissue": (0.1, 0.5),
    "geometry.step_size": (None, 128),
    "geometry.precision": ("float32", "bfloat16"),
    "geometry.target_mag": (20, 10, 40),
    "geometry.slide_encoders": ([f"mean-{NETWORKS[0]}"], [f"mean-{name}" for name in NETWORKS]),
    "tissue.closing_um": (16.0, 4.0),
    "tissue.simplify_um": (2.0, 4.0),
    "slides.full_hash": (False, True),
    "slides.reader": (None, "tiff", "openslide"),
    "slides.mpp_keys": ([], ["aperio.MPP"], ["no.such.key"]),
    "quality.block": ([], ["little_tissue"], ["many_fragments", "much_tissue"]),
    "quality.min_tissue_share": (0.001, 0.2),
    "quality.max_tissue_share": (0.95, 0.1),
}


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> dict[str, list[Path]]:
    folder = tmp_path_factory.mktemp("weights")
    return {name: [tiny(folder, name, seed) for seed in (0, 1)] for name in NETWORKS}


def tiny(folder: Path, name: str, seed: int) -> Path:
    import timm
    import torch

    torch.manual_seed(seed)
    path = folder / f"{name}_{seed}.pt"
    torch.save(timm.create_model(name.removeprefix("timm-"), num_classes=0).state_dict(), path)
    return path


def outlines(square: tuple[int, int, int]) -> str:
    x, y, side = square
    ring = [[x, y], [x + side, y], [x + side, y + side], [x, y + side], [x, y]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "properties": {"objectType": "annotation"}, "geometry": geometry}
    return json.dumps({"type": "FeatureCollection", "features": [feature]})


def touch(path: Path) -> None:
    stat = path.stat()
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns + 10**9))


class ChangingProject(RuleBasedStateMachine):
    """One slide whose project and files change between runs."""

    folder: Path
    networks: dict[str, list[Path]]

    @initialize()
    def paint(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "slides").mkdir(parents=True)
        self.options: dict[str, Any] = {name: values[0] for name, values in OPTIONS.items()}
        self.seed, self.versions = 0, dict(recipes.STEP_VERSIONS)
        self.repaint(SQUARES[0])

    @property
    def masks(self) -> Path:
        return self.folder / "masks"

    @property
    def table(self) -> Path:
        return self.folder / "mpp.csv"

    @property
    def store(self) -> Store:
        return Store(self.folder / "out")

    def project(self) -> Project:
        values: dict[str, Any] = {"geometry": {"patch_size": 256}, "tissue": {}, "slides": {}, "quality": {}}
        for name, value in self.options.items():
            section, _, field = name.partition(".")
            values[section] |= {} if value is None else {field: value}
        slides = {"folders": [self.folder / "slides"]} | values["slides"]
        slides |= {"masks": self.masks} if self.masks.is_dir() else {}
        slides |= {"mpp_csv": self.table} if self.table.is_file() else {}
        coords = {"coords": self.folder / "coords"} if (self.folder / "coords").is_dir() else {}
        files = {name: paths[self.seed] for name, paths in self.networks.items()}
        runtime = {"device": "cpu", "read_workers": 1, "threads": 1}
        whole = values | {"geometry": [values["geometry"] | coords], "slides": slides}
        return make_project(
            whole | {"output": self.folder / "out", "weights": files, "runtime": runtime}, origin="test"
        )

    @rule(change=st.sampled_from([(name, value) for name, values in OPTIONS.items() for value in values]))
    def set_option(self, change: tuple[str, Any]) -> None:
        self.options[change[0]] = change[1]

    @rule(seed=st.sampled_from([0, 1]))
    def take_weights(self, seed: int) -> None:
        self.seed = seed

    @rule(kind=st.sampled_from(sorted(recipes.STEP_VERSIONS)))
    def upgrade(self, kind: str) -> None:
        recipes.STEP_VERSIONS[kind] += 1  # type: ignore[index]

    @rule(mpp=st.sampled_from([None, 0.5, 0.25]))
    def state_mpp(self, mpp: float | None) -> None:
        self.table.unlink(missing_ok=True)
        if mpp:
            self.table.write_text(f"wsi,mpp\na.svs,{mpp}\n")

    @rule(square=st.sampled_from(SQUARES))
    def repaint(self, square: tuple[int, int, int]) -> None:
        x, y, side = square
        paint_slide(self.folder / "slides" / "a.svs", stain(white(1024, 1024), x, y, side, side))

    @rule(square=st.sampled_from((*SQUARES, BESIDE)), suffix=st.sampled_from([".geojson", ".png"]))
    def supply(self, square: tuple[int, int, int], suffix: str) -> None:
        self.withdraw()
        self.masks.mkdir()
        x, y, side = square
        if suffix == ".png":
            pixels = np.zeros((1024, 1024), np.uint8)
            pixels[y : y + side, x : x + side] = 255
            cv2.imwrite(str(self.masks / "a.png"), pixels)
        else:
            (self.masks / "a.geojson").write_text(outlines(square))

    @rule()
    def supply_nonsense(self) -> None:
        self.masks.mkdir(exist_ok=True)
        (self.masks / "a.geojson").write_text("{")

    @rule()
    def withdraw(self) -> None:
        shutil.rmtree(self.masks, ignore_errors=True)

    @rule(square=st.sampled_from((*SQUARES, BESIDE)))
    def edit(self, square: tuple[int, int, int]) -> None:
        self.store.geojson("a").write_text(outlines(square))

    @rule()
    def supply_coords(self) -> None:
        shutil.rmtree(self.folder / "coords", ignore_errors=True)
        if self.store.h5("a").is_file():
            (self.folder / "coords").mkdir()
            shutil.copy(self.store.h5("a"), self.folder / "coords" / "a.h5")

    @rule()
    def withdraw_coords(self) -> None:
        shutil.rmtree(self.folder / "coords", ignore_errors=True)

    @rule(data=st.data())
    def touch_file(self, data: st.DataObject) -> None:
        files = [*self.folder.glob("slides/*"), *self.folder.glob("masks/*"), self.store.geojson("a")]
        touch(data.draw(st.sampled_from([path for path in files if path.is_file()])))

    @rule(data=st.data(), damage=st.booleans())
    def lose_file(self, data: st.DataObject, damage: bool) -> None:
        files = [self.store.geojson("a"), self.store.h5("a"), self.store.record("a")]
        path = data.draw(st.sampled_from(files))
        if path.is_file():
            path.write_bytes(b"{") if damage else path.unlink()

    @rule(outcomes=st.integers(1, 5))
    def interrupt(self, outcomes: int) -> None:
        recipe = make_recipe(self.project())
        run = process(find_slides(recipe.project).sources, recipe)
        for _, _ in zip(range(outcomes), run, strict=False):
            pass
        run.close()

    @rule()
    def kill_between_record_and_mask(self) -> None:
        """Leave what a kill leaves after the record of another mask was written, and before the mask itself."""
        path = self.store.geojson("a")
        if not path.is_file():
            return
        before, stat = path.read_bytes(), path.stat()
        self.repaint(SQUARES[1])
        list(self.run())
        path.write_bytes(before)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    def run(self) -> Iterable[Outcome]:
        recipe = make_recipe(self.project())
        return process(find_slides(recipe.project).sources, recipe)

    def status(self) -> dict[OutputKey, Validity]:
        recipe = make_recipe(self.project())
        return {it.step: it for it in project_status(recipe, find_slides(recipe.project)).outputs}

    @invariant()
    def the_run_does_what_the_status_said(self) -> None:
        told = self.status()
        outcomes = {outcome.step: outcome for outcome in self.run()}
        assert told.keys() == outcomes.keys()
        for step, said in told.items():
            check(said, outcomes[step], outcomes)
        if all(outcome.status is not Status.FAILED for outcome in outcomes.values()):
            assert {(it.state, it.why) for it in self.status().values()} == {(State.FRESH, "")}
        self.mend()

    def mend(self) -> None:
        """Take away what no run replaces."""
        for path in (self.store.geojson("a"), self.store.h5("a"), self.store.record("a")):
            if path.is_file() and path.read_bytes() == b"{":
                path.unlink()

    def teardown(self) -> None:
        recipes.STEP_VERSIONS.update(getattr(self, "versions", {}))  # type: ignore[attr-defined]


def check(said: Validity, became: Outcome, outcomes: dict[OutputKey, Outcome]) -> None:
    """Hold what was said of one output against what became of it.

    What is made of tissue that a run finds anew is stale, and reused where that turns out to be what it was.
    """
    seen = (str(said.step), str(said.state), said.why, str(became.status), became.why)
    if became.status is Status.SKIPPED:
        return
    if became.status is Status.FAILED and "out of block" in became.why and said.state in (State.STALE, State.MISSING):
        assert became.step == TISSUE_MASK, seen  # what is made anew is judged when it is there
    elif became.status is Status.FAILED:
        assert (said.state, said.why) == (State.FAILED, became.why), seen
    elif said.state is State.STALE and is_of_upstream(said.why) and became.status is Status.REUSED:
        assert outcomes[TISSUE_MASK].status is Status.COMPUTED, seen
    else:
        expected = {State.FRESH: "", State.MISSING: "missing", State.STALE: said.why}[said.state]
        why = "" if became.why == "edited by a person" else became.why
        assert (became.status is Status.REUSED) == (said.state is State.FRESH), seen
        assert why == expected, seen


def test_what_is_fresh_is_reused_and_stale_for_the_reason_that_was_told(tmp_path, weights):
    machine = type("Machine", (ChangingProject,), {"folder": tmp_path / "project", "networks": weights})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=3,
            stateful_step_count=10,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )


def test_of_two_changes_upstream_both_name_the_first(tmp_path, weights):
    """The mask failed while the slide changed, and was made once its nonsense was taken away."""
    machine = type("Machine", (ChangingProject,), {"folder": tmp_path / "project", "networks": weights})()
    for step in (machine.paint, machine.supply_nonsense, lambda: machine.repaint((256, 128, 384)), machine.withdraw):
        step()
        machine.the_run_does_what_the_status_said()
    machine.teardown()


def test_a_scale_that_is_too_coarse_is_told_with_where_it_was_found(tmp_path, weights):
    machine = type("Machine", (ChangingProject,), {"folder": tmp_path / "project", "networks": weights})()
    for step in (machine.paint, lambda: machine.set_option(("geometry.target_mag", 40))):
        step()
        machine.the_run_does_what_the_status_said()
    machine.teardown()
