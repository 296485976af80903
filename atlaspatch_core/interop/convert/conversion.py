"""Slides in, converted files out; each is whole and verified before it has its name."""

import logging
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from time import perf_counter

from atlaspatch_core.discovery.sources import SlideSource, replaced_slide
from atlaspatch_core.errors import AtlasPatchError, ImplausibleScale, Unexpected, UnreadableOutput, UnwritableOutput
from atlaspatch_core.fingerprint import Identity, why_stale
from atlaspatch_core.interop.convert.settings import Settings
from atlaspatch_core.interop.convert.sources import PixelSource, is_picture, open_pixels
from atlaspatch_core.interop.convert.tiff_writer import identity_in, identity_of, write_pyramid
from atlaspatch_core.interop.convert.verification import verify_conversion
from atlaspatch_core.interop.convert.vips import reason, share_cores, vips
from atlaspatch_core.slides.content_hash import content_fingerprint
from atlaspatch_core.slides.isolated import call_reader
from atlaspatch_core.slides.mpp import MOST_MPP
from atlaspatch_core.slides.readers import check_file
from atlaspatch_core.slides.readers.advice import CONVERT
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.slides.watch import SlideWatch
from atlaspatch_core.storage.atomic import remove_half_written, replacing, slide_lock
from atlaspatch_core.validity.outcome import Status

log = logging.getLogger(__name__)

SUFFIX = ".tiff"
EXPORT = "have the software that opens it save another format"
"""What to do instead of the readers' advice, which is to use this very command."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of one slide."""

    stem: str
    status: Status
    """Computed, reused or failed."""
    why: str = ""
    """Why it was converted anew, or how it failed: one sentence."""
    path: Path | None = None
    info: SlideInfo | None = None
    """Of the converted file, as it was read back."""
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    """What is odd about the slide, a clause each."""


class Stopped(Exception):
    """Nobody wants the result any more."""


def convert_slides(
    sources: Sequence[SlideSource], folder: Path, settings: Settings, *, workers: int = 1, force: bool = False
) -> Generator[Converted]:
    """Convert slides to ``<folder>/<stem>.tiff``: pyramidal, tiled BigTIFF, read back and compared with the slide.

    What killed processes left half-written in the folder is removed first. Closing the iterator ends conversions at
    their next strip, and waits for them.

    Args:
        sources: Slides of any readable format, RGB of 8 bits.
        folder: Where the files go; not where the slides lie.
        settings: Compression, JPEG quality 1 to 100, px of the slide per px of the result (≥ 1).
        workers: Slides at once, ≥ 1.
        force: Convert anew, also over a file that this package did not make.

    Yields:
        What became of every slide, as it comes: computed, reused (verified and kept) or failed, with the reason.

    Raises:
        MissingExtra: libvips is not installed: the extra ``convert``.

    Example:
        >>> for done in convert_slides(sources, Path("converted"), Settings(downscale=4)):
        ...     print(done.path, done.status, done.info.width, round(done.info.mpp, 3))
        converted/CMU-1-Small-Region.tiff computed 555 1.996
    """
    share_cores(workers)
    vips()
    remove_half_written(folder, [folder])
    stop = Event()
    with ThreadPoolExecutor(workers, "convert") as pool:
        tasks = [pool.submit(try_convert, source, folder, settings, force=force, stop=stop) for source in sources]
        try:
            for task in as_completed(tasks):
                yield task.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def try_convert(source: SlideSource, folder: Path, settings: Settings, *, force: bool, stop: Event) -> Converted:
    """Convert one slide; whatever goes wrong is the fate of this slide alone."""
    since = perf_counter()
    try:
        if is_picture(source.path):  # libvips itself decodes it
            _checker(stop)()
            return call_reader(source.stem, "while it was converted", convert_picture, source, folder, settings, force)
        return convert(source, folder, settings, force=force, check=_checker(stop))
    except AtlasPatchError as error:
        why = str(error).replace(CONVERT, EXPORT)
    except Stopped:
        why = f"{source.stem}: interrupted; run again to go on"
    except Exception as error:  # a slide that breaks a library in a way nobody foresaw stops no other
        log.exception("%s: conversion failed unexpectedly", source.stem)
        why = str(Unexpected(f"{source.stem}: conversion failed unexpectedly: {error!r}"))
    return Converted(source.stem, Status.FAILED, why, seconds=perf_counter() - since)


def convert_picture(source: SlideSource, folder: Path, settings: Settings, force: bool) -> Converted:
    """Convert a plain picture to its end, as ``convert`` does."""
    share_cores(1)
    return convert(source, folder, settings, force=force, check=lambda: None)


def convert(
    source: SlideSource, folder: Path, settings: Settings, *, force: bool = False, check: Callable[[], None]
) -> Converted:
    """Convert one slide to ``<folder>/<stem>.tiff``, unless that lies there and is verified to be the same.

    Raises UnreadableSlide, UnknownScale, ImplausibleScale; UnwritableOutput, also where a file of that name lies that
    was not converted by this package and ``force`` is not set; UnreadableOutput when the result is not as the slide.
    """
    since, path = perf_counter(), folder / f"{source.stem}{SUFFIX}"
    check()
    check_file(source.path)
    watch = SlideWatch(source.path)

    def check_unchanged() -> None:
        if watch.is_changed():
            raise replaced_slide(source)

    with slide_lock(folder, source.stem), open_pixels(source) as pixels:
        _check_scale(source.stem, pixels, settings)
        content = content_fingerprint(source.path)
        identity = identity_of(content, pixels.mpp, settings, source.series)
        check_unchanged()  # since it was opened
        watch.expect_content(content, full_hash=False)
        stored, why = (None, "forced") if force else _stored(source, path, pixels, settings, identity)
        info = stored or _write(source.stem, path, pixels, settings, identity, check, check_unchanged)
        status = Status.REUSED if stored else Status.COMPUTED
        return Converted(source.stem, status, why, path, info, perf_counter() - since, pixels.notes)


def _stored(
    source: SlideSource, path: Path, pixels: PixelSource, settings: Settings, identity: Identity
) -> tuple[SlideInfo | None, str]:
    """Return the file that lies there when it is the same, else why it is not.

    Raises UnwritableOutput for a file that is somebody else's.
    """
    if not path.exists():
        return None, ""
    stored = identity_in(path)
    if stored is None:
        raise UnwritableOutput(
            f"{source.stem}: {path} was not made by atlaspatch convert; move it away, or use --force to replace it"
        )
    if stored.fingerprint != identity.fingerprint:
        return None, why_stale(stored, identity)
    try:
        return verify_conversion(source.stem, path, pixels, settings), ""
    except UnreadableOutput as error:
        return None, str(error)


def _write(
    stem: str,
    path: Path,
    pixels: PixelSource,
    settings: Settings,
    identity: Identity,
    check: Callable[[], None],
    check_unchanged: Callable[[], None],
) -> SlideInfo:
    """Write and verify under a temporary name, then take the name. Raises ReplacedSlide."""
    with replacing(path) as temporary:
        try:
            with pixels.image(check) as image:
                write_pyramid(image, temporary, pixels.mpp, settings, identity)
        except vips().Error as error:
            raise UnwritableOutput(
                f"{stem}: cannot be converted ({reason(error)}); copy the slide again, or free space in {path.parent}"
            ) from error
        info = verify_conversion(stem, temporary, pixels, settings)
        check_unchanged()
        return info


def _check_scale(stem: str, pixels: PixelSource, settings: Settings) -> None:
    mpp = pixels.mpp * settings.downscale
    if mpp > MOST_MPP:
        raise ImplausibleScale(
            f"{stem}: {pixels.mpp:.6g} µm/px downscaled by {settings.downscale:g} is {mpp:.6g} µm/px, more than "
            f"{MOST_MPP:g}; downscale by less"
        )


def _checker(stop: Event) -> Callable[[], None]:
    def check() -> None:
        if stop.is_set():
            raise Stopped

    return check
