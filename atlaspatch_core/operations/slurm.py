"""An sbatch script for a project: an array of tasks, each of which takes its part of the slides."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.search import root_of
from atlaspatch_core.discovery.shard_slides import slide_weights
from atlaspatch_core.discovery.shards import divide
from atlaspatch_core.discovery.sources import Discovery
from atlaspatch_core.operations.fetching import folders_of
from atlaspatch_core.operations.slurm_job import SlurmJob


def sbatch_script(project: Project, project_file: Path, discovery: Discovery, job: SlurmJob) -> str:
    """Return the script. Slides are opened, which the output folder remembers for the tasks."""
    lines = [
        "#!/bin/bash",
        *_comments(project_file, discovery, project, job),
        *(f"#SBATCH {directive}" for directive in _directives(job)),
        "set -euo pipefail",
        "trap : TERM  # Slurm tells the program as well, which keeps what is finished and ends",
        *_exports(job),
        " ".join([*_program(project, project_file, job), *_arguments(project_file), _shard(job)]),
    ]
    return "\n".join(lines) + "\n"


def _comments(project_file: Path, discovery: Discovery, project: Project, job: SlurmJob) -> Iterator[str]:
    weights = slide_weights(discovery, project)
    loads = [sum(part.values()) for part in divide(weights, job.tasks)]
    yield f"# {len(weights):,} slides in {job.tasks} tasks of {min(loads):,} to {max(loads):,} expected patches each"
    yield "# Start: sbatch FILE    Some tasks again, with the same slides: sbatch --array=3,7 FILE"
    record = " ".join(
        [*_program(project, project_file, job, in_script=False), "record", "--project", _quoted(project_file)]
    )
    yield f"# Then tell: sbatch --dependency=afterany:JOB --wrap {shlex.quote(record)}"


def _directives(job: SlurmJob) -> Iterator[str]:
    yield "--job-name=atlaspatch"
    yield f"--array=1-{job.tasks}"
    yield f"--cpus-per-task={job.cpus} --mem={job.memory} --time={job.time}"
    if job.gpus:
        yield f"--gres=gpu:{job.gpus}"
    if job.partition:
        yield f"--partition={job.partition}"
    if job.account:
        yield f"--account={job.account}"
    yield from job.sbatch
    yield "--requeue --open-mode=append"
    folder = str(job.logs.absolute()).replace("%", "%%")
    yield f"--output={shlex.quote(f'{folder}/%A_%a.log')}"


def _exports(job: SlurmJob) -> Iterator[str]:
    if job.environment:
        yield f'export PATH={_quoted(job.environment / "bin")}:"$PATH"'
    yield 'export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"'
    yield 'node_disk="${SLURM_TMPDIR:-${TMPDIR:-/tmp}}/atlaspatch-$(id -u)"'
    yield 'export ATLASPATCH_CACHE="$node_disk" HF_MODULES_CACHE="$node_disk/modules"'
    if job.weights:
        variables = " ".join(f"{name}={shlex.quote(place)}" for name, place in folders_of(job.weights).items())
        yield f"export {variables} HF_HUB_OFFLINE=1"


def _program(project: Project, project_file: Path, job: SlurmJob, *, in_script: bool = True) -> Sequence[str]:
    """Return what begins a command line."""
    if job.environment and not in_script:  # outside of the script, which has the PATH
        return [_quoted(job.environment / "bin" / "atlaspatch")]
    if not job.container:
        return ["atlaspatch"]
    binds = (word for place in _places(project, project_file, job) for word in ("--bind", shlex.quote(place)))
    nv = ["--nv"] if job.gpus and in_script else []
    return ["apptainer", "exec", *nv, *binds, _quoted(job.container), "atlaspatch"]


def _places(project: Project, project_file: Path, job: SlurmJob) -> list[str]:
    """Return the folders that a container has to see."""
    slides = project.slides
    files = (project_file, slides.slide_list, slides.mpp_csv, slides.pseudonyms, *project.plugins)
    folders = (project.output, *map(root_of, slides.folders), slides.masks, job.weights)
    places = (*(file.parent for file in files if file), *(folder for folder in folders if folder))
    return list(dict.fromkeys(str(place.absolute()) for place in (*places, *project.weights.values())))


def _arguments(project_file: Path) -> Sequence[str]:
    return ["materialize", "--project", _quoted(project_file)]


def _shard(job: SlurmJob) -> str:
    """Return the part of a task by its number alone, so that a second array of some tasks takes the same slides."""
    return f'--shard "$SLURM_ARRAY_TASK_ID/{job.tasks}"'


def _quoted(path: Path) -> str:
    return shlex.quote(str(path.absolute()))
