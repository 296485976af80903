"""The steps of a Dockerfile, read from the file itself and taken in a bare Debian without an engine."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest

SAY_NOTHING = {"COMMENT", "EXPOSE", "HEALTHCHECK"}
"""Instructions that change nothing of the file system and of the user."""
UNPACK = ["debootstrap", "--variant=minbase", "--include=ca-certificates,python3,python3-venv", "bookworm"]
"""Debian as ``python:3.11-slim`` has it, whose Python 3.11 lies in /usr/local."""
ENTER = """
mount --bind /proc "$1/proc" && mount --bind /dev "$1/dev" && {binds} exec chroot --userspec="$2" "$1" /bin/sh -c "$3"
"""


@dataclass(frozen=True)
class ImageStage:
    """From one FROM to the next."""

    name: str
    steps: tuple[tuple[str, str], ...]
    """Instruction and what stands after it, with continued lines joined."""

    def values(self, instruction: str) -> list[str]:
        return [value for name, value in self.steps if name == instruction]


def read_stages(path: Path) -> list[ImageStage]:
    """Return the stages of a Dockerfile in their order."""
    parser = pytest.importorskip("dockerfile_parse", reason="pip install dockerfile-parse for this test")
    stages: list[tuple[str, list[tuple[str, str]]]] = []
    for step in parser.DockerfileParser(path=str(path)).structure:
        if step["instruction"] == "FROM":
            base, _, name = step["value"].partition(" AS ")
            stages.append((name or base, [("FROM", base)]))
        elif stages:
            stages[-1][1].append((step["instruction"], step["value"]))
    return [ImageStage(name, tuple(steps)) for name, steps in stages]


@dataclass
class BareMachine:
    """A Debian of its own, entered by chroot; nothing of this machine's Python is in it."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0"
    command: list[str] = field(default_factory=list)

    def run(self, command: str, *, own_network: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command of the shell as an image would, and return it; where it serves, on ports of its own."""
        path = {"PATH": "/usr/local/bin:/usr/local/sbin:/usr/bin:/usr/sbin:/bin:/sbin", "HOME": "/tmp"}
        settings, folders = pip_settings()
        binds = "".join(f'mkdir -p "$1{one}" && mount --bind "{one}" "$1{one}" && ' for one in folders)
        inside = f"cd {shlex.quote(self.folder)} && {command}"
        enter = ENTER.format(binds=binds + ("ip link set lo up &&" if own_network else ""))
        spaces = ["--mount", *(["--net"] if own_network else [])]
        words = ["unshare", *spaces, "/bin/sh", "-c", enter, "enter", self.root]
        return subprocess.run(
            [*words, f"{self.user}:{self.user}", inside],
            env=path | settings | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )

    def inside(self, path: str) -> Path:
        """Return where a path of the image lies here."""
        return self.root / os.path.normpath(f"{self.folder}/{path}" if path[:1] != "/" else path).lstrip("/")


@cache
def pip_settings() -> tuple[dict[str, str], tuple[str, ...]]:
    """Return how pip finds packages on this machine, as variables, and the folders of this machine that they name."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    pairs = (line.partition("=") for line in listed.stdout.splitlines())
    settings = {
        f"PIP_{name.rpartition('.')[2].replace('-', '_').upper()}": value.strip("'") for name, _, value in pairs
    }
    settings.pop("PIP_CONSTRAINT", None)
    words = [word for value in settings.values() for word in value.split()]
    indexes = {str(Path(word.removeprefix("file://")).parent) for word in words if word.startswith("file:///")}
    folders = indexes | {word for word in words if word.startswith("/") and Path(word).is_dir()}
    return settings, tuple(sorted(folders - {"/"}))


def package_index() -> str:
    """Return where pip finds packages on this machine first."""
    return pip_settings()[0].get("PIP_INDEX_URL", "https://pypi.org/simple")


def make_bare_machine(root: Path) -> None:
    """Unpack a Debian with Python in /usr/local, as the image has it; skip where this machine cannot."""
    if os.geteuid() or not shutil.which("debootstrap"):
        pytest.skip("steps of an image are taken as root in a bare Debian: apt-get install debootstrap")
    if subprocess.run(["unshare", "--mount", "--net", "ip", "link", "set", "lo", "up"], check=False).returncode:
        pytest.skip("this machine allows no mount and no network of its own")
    if shutil.disk_usage(root.parent).free < 20 * 2**30:
        pytest.skip("less than 20 GB are free: torch of this machine's index may be the one for GPUs")
    done = subprocess.run([*UNPACK, root], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no Debian can be unpacked here: {done.stdout.strip().splitlines()[-1]}")
    for path in ("/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"):
        shutil.copy(path, root / path.lstrip("/"))
    made = BareMachine(root).run("python3 -m venv /usr/local && ln -sf python3 /usr/local/bin/python")
    assert made.returncode == 0, made.stderr


def build_image(context: Path, base: Path, folder: Path, arguments: Mapping[str, str]) -> BareMachine:
    """Take all steps of the Dockerfile of a checkout, each stage in a copy of ``base``; return the last stage."""
    machines: dict[str, BareMachine] = {}
    for number, stage in enumerate(read_stages(context / "deploy" / "Dockerfile")):
        subprocess.run(["cp", "-a", base, folder / f"stage_{number}"], check=True)
        machine = machines[stage.name] = BareMachine(folder / f"stage_{number}")
        for instruction, value in stage.steps[1:]:
            if instruction == "RUN":
                done = machine.run(value)
                assert done.returncode == 0, f"{value}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            else:
                _take_step(machine, machines, context, instruction, value, arguments)
    return machines.popitem()[1]


def _take_step(
    machine: BareMachine,
    machines: Mapping[str, BareMachine],
    context: Path,
    instruction: str,
    value: str,
    arguments: Mapping[str, str],
) -> None:
    match instruction:
        case "ARG":
            name, _, default = shlex.split(value)[0].partition("=")
            machine.environment[name] = arguments.get(name, default)
        case "ENV":
            machine.environment |= dict(word.split("=", 1) for word in shlex.split(value))
        case "WORKDIR":
            machine.folder = value
            machine.inside(".").mkdir(parents=True, exist_ok=True)
        case "COPY":
            _copy(machine, machines, context, value)
        case "USER":
            machine.user = value
        case "CMD":
            machine.command = json.loads(value)
        case _:
            assert instruction in SAY_NOTHING, f"{instruction}: this test does not know that step"


def _copy(machine: BareMachine, machines: Mapping[str, BareMachine], context: Path, value: str) -> None:
    *sources, target = value.split()
    source = machines[sources.pop(0).removeprefix("--from=")].root if sources[0].startswith("--from=") else context
    for name in sources:
        place, goal = source / name.lstrip("/"), machine.inside(target)
        if place.is_dir():
            shutil.copytree(place, goal, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, goal)
