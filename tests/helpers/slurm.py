"""A real Slurm on this machine: Debian's programs, unpacked where they are not installed, and two nodes."""

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from paths import ROOT
from waiting import until

PACKAGES = ("slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins", "munge", "libmunge2", "libhwloc15")
UNPACKED = ROOT / "build" / "slurm"
LIBRARIES = Path("usr", "lib", f"{os.uname().machine}-linux-gnu")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool_%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd_%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd_%n.log
PluginDir={plugins}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=4 RealMemory=4000 State=UNKNOWN
NodeName=second NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=4 RealMemory=4000 State=UNKNOWN
PartitionName=all Nodes={host},second Default=YES MaxTime=INFINITE State=UP
"""


@dataclass(frozen=True)
class Slurm:
    """A cluster of two nodes on one machine."""

    environment: Mapping[str, str]

    def call(self, *words: object) -> str:
        """Return what one of Slurm's programs prints."""
        done = subprocess.run([*map(str, words)], env={**self.environment}, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    def is_idle(self) -> bool:
        """Tell whether no job waits or runs."""
        return not self.call("squeue", "--noheader")


def unpacked_root() -> Path:
    """Return the folder that holds Slurm's programs below ``usr``; the test is skipped where they cannot be had."""
    if os.geteuid() != 0:
        pytest.skip("Slurm's daemons need root here")
    if shutil.which("slurmctld") and shutil.which("slurmd") and shutil.which("munged"):
        return Path("/")
    if not (UNPACKED / "usr").is_dir():
        if not shutil.which("apt-get"):
            pytest.skip("Slurm is not installed, and Debian's packages cannot be fetched here")
        _unpack(UNPACKED)
    return UNPACKED


def _unpack(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    fetched = subprocess.run(["apt-get", "download", *PACKAGES], cwd=folder, capture_output=True, text=True)
    if fetched.returncode:
        pytest.skip(f"Debian's packages of Slurm cannot be fetched: {fetched.stderr.strip().splitlines()[-1:]}")
    for package in folder.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, folder], check=True)


def _program(root: Path, name: str) -> str:
    places = [root / "usr" / "sbin" / each for each in (name, f"{name}-wlm")]
    return str(next(place for place in places if place.exists()))


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[Slurm]:
    """Start munge, the controller and two nodes; all of it ends with the block, jobs too."""
    root, host = unpacked_root(), socket.gethostname().partition(".")[0]
    plugins = root / LIBRARIES / "slurm-wlm"
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    text = CONFIGURATION.format(folder=folder, host=host, ports=_free_ports(), plugins=plugins)
    (folder / "slurm.conf").write_text(text)
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": f"{root / LIBRARIES}:{plugins}",
        "PATH": f"{root / 'usr' / 'bin'}:{os.environ['PATH']}",
        "SLURM_CONF": str(folder / "slurm.conf"),
    }
    munge = {option: folder / f"munge.{option}" for option in ("socket", "log-file", "seed-file")}
    node_command = [_program(root, "slurmd"), "-D", "-c", "-d", _program(root, "slurmstepd")]
    commands = (
        [_program(root, "munged"), "--foreground", "--force", f"--key-file={key}", f"--pid-file={folder}/munge.pid",
         *(f"--{option}={path}" for option, path in munge.items())],
        [_program(root, "slurmctld"), "-D", "-c"],
        *([*node_command, "-N", node] for node in (host, "second")),
    )  # fmt: skip
    daemons: list[subprocess.Popen[bytes]] = []
    slurm = Slurm(environment)
    try:
        for command in commands:
            output = (folder / f"{Path(command[0]).name}.out").open("wb")
            daemons.append(subprocess.Popen(command, env=environment, stdout=output, stderr=output))
            until(f"{command[0]} starts", lambda: munge["socket"].exists() or has_ended(daemons))
        until("the nodes are there", lambda: _is_ready(slurm) or has_ended(daemons), pause=0.5)
        if has_ended(daemons):
            pytest.skip(f"Slurm does not start here: {_last_words(folder)}")
        yield slurm
        slurm.call("scancel", "--user=root")
    finally:
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            _wait(daemon)


def has_ended(daemons: list["subprocess.Popen[bytes]"]) -> bool:
    """Tell whether one of the daemons did not stay."""
    return any(daemon.poll() is not None for daemon in daemons)


def _last_words(folder: Path) -> str:
    lines = [line for path in sorted(folder.glob("*.out")) for line in path.read_text(errors="replace").splitlines()]
    return "; ".join(line for line in lines if "fatal" in line or "rror" in line)[:300] or "a daemon ended"


def _is_ready(slurm: Slurm) -> bool:
    asked = subprocess.run(["sinfo", "--noheader"], env={**slurm.environment}, capture_output=True, text=True)
    return " 2 " in asked.stdout and "idle" in asked.stdout


def _wait(daemon: "subprocess.Popen[bytes]") -> None:
    try:
        daemon.wait(20)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _free_ports() -> list[int]:
    sockets = [socket.socket() for _ in range(3)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports
