"""Lengths as metadata state them, in µm."""

UM_PER_UNIT = {
    "nm": 1e-3, "µm": 1.0, "um": 1.0, "micrometer": 1.0, "micron": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "pm": 1e-6,
    "inch": 25_400.0, "in": 25_400.0, "ft": 304_800.0, "å": 1e-4, "angstrom": 1e-4,
}  # fmt: skip
"""Lengths that OME-XML and NGFF state pixels in, to µm; "pixel" and "reference frame" are none."""


def um_of(number: str | float | None, unit: str | None) -> float | None:
    """Return a length in µm, or None where number or unit is none."""
    factor = UM_PER_UNIT.get((unit or "").strip().lower().replace("μ", "µ").replace("micrometre", "micrometer"))
    try:
        return None if number is None or factor is None else float(number) * factor
    except ValueError:
        return None
