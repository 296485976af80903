"""Lengths as metadata state them, in µm."""

from collections.abc import Iterator

UM_PER_UNIT = {
    "nm": 1e-3, "µm": 1.0, "um": 1.0, "micrometer": 1.0, "micron": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6,
    "dm": 1e5, "km": 1e9, "inch": 25_400.0, "in": 25_400.0, "ft": 304_800.0, "yd": 914_400.0, "thou": 25.4,
    "li": 25_400 / 12, "pt": 25_400 / 72, "å": 1e-4, "angstrom": 1e-4,
}  # fmt: skip
"""Lengths that OME-XML and NGFF state pixels in, to µm; "pixel" and "reference frame" are none."""
MICRO = ("micrometre", "micrometer"), ("microns", "micron"), ("μ", "µ"), ("\\u00b5", "µ")
"""Other spellings, the last one that of ImageJ."""

UNKNOWN_UNIT = "unknown unit"
"""Property: a width of pixels that no unit of length is stated of, in words."""


def um_of(number: str | float | None, unit: str | None) -> float | None:
    """Return a length in µm, or None where number or unit is none."""
    spelled = (unit or "").strip().lower()
    for other, usual in MICRO:
        spelled = spelled.replace(other, usual)
    factor = UM_PER_UNIT.get(spelled)
    try:
        return None if number is None or factor is None else float(number) * factor
    except ValueError:
        return None


def unknown_unit(number: str | float | None, unit: str | None) -> Iterator[tuple[str, str]]:
    """Yield what is stated in a unit that is no length known here, as a property; nothing where it can be used."""
    if number is not None and um_of(number, unit) is None:
        yield UNKNOWN_UNIT, f"{number} in the unit {unit!r}" if unit else f"{number} without a unit"
