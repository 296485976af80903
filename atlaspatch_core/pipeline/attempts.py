"""One step of one slide or case tried: what goes wrong is an outcome, and stops no other."""

import logging
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import TypeVar

from atlaspatch_core.config.project import Project
from atlaspatch_core.discovery.lost_folders import lost_folder
from atlaspatch_core.discovery.transient import causes, is_transient
from atlaspatch_core.encoders.devices import is_lost
from atlaspatch_core.errors import (
    AtlasPatchError,
    DamagedOutput,
    ForeignExit,
    LostDevice,
    LostSlides,
    MachineFault,
    MissingCoords,
    NotEnoughMemory,
    Unexpected,
    UnusableOutput,
    UnwritableOutput,
)
from atlaspatch_core.plugins.foreign_code import foreign_place_of, no_exit
from atlaspatch_core.storage.damage import mark_damaged
from atlaspatch_core.storage.store import Store
from atlaspatch_core.storage.writable import FULL, check_writable
from atlaspatch_core.validity.outcome import Outcome, OutputKey, Status

log = logging.getLogger(__name__)

Result = TypeVar("Result")


def attempt_step(
    project: Project, stem: str, step: OutputKey, action: Callable[[], Result], slide: Path | None = None
) -> Result | Outcome:
    """Return what the action returns, or the failed outcome of the step; steps downstream will be skipped.

    ``stem`` is that of the slide, which lies at ``slide``, or the id of the case. This is the one place of the pipeline
    that catches everything.
    What was not foreseen is logged with its traceback.
    Raises ForeignExit where code of others would end the program, UnusableOutput where it is the output folder that
    failed, and not the slide or case; LostSlides where a folder of slides went away; LostDevice where a device failed.
    """
    since = perf_counter()
    try:
        with no_exit(f"{stem}: what {step} calls"):
            return action()
    except (MachineFault, ForeignExit):
        raise
    except AtlasPatchError as error:
        stop_where_machine_fails(project, error, slide)
        stop_where_device_failed(stem, error)
        failure = error
    except MemoryError as error:
        failure = _not_enough_memory(stem, step, error)
    except Exception as error:  # a slide that breaks a library in a way nobody foresaw stops no other
        stop_where_machine_fails(project, error, slide)
        stop_where_device_failed(stem, error)
        log.exception("%s: %s failed unexpectedly", stem, step)
        failure = Unexpected(f"{stem}: {step} failed unexpectedly: {error!r}{foreign_place_of(error)}")
        failure.__cause__ = error
    seconds, transient = perf_counter() - since, is_transient(failure)
    lacks_coords = isinstance(failure, MissingCoords)
    details = {"seconds": seconds, "transient": transient, "lacks_coords": lacks_coords}
    return Outcome(stem, step, Status.FAILED, why=str(failure), **details)


def with_damage_marked(store: Store, action: Callable[[], Result]) -> Result:
    """Return what the action returns. Raises DamagedOutput, after marking what is damaged for the next run."""
    try:
        return action()
    except DamagedOutput as damage:
        try:
            done = mark_damaged(store, Path(damage.path)) if damage.path else ""
        except AtlasPatchError as error:
            log.debug("%s is not marked as damaged: %r", damage.path, error)
            done = ""
        if not done:
            raise
        what = str(damage).partition("; ")[0]
        raise DamagedOutput(f"{what}; it was {done}, and the next run computes it anew") from damage


def _not_enough_memory(stem: str, step: OutputKey, error: MemoryError) -> NotEnoughMemory:
    cause = " ".join(str(error).split())
    message = f"{stem}: {step} needs more memory than there is ({cause}); take smaller patches or batches"
    shortage = NotEnoughMemory(message)
    shortage.__cause__ = error
    return shortage


def stop_where_machine_fails(project: Project, error: BaseException, slide: Path | None = None) -> None:
    """Raise UnusableOutput or LostSlides where an error came of the output folder, or of a folder of slides."""
    stop_where_output_is_unusable(project, error)
    if fault := lost_folder(project, slide):
        raise LostSlides(fault) from error


def stop_where_device_failed(stem: str, error: BaseException) -> None:
    """Raise LostDevice where an error says that the device failed: this process would fail all other slides, too."""
    if any(is_lost(cause) for cause in causes(error)):
        what = str(error).partition("\n")[0]
        raise LostDevice(
            f"{stem}: the device failed while this slide was computed ({what}); run it again, and see the driver's "
            f"log (dmesg, nvidia-smi) where it happens twice"
        ) from error


def stop_where_output_is_unusable(project: Project, error: BaseException) -> None:
    """Raise UnusableOutput where an error came of an output folder that is full, read-only or gone."""
    numbers = {cause.errno for cause in causes(error) if isinstance(cause, OSError)}
    if not numbers and not isinstance(error, UnwritableOutput):
        return
    check_writable(project.output, [geometry.name for geometry in project.geometry])
    if isinstance(error, UnwritableOutput) and numbers & FULL:  # what is small still fits
        raise UnusableOutput(str(error)) from error
