"""What ``doctor`` says of an output folder that several nodes share."""

import sys
from pathlib import Path

import pytest
from disks import remount, small_disk
from small_projects import project

from atlaspatch_core.operations.doctor import sharing as sharing_checks
from atlaspatch_core.operations.doctor.sharing import mount_findings, sharing
from atlaspatch_core.operations.doctor.values import DoctorFinding, Subject
from atlaspatch_core.storage.file_systems import Mount
from atlaspatch_core.validity.recipe import make_recipe

ON_ANOTHER_NODE = """#!/bin/sh
while [ "${1#--}" != "$1" ]; do shift; done
exec "$@"
"""
"""A stand-in for srun on a machine without Slurm: it takes its options and starts the rest here."""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is all of the PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(folder))
    return folder


def write_srun(folder: Path, text: str) -> None:
    (folder / "srun").write_text(text)
    (folder / "srun").chmod(0o755)


def findings(folder: Path) -> list[DoctorFinding]:
    (folder / "output").mkdir(parents=True, exist_ok=True)
    return list(sharing(Subject(make_recipe(project(folder)))))


@pytest.mark.usefixtures("programs")
def test_locks_and_renames_of_a_local_folder_hold_between_two_processes(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(sharing_checks, "SOON", 60.0)
    told = findings(tmp_path / "lab")

    assert [(it.level, it.text) for it in told] == [
        ("PASS", "HDF5 locks files that it reads there"),
        ("PASS", "this process and another process exclude each other by locks"),
        ("PASS", "files that are replaced are seen by another process, and its by this one, within 60 s"),
    ]
    assert list((tmp_path / "lab" / "output").iterdir()) == []


def test_where_srun_is_there_another_node_is_asked_first(tmp_path: Path, programs: Path):
    write_srun(programs, ON_ANOTHER_NODE)

    told = [it.text for it in findings(tmp_path / "lab")]

    assert told[1] == "this process and another node exclude each other by locks"
    assert told[3] == "this process and another process exclude each other by locks"


def test_that_no_second_node_can_be_had_is_a_warning_with_the_words_of_srun(tmp_path: Path, programs: Path):
    write_srun(programs, '#!/bin/sh\necho "srun: error: Unable to allocate resources" >&2\nexit 1\n')

    (warning,) = [it for it in findings(tmp_path / "lab") if it.level == "WARN"]

    assert "another node could not be asked (srun: error: Unable to allocate resources)" in warning.text
    assert "not tried" in warning.text


def test_a_folder_that_cannot_be_written_is_a_failure_and_no_exception(tmp_path: Path):
    with small_disk(tmp_path / "disk") as disk:
        (disk / "output").mkdir()
        remount(disk, "ro")
        (failure,) = [it for it in findings(disk) if it.level == "FAIL"]
    assert "cannot be tried" in failure.text
    assert "Read-only file system" in failure.text


@pytest.mark.quick
@pytest.mark.parametrize(
    ("mount", "level", "words"),
    [
        (Mount("nfs4", ("rw", "vers=4.2", "local_lock=none")), "PASS", "locks are the server's"),
        (Mount("nfs", ("rw", "vers=3", "nolock")), "FAIL", "mounted with nolock: its locks hold on this machine alone"),
        (Mount("nfs", ("rw", "local_lock=flock")), "FAIL", "mounted with local_lock=flock"),
        (Mount("lustre", ("rw", "flock")), "PASS", "Lustre with flock"),
        (Mount("lustre", ("rw", "localflock")), "FAIL", "localflock: its locks hold on this machine alone"),
        (Mount("lustre", ("rw",)), "FAIL", "Lustre mounted with no flock"),
    ],
)
def test_what_a_mount_lacks_is_said_with_the_option_that_it_needs(mount: Mount, level: str, words: str):
    (finding,) = mount_findings(mount, Path("/scratch"))

    assert finding.level == level
    assert words in finding.text
    assert level == "PASS" or "flock" in finding.cure or "nolock" in finding.cure


@pytest.mark.quick
def test_of_a_local_disk_nothing_is_said():
    assert list(mount_findings(Mount("ext4", ("rw",)), Path(sys.prefix))) == []
