"""Files that are DICOM as far as a search for slides reads them."""

from pathlib import Path


def dicom_head(path: Path, series: str, *, implicit: bool = False) -> Path:
    """Write the head of a DICOM file as far as the tag of its series."""
    uid = series.encode() + b"\0" * (len(series) % 2)
    length = len(uid).to_bytes(4, "little") if implicit else b"UI" + len(uid).to_bytes(2, "little")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(128) + b"DICM" + bytes(40) + b"\x20\x00\x0e\x00" + length + uid + bytes(64))
    return path
