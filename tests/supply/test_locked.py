"""The lock fits what pyproject.toml asks for, and the wheel names what is locked."""

import json
import shutil
import zipfile
from base64 import urlsafe_b64encode
from hashlib import sha256
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from paths import ROOT

from supply import wheel
from supply.locked import export, run_uv


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name in ("pyproject.toml", "uv.lock", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_the_lock_fits_and_a_changed_dependency_is_told(checkout: Path):
    assert run_uv("lock", "--check", "--offline").stderr == ""
    project = checkout / "pyproject.toml"
    project.write_text(project.read_text().replace('"h5py>=3.11"', '"h5py>=3.12"'))
    with pytest.raises(RuntimeError, match="Run `uv lock`"):
        export("--offline", folder=checkout)


def test_the_wheel_carries_a_bill_that_names_its_dependencies(checkout: Path, tmp_path: Path):
    for package in ("atlaspatch_core", "atlaspatch_assets"):
        shutil.copytree(ROOT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__"))
    with zipfile.ZipFile(wheel.build(tmp_path, "--no-isolation", source=checkout)) as archive:
        (place,) = (name for name in archive.namelist() if name.endswith(f".dist-info/sboms/{wheel.NAME}"))
        content, folder = archive.read(place), place.partition("/")[0]
        record = archive.read(f"{folder}/RECORD").decode()
        stated = archive.read(f"{folder}/METADATA").decode()
    assert f"{place},sha256={urlsafe_b64encode(sha256(content).digest()).decode().rstrip('=')},{len(content)}" in record
    bill = json.loads(content)
    assert (bill["bomFormat"], bill["metadata"]["component"]["name"]) == ("CycloneDX", "atlaspatch")
    asked = [line.removeprefix("Requires-Dist: ") for line in stated.splitlines() if line.startswith("Requires-Dist: ")]
    lean = {canonicalize_name(Requirement(line).name) for line in asked if "extra ==" not in line}
    named = {part["name"] for part in bill["components"]}
    assert len(lean) > 20
    assert lean <= named
    assert not {"pytest", "wsidicom", "transformers"} & named
    assert all(part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}" for part in bill["components"])
