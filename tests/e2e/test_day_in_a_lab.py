"""A day in a lab, on a real ``atlaspatch up``: slides arrive, a mask is edited, an encoder is upgraded, pages are read.

The tests are one story and run in this order. ``make e2e`` runs them; screenshots go to ``E2E_OUTPUT``.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from lab import ASSETS, EMBEDDING, ENCODER, FEATURES, REST, Lab, SlowCopy, make_dev, make_weights, paint
from waiting import until

pytestmark = pytest.mark.e2e

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
OUTPUT = Path(os.environ.get("E2E_OUTPUT", "build/e2e"))
MOST_MS = 300_000
"""How long a page may take for anything: the machine may be slow."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory, storage) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    (folder / "slides").mkdir()
    for seed in (0, 1):
        make_weights(folder / f"weights_{seed}.safetensors", seed)
    make_weights(folder / "weights_1_again.safetensors", 1, "the same tensors in other bytes")
    for stem, width in (("first", 512), ("second", 400)):
        paint(folder / "slides" / f"{stem}.svs", width)
    (folder / "slides" / "broken.svs").write_bytes(b"no slide")
    paint(folder / "third.svs", 300)
    third = SlowCopy(folder / "slides" / "third.svs", (folder / "third.svs").read_bytes())
    dev = make_dev(folder, storage)
    Lab(folder, dev, None, third).write_project("weights_0.safetensors")  # type: ignore[arg-type]
    third.start()
    with dev, dg.DagsterInstance.from_config(str(dev.home)) as instance:
        yield Lab(folder, dev, instance, third)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    shutil.copy(dev.log, OUTPUT / "atlaspatch-up.log")


@pytest.fixture(scope="module")
def page(lab):
    """A browser page of the web UI."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed (Debian: apt-get install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (pip install '.[dev]')")
    OUTPUT.mkdir(parents=True, exist_ok=True)
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=MOST_MS)
        page = browser.new_page(viewport={"width": 1500, "height": 1100})
        page.set_default_timeout(MOST_MS)
        yield page
        browser.close()


def show(lab: Lab, page, path: str, name: str, *texts: str) -> None:
    """Open a page of the UI, wait for these texts, and keep a picture of it."""
    page.goto(f"{lab.dev.url}{path}")
    try:
        for text in texts:
            page.get_by_text(text).first.wait_for()
    finally:
        page.screenshot(path=OUTPUT / f"{name}.png")


def materialised(lab: Lab, *stems: str) -> bool:
    return all(0 not in lab.counts(stem) for stem in stems)


def test_slides_that_lie_still_are_processed_and_one_that_is_being_copied_is_not(lab):
    until("the slides are embedded", lambda: materialised(lab, "first", "second"), pause=0.5)
    until("the sensor looked twice", lambda: len(lab.ticks("new_slides")) >= 2, pause=0.5)

    assert "third" not in lab.partitions
    assert not lab.records("slide", "third")
    assert lab.third.target.stat().st_size < len(lab.third.content)
    assert [lab.said(FEATURES, stem)["patches"] for stem in ("first", "second")] == [4, 4]


def test_an_edited_mask_takes_its_slide_along_and_no_other(lab):
    whole_at = lab.third.finish()
    before, others = lab.counts("first"), lab.counts("second")
    path = lab.folder / "output" / "contours_geojson" / "first.geojson"
    corners = [[256, 256], [512, 256], [512, 768], [256, 768], [256, 256]]
    path.write_text(json.dumps({"type": "Polygon", "coordinates": [corners]}))

    until("the embedding follows the mask", lambda: lab.counts("first")[-1] > before[-1], pause=0.5)

    assert lab.said("tissue_mask", "first")["edited"] == "true"
    assert [lab.said(asset, "first")["patches"] for asset in ("patch_coords", FEATURES)] == [2, 2]
    assert lab.counts("first") == [before[0], *(count + 1 for count in before[1:])]
    assert lab.counts("second") == others
    assert whole_at == lab.third.target.stat().st_mtime


def test_the_copied_slide_comes_once_it_is_whole_and_lay_still(lab):
    until("the copied slide is embedded", lambda: materialised(lab, "third"), pause=0.5)

    whole_at = lab.third.target.stat().st_mtime
    assert lab.records("slide", "third")[0].timestamp - whole_at >= REST
    assert lab.counts("third") == [1] * 5
    assert lab.counts("second") == [1] * 5
    check = dg.AssetCheckKey(dg.AssetKey("slide"), "processed")
    verdicts = lab.instance.event_log_storage.get_asset_check_partition_info([check])
    failed = {it.partition_key for it in verdicts if it.latest_execution_status.value == "FAILED"}
    assert failed == {"broken"}


def test_the_pages_of_the_assets_answer(lab, page):
    show(lab, page, "/asset-groups", "lineage", "patches_256px_20x", "tissue", "slides")
    show(lab, page, "/assets/patch_coords?view=overview", "asset_page", "Columns", "coords[:, 0]", "hdf5", "Row by row")
    show(
        lab, page, f"/assets/{EMBEDDING}?view=partitions&partition=second", "slide_of_embedding", "norm", "fingerprint"
    )
    show(lab, page, f"/assets/{FEATURES}?view=partitions&partition=second", "features", "patches_per_second")
    show(lab, page, "/assets/slide?view=partitions&partition=second", "slide", "mpp_source", "openslide.mpp-x")
    show(lab, page, "/assets/slide?view=checks", "checks", "processed", "Whether the output of the slide")
    show(lab, page, "/automation", "automation", "new_slides", "edited_masks")


def test_the_page_of_a_slide_that_cannot_be_used_says_why(lab, page):
    show(lab, page, "/assets/slide?view=partitions&partition=broken", "failed_slide", "Failed (1)")
    page.get_by_text("View all historical events").click()
    page.get_by_role("cell", name="broken").first.click()
    page.get_by_text("begins as no slide does").first.wait_for()
    page.screenshot(path=OUTPUT / "failed_slide_why.png")


def test_a_picture_is_one_click_away(lab, page):
    show(lab, page, "/assets/tissue_mask?view=partitions&partition=first", "mask", "edited by a person", "tissue_share")

    page.get_by_text("[Show Markdown]").first.click()
    picture = page.locator("img[src^='data:image/jpeg']").first
    picture.wait_for()
    assert picture.evaluate("image => image.decode().then(() => image.naturalWidth)") >= 64
    page.screenshot(path=OUTPUT / "mask_picture.png")


def test_new_weights_make_features_and_embeddings_stale_and_nothing_else(lab, page):
    assert {lab.staleness(asset, "second")[0] for asset in ASSETS} == {"FRESH"}
    lab.write_project("weights_1.safetensors")

    page.goto(f"{lab.dev.url}/asset-groups")
    page.get_by_role("button", name="Reload definitions").click()
    until("features are stale", lambda: lab.staleness(FEATURES, "second")[0] == "STALE", pause=0.5)

    assert lab.staleness(FEATURES, "second")[1] == ["has a new code version"]
    assert {lab.staleness(asset, "second")[0] for asset in ASSETS[:3]} == {"FRESH"}
    show(lab, page, f"/assets/{FEATURES}?view=partitions&partition=second", "stale", "nsynced")


def test_a_dry_run_says_what_is_stale_why_and_what_it_takes(lab):
    run = lab.launch("materialize_stale")

    assert run["status"] is dg.DagsterRunStatus.SUCCESS
    assert re.search(rf"{FEATURES}: 3 slides: .*sha256", run["log"])
    assert re.search(r"To compute: .*3 slides", run["log"])


def test_what_the_project_allows_is_computed_after_a_canary_where_it_is_stale(lab, page):
    """What the project allows is computed by itself after a canary and only what is stale."""
    before = {stem: lab.counts(stem) for stem in ("first", "second", "third")}
    old = {stem: lab.said(EMBEDDING, stem)["fingerprint"] for stem in before}

    lab.write_project("weights_1.safetensors", automatic=True)
    lab.reload()
    until("embeddings are new", lambda: all(_new(lab, stem, old[stem]) for stem in before), pause=0.5)

    repair = lab.runs("materialize_stale")[0]
    assert repair.tags["dagster/sensor_name"] == "propose_upgrade"
    assert "cosine" in lab.ended(repair.run_id)["log"]
    for stem, counts in before.items():
        assert lab.counts(stem)[:3] == counts[:3]
        assert lab.said(FEATURES, stem)["status"] == "computed"
        assert {lab.staleness(asset, stem)[0] for asset in ASSETS} == {"FRESH"}
    assert ENCODER in lab.said(FEATURES, "second")["why"] or "sha256" in lab.said(FEATURES, "second")["why"]
    show(lab, page, f"/assets/{FEATURES}?view=partitions&partition=second", "fresh_again", "sha256")
    show(lab, page, "/runs", "runs", "materialize_stale", "process_slides")


def test_the_same_numbers_in_another_file_are_stamped_anew_and_not_computed(lab, page):
    old = {stem: lab.said(EMBEDDING, stem)["fingerprint"] for stem in ("first", "second", "third")}
    runs = len(lab.runs("process_slides"))

    lab.write_project("weights_1_again.safetensors")
    lab.reload()
    run = lab.launch("materialize_stale", {"ops": {"find_stale": {"config": {"dry_run": False}}}})

    assert run["status"] is dg.DagsterRunStatus.SUCCESS
    assert all(_new(lab, stem, was) for stem, was in old.items())
    assert {lab.said(asset, stem)["status"] for asset in (FEATURES, EMBEDDING) for stem in old} == {"restamped"}
    assert {lab.staleness(asset, stem)[0] for asset in ASSETS for stem in old} == {"FRESH"}
    assert len(lab.runs("process_slides")) == runs
    show(lab, page, f"/assets/{FEATURES}?view=partitions&partition=second", "restamped", "numerically the same")


def _new(lab: Lab, stem: str, old: str) -> bool:
    return lab.said(EMBEDDING, stem)["fingerprint"] != old


def test_the_cohort_report_is_made_and_opens_from_disk(lab, page):
    assert lab.launch("make_cohort_report")["status"] is dg.DagsterRunStatus.SUCCESS
    show(lab, page, "/assets/cohort_report", "report_asset", "failed_slides", "cohort_report.html")

    page.goto((lab.folder / "output" / "cohort_report.html").as_uri())
    assert page.locator(".gallery > li").count() == 4
    assert page.locator(".dot").count() == 3
    assert page.locator("#failures ~ table tbody tr").count() == 1
    page.screenshot(path=OUTPUT / "report.png", full_page=True)
