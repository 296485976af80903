"""Who made a slide and how it is stained, as far as its properties tell."""

from collections.abc import Mapping

VENDOR_KEYS = ("openslide.vendor", "tiff.make", "tiff.model", "hamamatsu.model", "leica.scanner")
INSTITUTION_KEYS = (
    "tiff.institution", "tiff.institutionname", "aperio.institution", "openslide.institution", "dicom.institutionname",
)  # fmt: skip
STAIN_KEYS = ("aperio.stain", "aperio.staindescription", "openslide.stain", "hamamatsu.stain", "philips.stain")


def vendor_of(properties: Mapping[str, str]) -> str | None:
    """Return the maker of the scanner."""
    return label(properties, VENDOR_KEYS, "vendor")


def institution_of(properties: Mapping[str, str]) -> str | None:
    """Return the laboratory."""
    return label(properties, INSTITUTION_KEYS, "institution")


def stain_of(properties: Mapping[str, str]) -> str | None:
    """Return the stain."""
    return label(properties, STAIN_KEYS, "stain")


def label(properties: Mapping[str, str], keys: tuple[str, ...], word: str) -> str | None:
    """Return the first text under ``keys``, whatever their case, or else under any key that contains ``word``."""
    texts = {key.lower(): text.strip() for key, text in properties.items() if text.strip()}
    candidates = [*keys, *(key for key in texts if word in key)]
    return next((texts[key] for key in candidates if key in texts), None)
