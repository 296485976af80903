"""Widths of pixels that a file states and that no pixel has: 0, negative, infinite, not a number, or no number."""

import re
from collections.abc import Iterator, Mapping, Sequence

from atlaspatch_core.hidden_names import are_names_hidden
from atlaspatch_core.slides.lengths import UNKNOWN_UNIT
from atlaspatch_core.slides.stated_scales import DIRECT_KEYS, TAG_KEYS, TEXT_KEYS, positive_number, unit_of_tags

SOURCE_KEYS = (
    "mirax.LAYER_0_LEVEL_0_SECTION.MICROMETER_PER_PIXEL_X", "mirax.LAYER_0_LEVEL_0_SECTION.MICROMETER_PER_PIXEL_Y",
    "ventana.ScanRes",
    "dicom.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing[0]",
    "dicom.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing[1]",
)  # fmt: skip
"""Properties of vendors of which OpenSlide makes its own, where they can be used."""
WIDTH_IN_TEXT = re.compile(r"(?:\bmpp|microns per pixel)[\"']?\s*[=:]\s*[\"']?([^\s|;\"'}]+)", re.IGNORECASE)
"""What a description says where it states a width, a number or not."""
NUMBER = re.compile(r"[-+]?(nan|inf|infinity|[0-9.,]+(e[-+]?[0-9]+)?)", re.IGNORECASE)
MOST_NAMED, MOST_SIGNS = 3, 40


def unusable_scales(properties: Mapping[str, str], named: Sequence[str] = ()) -> str:
    """Return a clause on the widths that are stated and cannot be used, or an empty text.

    ``named`` are properties in which the user has the width looked for. One value under several names is told once;
    a text that is no number is not quoted where names are hidden, for it may be anything.
    """
    by_value: dict[str, str] = {}
    for key, text in _stated(properties, named):
        if positive_number(text) is None:
            by_value.setdefault(_value(text), key)
    clauses = [f"{key} is {value}" for value, key in by_value.items()]
    if len(clauses) > MOST_NAMED:
        clauses = [*clauses[:MOST_NAMED], "…"]
    unit = properties.get(UNKNOWN_UNIT)
    units = [f"it states {'a length' if are_names_hidden() else unit}, which is no length"] if unit else []
    return "; ".join([f"{', '.join(clauses)}, which is no scale"] * bool(clauses) + units)


def _stated(properties: Mapping[str, str], named: Sequence[str]) -> Iterator[tuple[str, str]]:
    keys = [*named, *DIRECT_KEYS, *SOURCE_KEYS, *(TAG_KEYS if unit_of_tags(properties) else ())]
    yield from ((key, text) for key in keys if (text := properties.get(key, "").strip()))
    for key in TEXT_KEYS:
        yield from ((key, match[1]) for match in WIDTH_IN_TEXT.finditer(properties.get(key, "")))


def _value(text: str) -> str:
    """Return what is stated, in words; numbers that are the same have the same."""
    if NUMBER.fullmatch(text):
        try:
            return f"{float(text.replace(',', '.')):g}"
        except ValueError:
            return repr(text[:MOST_SIGNS])
    return "no number" if are_names_hidden() else repr(text[:MOST_SIGNS])
