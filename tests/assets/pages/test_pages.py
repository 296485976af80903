"""The server beside the web UI: a real one, asked over a socket."""

import json
import shutil
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator

import dagster as dg
import pytest
import uvicorn
from small_projects import break_slide, paint, project, run

from atlaspatch_assets.cli.pages import listen
from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.lib.names import ProjectNames
from atlaspatch_assets.pages import build_app
from atlaspatch_assets.pages.view import ProjectView
from atlaspatch_core.config.project import Project
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import make_recipe

WEB_UI = "http://127.0.0.1:3000"


class Server:
    """A server of a project's pages."""

    def __init__(self, of: Project, instance: dg.DagsterInstance) -> None:
        view = ProjectView(make_recipe(of), instance, lambda: ("the daemon sleeps",), seconds_held=0.0)
        self.socket = listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.server = uvicorn.Server(uvicorn.Config(build_app(view, web_ui=WEB_UI), log_level="warning"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})

    def get(self, path: str, **headers: str) -> tuple[int, str]:
        """Return the status code and the text."""
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url + path, headers=headers)) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def bad_day(tmp_path, instance) -> Iterator[Server]:
    """Serve a project with a good slide, two that are cut short, one that came just now, and one whose file is gone."""
    paint(tmp_path / "slides", "good", "lost")
    for stem in ("cut_1", "cut_2"):
        break_slide(tmp_path / "slides", stem)
    of = project(tmp_path)
    run(of, instance, ["good", "lost", "cut_1", "cut_2"])
    (lost,) = (tmp_path / "slides").glob("lost.*")
    lost.unlink()
    names = ProjectNames.of(of)
    instance.add_dynamic_partitions(str(names.removed.name), ["lost"])
    paint(tmp_path / "slides", "new")
    server = Server(of, instance)
    server.thread.start()
    yield server
    server.server.should_exit = True
    server.thread.join()
    server.socket.close()


def needs(server: Server) -> dict[str, list[dict]]:
    """Return kind to its groups."""
    by_kind: dict[str, list[dict]] = {}
    for need in json.loads(server.get("/needs.json")[1])["needs"]:
        by_kind.setdefault(need["kind"], []).append(need)
    return by_kind


def test_slides_are_grouped_by_what_is_wrong_with_a_cure_each(bad_day):
    groups = needs(bad_day)

    assert {kind: [need["stems"] for need in of_kind] for kind, of_kind in groups.items()} == {
        "failed": [["cut_1", "cut_2"]],
        "removed": [["lost"]],
        "missing": [["new"]],
    }
    assert groups["failed"][0]["outputs"] == ["slide"]
    assert all(need["cure"] for of_kind in groups.values() for need in of_kind)


def test_the_page_shows_reasons_cures_and_what_holds_everything_up(bad_day):
    status, page = bad_day.get("/")

    assert status == 200
    assert "the daemon sleeps" in page
    assert "<code>atlaspatch backfill --failed</code>" in page
    assert 'href="/slides/cut_1"' in page


def test_what_was_mended_is_gone_at_the_next_load(bad_day, tmp_path, instance):
    assert "failed" in needs(bad_day)
    for path in (tmp_path / "slides").glob("cut_*"):
        path.unlink()
    paint(tmp_path / "slides", "cut_1", "cut_2")
    run(project(tmp_path), instance, ["cut_1", "cut_2", "new"])

    assert set(needs(bad_day)) == {"removed"}


def test_a_slides_page_has_its_states_pictures_and_links(bad_day, tmp_path):
    _, page = bad_day.get("/slides/good")
    thumbnail = f"/{Store(tmp_path / 'output').thumbnail('good').relative_to(tmp_path / 'output')}"

    assert f"{WEB_UI}/assets/tissue_mask?view=partitions&amp;partition=good" in page
    assert thumbnail in page
    assert bad_day.get(thumbnail)[0] == 200
    assert "copy it again" in bad_day.get("/slides/cut_1")[1]
    assert bad_day.get("/slides/nobody")[0] == 404


def test_metrics_count_what_the_pages_show(bad_day):
    _, text = bad_day.get("/metrics")
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))

    assert float(values['atlaspatch_outputs{output="slide",project="",state="fresh"}']) == 2
    assert float(values['atlaspatch_outputs{output="slide",project="",state="failed"}']) == 2
    assert float(values['atlaspatch_needs{kind="failed",project=""}']) == 2
    assert 0 < float(values['atlaspatch_oldest_unprocessed_slide_seconds{project=""}']) < 600
    assert float(values['atlaspatch_rate{output="tissue_mask",project=""}']) > 0


def test_nothing_is_served_from_outside_of_the_output_folder(bad_day, tmp_path):
    output = tmp_path / "output"
    (tmp_path / "secret.json").write_text("{}")
    (output / "out.json").symlink_to(tmp_path / "secret.json")
    (output / ".hidden").mkdir()
    shutil.copy(tmp_path / "secret.json", output / ".hidden" / "own.json")
    paths = ("/../secret.json", "/%2e%2e/secret.json", "/..%2fsecret.json", f"/{tmp_path}/secret.json", "/out.json")

    assert {path: bad_day.get(path)[0] for path in (*paths, "/.hidden/own.json", "/patches/good.h5")} == dict.fromkeys(
        (*paths, "/.hidden/own.json", "/patches/good.h5"), 404
    )


@pytest.mark.quick
def test_a_page_of_somebody_else_cannot_read_it_under_another_name(bad_day):
    assert bad_day.get("/needs.json", Host="attacker.example")[0] == 400


def test_nothing_can_be_changed(bad_day):
    request = urllib.request.Request(f"{bad_day.url}/needs.json", data=b"{}", method="POST")
    with pytest.raises(urllib.error.HTTPError, match="405"):
        urllib.request.urlopen(request)


def test_coverage_shows_the_same_groups_and_leads_to_the_page(bad_day, tmp_path, instance, monkeypatch):
    monkeypatch.setenv("ATLASPATCH_PAGES_URL", bad_day.url)
    job = build_definitions(project(tmp_path)).resolve_job_def("check_validity")
    (event,) = job.execute_in_process(instance=instance).get_asset_materialization_events()
    metadata = event.materialization.metadata

    rows = [record.data for record in metadata["needs_you"].value.records]
    of_pages = [(kind, len(need["stems"])) for kind, of_kind in needs(bad_day).items() for need in of_kind]
    assert [(row["kind"], row["slides"]) for row in rows] == [pair for pair in of_pages if pair[0] != "missing"]
    assert metadata["page"].value == f"{bad_day.url}/"
