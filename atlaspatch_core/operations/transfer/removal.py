"""Files that lie in a bucket, removed from the output folder."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from filelock import Timeout

from atlaspatch_core.operations.transfer.contents import LocalState
from atlaspatch_core.operations.transfer.files import lock_of, may_be_removed, stems_among
from atlaspatch_core.operations.transfer.manifest import SharedFile, write_shared
from atlaspatch_core.operations.transfer.sending import UploadedFile, UploadJob


def remove_sent(job: UploadJob, handled: Sequence[UploadedFile], shared: Mapping[str, SharedFile]) -> list[str]:
    """Remove results that are in the bucket and still what was sent, slide by slide under its lock; return which.

    They are forgotten first: a file that was uploaded from here and is gone without having been forgotten is one that
    somebody removed, and its object goes at the next upload. Raises UnwritableOutput.
    """
    sent = [one for one in handled if one.entry and one.path in shared and may_be_removed(one.path)]
    paths = {one.path for one in sent}
    write_shared(job.output, job.place, {path: one for path, one in shared.items() if path not in paths})
    stems = stems_among([one.path for one in handled])
    groups = defaultdict[str, list[UploadedFile]](list)
    for one in sent:
        groups[lock_of(job.output, one.path, stems).lock_file].append(one)
    removed = [path for group in groups.values() for path in _remove_group(job, group, stems)]
    stay = {path: shared[path] for path in paths.difference(removed) if (job.output / path).exists()}
    write_shared(job.output, job.place, {path: one for path, one in shared.items() if path not in paths} | stay)
    return sorted(removed)


def _remove_group(job: UploadJob, group: Sequence[UploadedFile], stems: frozenset[str]) -> list[str]:
    """Remove the files of one lock; none where a process that writes holds it."""
    try:
        with lock_of(job.output, group[0].path, stems).acquire(timeout=0):
            return [one.path for one in group if _remove(job, one)]
    except Timeout:
        return []


def _remove(job: UploadJob, one: UploadedFile) -> bool:
    path = job.output / one.path
    try:
        if path.is_symlink() or LocalState.of(path.stat()) != one.state:
            return False
        path.unlink()
    except FileNotFoundError:
        return False
    return True
