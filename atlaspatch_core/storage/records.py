"""What is remembered of a slide without its pixels: who it is, its scale, and which mask was made for it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from atlaspatch_core.errors import UnreadableOutput
from atlaspatch_core.fingerprint import Identity, short_hash
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.slides.slide import Bounds, Level, SlideInfo
from atlaspatch_core.texts import parse_json

IDENTIFIED_BY = 6
"""Version of what is found out when a slide is identified. Raised where a slide, identified again, may turn out to be
another than its record says: slides of earlier records are opened once more, and most keep their identity."""


def slide_mark(signature: str, path: Path, options: Sequence[Any], identified_by: int) -> str:
    """Return what tells one state of a slide's files, and of what is asked for of it, from another.

    The last option, square pixels, came later: it counts where it is asked for.
    """
    counted = tuple(options) if options[-1] else tuple(options[:-1])
    return short_hash(f"{signature} {shown_path(path)} {counted} {identified_by}")


@dataclass(frozen=True, slots=True)
class SlideRecord:
    """A slide as it was last looked at."""

    info: SlideInfo
    identity: Identity
    signature: str
    """Names, sizes and modification times of its files, hashed: unchanged means the content need not be read again."""
    stated_mpp: float | None
    """µm/px that the user stated, if any; then the file's own was not used."""
    full_hash: bool
    reader: str | None = None
    """Reader that the user asked for, if any; ``info.reader`` is the one that opened it."""
    mpp_keys: tuple[str, ...] = ()
    """Properties in which the user had the mpp looked for."""
    identified_by: int = IDENTIFIED_BY
    """Version of what was found out."""
    square_pixels: bool = False
    """Whether pixels that are not square were to be made so."""

    @property
    def content(self) -> str:
        """Fingerprint of its bytes."""
        return self.identity.spec["content"]

    @property
    def mark(self) -> str:
        """What tells an unchanged slide, asked for in the same way."""
        options = (self.stated_mpp, self.full_hash, self.reader, self.mpp_keys, self.info.series, self.square_pixels)
        return slide_mark(self.signature, self.info.path, options, self.identified_by)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of the slide, a clause each."""
        return self.info.warnings()

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "info": _info_dict(self.info),
            "identity": self.identity.as_dict(),
            "signature": self.signature,
            "stated_mpp": self.stated_mpp,
            "full_hash": self.full_hash,
            "reader": self.reader,
            "mpp_keys": list(self.mpp_keys),
            "look": self.identified_by,
            **({"square_pixels": True} if self.square_pixels else {}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read back what ``as_dict`` gave."""
        identity = Identity.from_dict(values["identity"])
        options = (values["stated_mpp"], values["full_hash"], values.get("reader"), tuple(values.get("mpp_keys", ())))
        later = (values.get("look", 1), values.get("square_pixels", False))
        return cls(_info(values["info"]), identity, values["signature"], *options, *later)


@dataclass(frozen=True, slots=True)
class MaskRecord:
    """The mask that a segmenter made, or that was supplied."""

    identity: Identity
    polygons: str
    """Fingerprint of the polygons as they were written; another one in the GeoJSON means that a person changed it."""
    numbers: Mapping[str, int | float]
    mtime_ns: int = 0
    """Modification time that the GeoJSON got: unchanged means that its polygons need not be read to be known."""
    superseded: str | None = None
    """Fingerprint of the automatic mask before this one, which lies there still after a kill between two writes."""
    supplied: str = ""
    """Signature of the file that a person supplied, empty for a segmenter's mask: unchanged means that it need not be
    read again."""
    drawing: str = ""
    """What tells the drawing in that file from others of equal polygons; empty where no patches depend on it."""

    @property
    def supplied_polygons(self) -> str:
        """Fingerprint of the polygons of the supplied file, empty for a segmenter's mask."""
        return self.identity.spec.get("supplied", "")

    def as_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        names = ("polygons", "mtime_ns", "superseded", "supplied", *(["drawing"] if self.drawing else []))
        values = {name: getattr(self, name) for name in names} | {"numbers": dict(self.numbers)}
        return {"identity": self.identity.as_dict(), **values}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read back what ``as_dict`` gave."""
        identity = Identity.from_dict(values["identity"])
        names = ("polygons", "numbers", "mtime_ns", "superseded")
        later = {name: values.get(name, "") for name in ("supplied", "drawing")}
        return cls(identity, **{name: values[name] for name in names}, **later)


class OutlinesFile(NamedTuple):
    """The GeoJSON of a slide as it was when it was written, or when a run took up what a person saved."""

    sha256: str
    """Of its bytes."""
    mtime_ns: int
    """Another time means that somebody saved it since; other bytes at this time are damage."""


class ForeignOutlines(NamedTuple):
    """Outlines of another tool, as they were taken over."""

    tool: str
    """Whose they are: ``TRIDENT``, ``AtlasPatch`` or ``CLAM``."""
    polygons: str
    """Fingerprint of the polygons: others in the GeoJSON mean that a person changed them since."""
    mtime_ns: int
    """Modification time of the GeoJSON with these polygons."""


class StepNotes(NamedTuple):
    """What a person should know of one output of a slide: what its making, or its last reuse, warned of."""

    fingerprint: str
    """Of the output that they are about; of another one they say nothing."""
    texts: tuple[str, ...]
    """A clause each."""


PICTURES = " pictures"
"""What follows the name of an output where notes are on its pictures alone, which may fail when it is long valid."""

PLACEMENT = " placement"
"""What follows it where notes are on whether outlines that a person drew lie on the tissue, which is looked at once."""


@dataclass(frozen=True, slots=True)
class Record:
    """All that is remembered of one slide."""

    slide: SlideRecord | None = None
    tissue_mask: MaskRecord | None = None
    notes: Mapping[str, StepNotes] = field(default_factory=dict)
    """Output, as text, or its pictures, to the notes on it, where there are some. They decide nothing."""
    written: tuple[str, ...] = ()
    """Geometries whose HDF5 file was written here: one that is damaged now was ours."""
    outlines: OutlinesFile | None = None
    """None where it was last written before there were checksums."""
    foreign_outlines: ForeignOutlines | None = None
    """None where no outlines of another tool were taken over."""

    def with_notes(self, step: str, notes: StepNotes) -> "Record":
        """Return the record with these notes on an output, or with none where they have no text."""
        others = {name: of_step for name, of_step in self.notes.items() if name != step}
        return replace(self, notes=others | ({step: notes} if notes.texts else {}))

    def with_results(self, geometry: str) -> "Record":
        """Return the record that says that the HDF5 file of a geometry was written."""
        return replace(self, written=tuple(sorted({*self.written, geometry})))

    def to_bytes(self) -> bytes:
        """Return the JSON file's content; equal records give equal bytes."""
        sections = {"slide": self.slide, "tissue_mask": self.tissue_mask}
        values: dict[str, Any] = {name: section.as_dict() for name, section in sections.items() if section}
        values |= {"notes": {step: list(of_step) for step, of_step in sorted(self.notes.items())}} if self.notes else {}
        values |= {"written": list(self.written)} if self.written else {}
        values |= {"outlines": list(self.outlines)} if self.outlines else {}
        values |= {"foreign_outlines": list(self.foreign_outlines)} if self.foreign_outlines else {}
        return _json_bytes(values | {CHECKSUM: _checksum(values)})


BEFORE_CHECKSUMS = frozenset({"slide", "tissue_mask", "notes", "written"})
"""Sections of records that were written before there were checksums."""
CHECKSUM = "sha256"
"""Key of the checksum of all other sections."""


def _json_bytes(values: Mapping[str, Any]) -> bytes:
    return (json.dumps(values, indent=1, ensure_ascii=False) + "\n").encode()


def _checksum(values: Mapping[str, Any]) -> str:
    return hashlib.sha256(_json_bytes(values)).hexdigest()


def _check(values: dict[str, Any]) -> None:
    """Raise ValueError for a record that is not what was written; one without checksum has no later section."""
    stated = values.pop(CHECKSUM, None)
    if stated is None and (unknown := values.keys() - BEFORE_CHECKSUMS):
        raise ValueError(f"it has no checksum, but {', '.join(sorted(unknown))}")
    if stated is not None and stated != _checksum(values):
        raise ValueError("it is not what was written: its sha256 is another")


def has_checksum(path: Path) -> bool:
    """Tell whether a record that can be read has a checksum."""
    return CHECKSUM in parse_json(path.read_bytes())


def read_record(path: Path) -> Record:
    """Return the record at ``path``, an empty one when there is none. Raises UnreadableOutput when it is damaged."""
    if not path.exists():
        return Record()
    try:
        values = parse_json(path.read_bytes())
        _check(values)
        slide, mask = values.get("slide"), values.get("tissue_mask")
        notes = {step: StepNotes(of, tuple(texts)) for step, (of, texts) in values.get("notes", {}).items()}
        written = tuple(map(str, values.get("written", ())))
        outlines = OutlinesFile(*values["outlines"]) if "outlines" in values else None
        foreign = ForeignOutlines(*values["foreign_outlines"]) if "foreign_outlines" in values else None
        sections = slide and SlideRecord.from_dict(slide), mask and MaskRecord.from_dict(mask)
        return Record(*sections, notes, written, outlines, foreign)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnreadableOutput(f"{path.stem}: {path} cannot be read ({error!r}); delete it and run again") from error


def _info_dict(info: SlideInfo) -> dict[str, Any]:
    values = {name: getattr(info, name) for name in SlideInfo.__slots__ if name != "properties"}
    values["bounds"] = info.bounds and asdict(info.bounds)
    values |= {"path": shown_path(info.path), "levels": list(map(_level_row, info.levels)), "notes": list(info.notes)}
    values = values if info.plugin else {name: value for name, value in values.items() if name != "plugin"}
    if not info.file_levels:
        return {name: value for name, value in values.items() if name not in ("file_px", "file_levels")}
    return values | {"file_px": list(info.file_px), "file_levels": list(map(_level_row, info.file_levels))}


def _level_row(level: Level) -> list[Any]:
    return [level.width, level.height, level.downsample, *([list(level.axes)] if level.axes else [])]


def _level(width: int, height: int, downsample: float, axes: Sequence[float] = ()) -> Level:
    return Level(width, height, downsample, (axes[0], axes[1]) if axes else None)


def _info(values: Mapping[str, Any]) -> SlideInfo:
    levels = tuple(_level(*level) for level in values["levels"])
    stated, notes = values.get("bounds"), tuple(values.get("notes", ()))
    bounds = Bounds(**stated) if stated else None
    file_px, file_levels = tuple(values.get("file_px", (1.0, 1.0))), values.get("file_levels", ())
    stored = {"file_px": file_px, "file_levels": tuple(_level(*level) for level in file_levels)}
    changed = {"path": Path(values["path"]), "levels": levels, "bounds": bounds, "notes": notes} | stored
    return SlideInfo(**(dict(values) | changed))
