import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from packaging.requirements import Requirement
from painting import paint_slide, stain, white
from project_files import project_text
from waiting import SECONDS

from atlaspatch_core.cli.hooks import Hooks
from atlaspatch_core.cli.main import cli
from atlaspatch_core.config.project import load_project
from atlaspatch_core.operations.doctor import running, software, storage
from atlaspatch_core.operations.doctor.checks import CHECKS
from atlaspatch_core.operations.doctor.machine import device
from atlaspatch_core.operations.doctor.running import examine
from atlaspatch_core.operations.doctor.values import Check, DoctorFinding, DoctorLevel, Subject, ok, warn
from atlaspatch_core.storage.atomic import slide_lock
from atlaspatch_core.storage.file_systems import kind_of
from atlaspatch_core.validity.recipe import make_recipe

PROJECT = project_text(geometry='precision = "float32"\npatch_encoders = ["efficientnet_lite0"]', runtime="threads = 1")


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, tmp_path_factory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ATLASPATCH_CACHE", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("ATLASPATCH_WEIGHTS", "HF_TOKEN", "HF_HUB_OFFLINE", "ATLASPATCH_OFFLINE", "ATLASPATCH_PROJECT"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "slides").mkdir()
    for stem in ("a", "b"):
        paint_slide(tmp_path / "slides" / f"{stem}.svs", stain(white(600, 600), 100, 100, 300, 300))
    file = tmp_path / "atlaspatch.toml"
    file.write_text(PROJECT)
    return file


def doctor(*options: object, hooks: Hooks | None = None) -> Result:
    return CliRunner().invoke(cli, ["doctor", *map(str, options)], obj=hooks)


def checks(project: Path, *options: str, hooks: Hooks | None = None) -> list[dict]:
    return json.loads(doctor("--project", project, "--json", *options, hooks=hooks).stdout)["checks"]


def named(found: list[dict], name: str) -> dict:
    (one,) = (it for it in found if it["name"] == name)
    return one


def subject(project: Path, *, hub: bool = False) -> Subject:
    return Subject(make_recipe(load_project(project)), hub)


def test_a_healthy_project_has_no_failure(project):
    result = doctor("--project", project)

    assert result.exit_code == 0, result.output
    assert "✗" not in result.stdout
    assert "✓ locks: two processes exclude each other, and a killed one leaves no lock" in result.stdout
    assert result.stdout.splitlines()[-1].endswith(" 0 failed")


def test_looking_leaves_no_trace(project):
    before = sorted(path.name for path in project.parent.iterdir())

    doctor("--project", project)

    assert sorted(path.name for path in project.parent.iterdir()) == before


def test_json_has_failures_first_and_counts(project):
    (project.parent / "output").write_text("a file where a folder belongs")

    result = doctor("--project", project, "--json")

    told = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (told["checks"][0]["status"], told["checks"][0]["name"]) == ("FAIL", "output")
    assert told["checks"][0]["fix"] == "let output name a folder"
    assert told["summary"]["total"] == len(told["checks"])
    counts = [told["summary"][name] for name in ("failed", "warnings", "passed")]
    assert counts == [sum(it["status"] == status for it in told["checks"]) for status in ("FAIL", "WARN", "PASS")]


@pytest.mark.parametrize("option", ["--check-gated", "--check_gated"])
def test_scripts_for_trident_get_the_same_json_and_are_told_what_a_profile_decides(project, monkeypatch, option):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ours = doctor("--project", project, "--json", "--hub")
    theirs = doctor("--project", project, "--profile", "patch-encoders", option, "--format", "json")

    assert theirs.exit_code == ours.exit_code == 0
    assert [it["name"] for it in json.loads(theirs.stdout)["checks"]] == [
        it["name"] for it in json.loads(ours.stdout)["checks"]
    ]
    assert theirs.stderr.startswith("--profile patch-encoders: what is checked is the machine, and what the project")
    assert "--profile" not in ours.stderr


def test_text_is_what_format_text_gives_and_json_excludes_it(project):
    told = doctor("--project", project, "--format", "text")
    both = doctor("--project", project, "--format", "text", "--json")

    assert told.stdout.splitlines()[-1].endswith(" 0 failed")
    assert both.exit_code == 2
    assert "--json and --format text exclude each other; give one of them" in both.stderr


@pytest.mark.parametrize(("option", "value"), [("--profile", "gpu"), ("--format", "yaml")])
def test_a_profile_or_format_that_does_not_exist_is_wrong_usage(option, value):
    result = doctor(option, value)

    assert result.exit_code == 2
    assert f"'{value}' is not one of" in result.stderr


def test_a_project_file_that_was_named_must_be_there(tmp_path):
    result = doctor("--project", tmp_path / "mine.toml")

    assert result.exit_code == 1
    assert "there is no project file; 'atlaspatch init' writes one" in result.stdout


def test_without_a_project_file_the_machine_alone_is_checked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    result = doctor()

    assert result.exit_code == 0, result.output
    assert "! project: there is no atlaspatch.toml here: the machine alone is checked" in result.stdout
    assert "torch:" in result.stdout
    assert "slides:" not in result.stdout


def test_a_project_file_that_cannot_be_used_fails_and_the_machine_is_checked(project):
    project.write_text(PROJECT.replace("efficientnet_lite0", "no_such_encoder"))

    found = checks(project)

    assert named(found, "project")["status"] == "FAIL"
    assert "no_such_encoder" in named(found, "project")["message"]
    assert named(found, "torch")["status"] == "PASS"


def test_a_forbidden_licence_is_a_failure(project):
    project.write_text('allow_licenses = ["MIT"]\n' + PROJECT)

    assert "its licence Apache-2.0 is not among allow_licenses" in named(checks(project), "project")["message"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_without_permission_is_a_failure(project):
    (project.parent / "output").mkdir(mode=0o500)

    assert named(checks(project), "output")["status"] == "FAIL"


def test_an_output_on_a_read_only_file_system_is_a_failure(project):
    if kind_of(Path("/proc")) != "proc":
        pytest.skip("there is no /proc, in which nobody can make a folder")
    project.write_text(PROJECT.replace('output = "output"', 'output = "/proc/output"'))

    found = checks(project)

    assert named(found, "output")["status"] == "FAIL"
    assert "/proc cannot be written" in named(found, "output")["message"]
    assert not [it for it in found if it["name"] == "locks"]


def test_a_lock_that_is_not_honoured_is_found(project, monkeypatch):
    nobody_waits = storage.HOLD_LOCK.replace(".acquire()", "")
    monkeypatch.setattr(storage, "HOLD_LOCK", nobody_waits)

    (found,) = storage.locking(subject(project))

    assert (found.level, found.text) == (
        DoctorLevel.FAIL,
        "two processes hold one lock at once: they would overwrite each other",
    )


def test_a_process_that_gets_no_lock_is_told_with_its_last_words(project, monkeypatch):
    monkeypatch.setattr(storage, "HOLD_LOCK", "raise OSError('no locks available')")

    (found,) = storage.locking(subject(project))

    assert found.level is DoctorLevel.FAIL
    assert "no locks available" in found.text
    assert "NFS" in found.cure


def test_a_lock_of_a_live_process_is_waited_for(tmp_path):
    with slide_lock(tmp_path, "doctor"):
        assert not storage.is_lock_got(tmp_path, 0.05)
    assert storage.is_lock_got(tmp_path, 0.05)


def test_a_full_disk_is_found_before_it_is_full(project, monkeypatch):
    usage = storage.shutil.disk_usage(project.parent)
    for free, level in ((0, DoctorLevel.FAIL), (10 * 2**40, DoctorLevel.OK)):
        monkeypatch.setattr(storage.shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        (found,) = storage.space(subject(project))
        assert found.level is level


def test_corrupt_slides_are_told(project):
    (project.parent / "slides" / "a.svs").write_bytes(b"no slide")

    some = named(checks(project), "opening")
    (project.parent / "slides" / "b.svs").write_bytes(b"")
    all_of_them = named(checks(project), "opening")

    assert (some["status"], all_of_them["status"]) == ("WARN", "FAIL")
    assert some["message"].startswith("1 of the first 2 cannot be read: a: ")


def test_two_files_of_one_stem_are_a_warning(project):
    paint_slide(project.parent / "slides" / "a.tif", white(300, 300))

    found = named(checks(project), "slides")

    assert found["status"] == "WARN"
    assert "of 1 stems there are several files: a" in found["message"]


def test_a_folder_without_slides_is_a_failure(project):
    for file in (project.parent / "slides").iterdir():
        file.unlink()

    assert "no slide found" in named(checks(project), "slides")["message"]


def test_weights_that_are_missing_are_told_and_not_downloaded(project, monkeypatch):
    project.write_text(PROJECT.replace('["efficientnet_lite0"]', '["efficientnet_lite0", "uni_v1"]'))

    online = next(it for it in checks(project) if it["message"].startswith("uni_v1"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    offline = next(it for it in checks(project) if it["message"].startswith("uni_v1"))

    assert (online["status"], offline["status"]) == ("WARN", "FAIL")
    assert "given on request only" in online["message"]
    assert "huggingface.co/mahmoodlab/uni" in online["fix"].lower()
    assert not (project.parent / "hub").exists()


def test_local_weights_that_are_not_there_are_a_failure(project):
    project.write_text(PROJECT + '[weights]\nefficientnet_lite0 = "nowhere.pth"\n')

    found = [it for it in checks(project) if it["name"] == "weights"]

    assert [it["status"] for it in found] == ["FAIL"]
    assert "no weights at" in found[0]["message"]


def test_a_gpu_that_is_asked_for_and_not_there_is_a_failure_with_a_cure():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    found = device("cuda")

    assert found.level is DoctorLevel.FAIL
    assert 'device = "auto"' in found.cure
    assert [device(name).level for name in ("auto", "cpu")] == [DoctorLevel.OK] * 2
    assert device("gpu7").level is DoctorLevel.FAIL


def test_versions_are_held_against_declared_ranges():
    numpy = metadata.version("numpy")

    assert software.complaint(Requirement("numpy>=1")) == ""
    assert software.complaint(Requirement("numpy<1")) == f"numpy is {numpy}, needed is <1"
    assert software.complaint(Requirement("no-such-library")) == "no-such-library is not installed"


def test_a_check_that_hangs_is_a_finding_and_the_next_one_runs():
    forever = threading.Event()

    def hangs(_: Subject) -> Iterator[DoctorFinding]:
        forever.wait()
        yield ok("hangs", "too late")

    def breaks(_: Subject) -> Iterator[DoctorFinding]:
        raise RuntimeError("nobody foresaw this")
        yield ok("breaks", "never")

    def runs(_: Subject) -> Iterator[DoctorFinding]:
        yield warn("runs", "as it should", "nothing")

    table = (Check("hangs", hangs, 0.2, "mount it again"), Check("breaks", breaks), Check("runs", runs))
    found = list(examine(table, Subject()))
    forever.set()

    assert [it.level for it in found] == [DoctorLevel.FAIL, DoctorLevel.FAIL, DoctorLevel.WARN]
    assert (found[0].text, found[0].cure) == ("no answer within 0.2 s", "mount it again")
    assert "nobody foresaw this" in found[1].text


def test_what_a_check_found_before_it_hung_is_told(monkeypatch):
    forever = threading.Event()

    def hangs(_: Subject) -> Iterator[DoctorFinding]:
        yield ok("hangs", "so far")
        forever.wait()

    seconds = 0.0
    monkeypatch.setattr(running, "monotonic", lambda: seconds)
    found = examine((Check("hangs", hangs, SECONDS),), Subject())

    assert next(found).level is DoctorLevel.OK
    seconds = SECONDS
    assert next(found).level is DoctorLevel.FAIL
    forever.set()


def test_every_check_has_a_name_and_a_limit_of_its_own():
    names = [check.name for check in CHECKS]

    assert len(set(names)) == len(names)
    assert all(0 < check.seconds <= 300 for check in CHECKS)


def test_what_an_outer_layer_finds_is_told(project):
    hooks = Hooks(more_checks=lambda: [Check("dagster", lambda _: [warn("dagster", "no heartbeat", "start it")])])

    result = doctor("--project", project, hooks=hooks)

    assert result.exit_code == 0
    assert "! dagster: no heartbeat\n    → start it" in result.stdout


def test_a_machine_that_is_offline_by_its_environment_does_not_ask_the_hub(project, monkeypatch):
    monkeypatch.setenv("ATLASPATCH_OFFLINE", "1")

    assert named(checks(project, "--hub"), "hub")["status"] == "WARN"
    assert not [it for it in checks(project) if it["name"].startswith("hub")]


class Hub(BaseHTTPRequestHandler):
    """Knows one token, and gives one of two repositories."""

    def do_GET(self) -> None:
        known = self.headers.get("authorization") == "Bearer hf_known"
        body = json.dumps({"name": "somebody", "type": "user"} if known else {"error": "Invalid token"}).encode()
        self.send_response(200 if known else 401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_HEAD(self) -> None:
        refused = "MahmoodLab/UNI" in self.path or "MahmoodLab/uni" in self.path
        self.send_response(403 if refused else 200)
        if refused:
            self.send_header("x-error-code", "GatedRepo")
        self.send_header("x-repo-commit", "0" * 40)
        self.send_header("etag", '"1"')
        self.send_header("content-length", "1")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Say nothing."""


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


def test_the_hub_is_asked_for_the_token_and_for_access(project, hub, monkeypatch):
    project.write_text(PROJECT.replace('["efficientnet_lite0"]', '["uni_v1", "phikon_v1"]'))

    without = [(it["name"], it["status"]) for it in checks(project, "--hub") if it["name"].startswith("hub")]
    monkeypatch.setenv("HF_TOKEN", "hf_known")
    known = [it for it in checks(project, "--check-gated") if it["name"].startswith("hub")]
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    other = named(checks(project, "--hub"), "hub token")

    assert without == [("hub access", "FAIL"), ("hub token", "WARN"), ("hub access", "PASS")]
    assert named(known, "hub token")["message"] == "logged in as somebody"
    assert [it["message"].split(":")[0] for it in known if it["status"] == "FAIL"] == ["uni_v1"]
    assert other["status"] == "FAIL"


def test_a_hub_that_does_not_answer_is_a_failure(project, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_TOKEN", "hf_known")

    found = named(checks(project, "--hub"), "hub token")

    assert found["status"] == "FAIL"
    assert "the hub does not take it" in found["message"]


def test_the_file_system_of_a_folder_is_that_of_its_nearest_mount(tmp_path, monkeypatch):
    mounts = tmp_path / "mounts"
    mounts.write_text(f"disk / ext4 rw 0 0\nserver:/x {tmp_path}/my\\040share nfs4 rw 0 0\n")
    monkeypatch.setattr("atlaspatch_core.storage.file_systems.MOUNTS", mounts)

    assert kind_of(tmp_path / "my share" / "output") == "nfs4"
    assert kind_of(tmp_path / "elsewhere") == "ext4"
    monkeypatch.setattr("atlaspatch_core.storage.file_systems.MOUNTS", tmp_path / "none")
    assert kind_of(tmp_path) == ""


def test_doctor_and_encoders_say_the_same_of_what_is_installed():
    from atlaspatch_core.encoders.listing import listed
    from atlaspatch_core.operations.doctor.software import extras
    from atlaspatch_core.operations.doctor.values import Subject

    [finding] = extras(Subject(None))
    there, _, absent = finding.text.removeprefix("installed: ").partition("; not ")
    named = {one.extra: one.extra_installed for one in listed() if one.extra}
    assert {extra: extra in there.split(", ") for extra in named} == named
    assert all(f"{extra} (pip install" in absent for extra, is_there in named.items() if not is_there)
