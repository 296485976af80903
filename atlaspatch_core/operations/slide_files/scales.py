"""All that is said of a slide's scale, and which of it counts."""

from collections.abc import Iterator

from atlaspatch_core.operations.slide_files.values import StatedMagnification, StatedScale
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.slides.stated_scales import (
    MAGNIFICATION_KEYS,
    OTHER_PAGE_MPP,
    Mpp,
    find_statements,
    first_number,
)


def stated_scales(info: SlideInfo, *, has_scale: bool, is_users: bool) -> tuple[StatedScale, ...]:
    """Return every statement of µm per px, the one that counts first; exactly one does where the slide has a scale.

    ``is_users`` says that the user's number counts.
    """
    applied = Mpp(info.mpp, info.mpp_source) if has_scale else None
    of_file = tuple(_of_file(info, None if is_users else applied))
    if applied and not any(one.counts for one in of_file):
        return (
            StatedScale(applied.source, applied.value, applied.value, _origin(applied, info, is_users), True),
            *of_file,
        )
    return tuple(sorted(of_file, key=lambda one: not one.counts))


def stated_magnifications(info: SlideInfo, *, has_scale: bool) -> tuple[StatedMagnification, ...]:
    """Return every statement of the magnification, the one that counts first."""
    applied = Mpp(info.magnification, info.magnification_source) if has_scale else None
    powers = [power for key in MAGNIFICATION_KEYS if (power := first_number(info.properties, (key,)))]
    of_file = [StatedMagnification(power.source, power.value, power == applied) for power in powers]
    if applied and applied not in powers:
        return (StatedMagnification(applied.source, applied.value, True), *of_file)
    return tuple(sorted(of_file, key=lambda one: not one.counts))


def _origin(applied: Mpp, info: SlideInfo, is_users: bool) -> str:
    """Return where a number comes from that is no statement of a known form."""
    if is_users:
        return "user"
    return "named" if applied.source in info.properties and applied.source not in MAGNIFICATION_KEYS else "derived"


def _of_file(info: SlideInfo, applied: Mpp | None) -> Iterator[StatedScale]:
    for mpp, sides, origin in find_statements(info.properties):
        yield StatedScale(mpp.source, *sides, origin, mpp == applied)
    if other := first_number(info.properties, (OTHER_PAGE_MPP,)):
        yield StatedScale(other.source, other.value, other.value, "text", other == applied)
