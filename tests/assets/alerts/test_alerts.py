"""Messages to people, sent to a real server and to a real program."""

import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import dagster as dg
import pytest
from small_projects import break_slide, paint, project, run

from atlaspatch_assets.definitions import build_definitions
from atlaspatch_assets.defs.alerts.targets import UndeliveredAlert, send_alert
from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Alerts
from atlaspatch_core.errors import InvalidProject

VARIABLE = "LAB_ALERT_URL"


class Inbox(HTTPServer):
    """What a web hook was sent; refuses while ``broken``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Post)
        self.messages: list[dict[str, Any]] = []
        self.broken = False


class Post(BaseHTTPRequestHandler):
    server: Inbox

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(500 if self.server.broken else 200)
        self.end_headers()
        if not self.server.broken:
            self.server.messages.append(json.loads(body))

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def inbox(monkeypatch) -> Iterator[Inbox]:
    with Inbox() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv(VARIABLE, f"json://127.0.0.1:{server.server_port}/")
        yield server
        server.shutdown()


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def tick(of: Project, instance: dg.DagsterInstance, cursor: str | None) -> str | None:
    """Evaluate the sensor and return its cursor."""
    sensor = build_definitions(of).resolve_sensor_def("send_alerts")
    result = sensor(dg.build_sensor_context(instance=instance, cursor=cursor))
    assert isinstance(result, dg.SensorResult)
    return result.cursor


def check_validity(of: Project, instance: dg.DagsterInstance) -> None:
    build_definitions(of).resolve_job_def("check_validity").execute_in_process(instance=instance)


def test_a_failed_run_is_told_once_with_the_reason_of_each_slide(tmp_path, instance, inbox):
    of = project(tmp_path, alerts={"url_variables": [VARIABLE]})
    paint(tmp_path / "slides", "good")
    cursor = tick(of, instance, None)
    break_slide(tmp_path / "slides", "broken")
    run(of, instance, ["good", "broken"])
    inbox.broken = True
    with pytest.raises(UndeliveredAlert, match=f"the target in {VARIABLE} did not take the message"):
        tick(of, instance, cursor)
    inbox.broken = False
    cursor = tick(of, instance, cursor)
    assert tick(of, instance, cursor) == cursor

    (message,) = inbox.messages
    assert message["title"].startswith("output: run ")
    assert "broken: " in message["message"]
    assert "good" not in message["message"]


def test_slides_that_became_stale_are_told_of_once_a_reason(tmp_path, instance, inbox):
    paint(tmp_path / "slides", "first", "second")
    old = project(tmp_path, alerts={"url_variables": [VARIABLE]})
    run(old, instance, ["first"])
    check_validity(old, instance)
    cursor = tick(old, instance, None)
    new = project(tmp_path, alerts={"url_variables": [VARIABLE]}, tissue={"closing_um": 4.0})
    check_validity(new, instance)
    cursor = tick(new, instance, cursor)
    check_validity(new, instance)
    assert tick(new, instance, cursor) == cursor

    (message,) = inbox.messages
    assert message["title"] == "output: slides that need you"
    assert "1 stale: closing_um 16.0 → 4.0 (first)" in message["message"]


def test_a_program_gets_the_message_and_its_failure_is_told(tmp_path):
    copy = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_text(sys.stdin.read())"
    send_alert(Alerts(command=(sys.executable, "-c", copy, str(tmp_path / "mail"))), "title", "text")
    assert (tmp_path / "mail").read_text() == "title\n\ntext\n"

    with pytest.raises(UndeliveredAlert, match="ended with exit code 3"):
        send_alert(Alerts(command=(sys.executable, "-c", "raise SystemExit(3)")), "title", "text")
    with pytest.raises(UndeliveredAlert, match="no-such-program did not take the message"):
        send_alert(Alerts(command=("no-such-program",)), "title", "text")


@pytest.mark.quick
def test_a_password_stands_in_no_file_and_no_message(tmp_path, monkeypatch):
    with pytest.raises(InvalidProject, match="'mailto' is no name of an environment variable") as refused:
        project(tmp_path, alerts={"url_variables": ["mailto://me:secret@lab.org"]})
    assert "secret" not in str(refused.value)

    monkeypatch.setenv(VARIABLE, "nothing://secret")
    with pytest.raises(UndeliveredAlert, match=f"{VARIABLE} holds no URL that Apprise knows") as undelivered:
        send_alert(Alerts(url_variables=(VARIABLE, "NOT_SET")), "title", "text")
    assert "NOT_SET, which" in str(undelivered.value)
    assert "secret" not in str(undelivered.value)


def test_a_project_without_targets_has_no_sensor_for_them(tmp_path):
    assert "send_alerts" not in {sensor.name for sensor in build_definitions(project(tmp_path)).sensors or ()}
