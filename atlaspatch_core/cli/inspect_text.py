"""An inspection as text, 100 letters wide."""

from collections.abc import Iterator, Mapping
from typing import Any

from atlaspatch_core.cli.columns import WIDTH, capped, columns, paragraph

MOST_PARTS = 24
"""Parts that are listed; ``--json`` lists all."""
INDENT = "  "

Values = Mapping[str, Any]
"""What ``inspection_values`` gives."""


def inspection_lines(values: Values) -> list[str]:
    """Return the lines."""
    sections = (
        ("Levels", _levels(values)),
        ("Pixels", _pixels(values)),
        ("Scale (→ counts)", _scales(values)),
        ("Magnification (→ counts)", _magnifications(values)),
        ("The file holds", _parts(values)),
        ("Readers, in the order in which they are asked", _readers(values)),
        ("Warnings", _warnings(values)),
    )
    lines = list(_head(values))
    for title, body in sections:
        if texts := list(body):
            lines += ["", title, *texts]
    return lines


def _head(values: Values) -> Iterator[str]:
    files = f", {values['files']:,} files" if values["files"] > 1 else ""
    yield from paragraph(f"{values['path']} ({_size(values['bytes'])}{files})", hanging=INDENT)
    opening = values["taken"]
    if opening:
        yield from paragraph(f"{_opens(values, opening)}.", hanging=INDENT)
    if values["error"]:
        yield from paragraph(f"REFUSED: {values['error']}", hanging=INDENT)


def _opens(values: Values, opening: Values) -> str:
    words = [f"{opening['width']} × {opening['height']} px"]
    words += [f"{opening['mpp']:.6g} µm/px", f"{opening['magnification']:g}x"] if opening["mpp"] else ["no scale"]
    words += [f"image {opening['series']} of the file, as asked"] if opening["series"] is not None else []
    words += [f"made by {opening['vendor']}"] if opening["vendor"] else []
    words += [f"stain {opening['stain']}"] if opening["stain"] else []
    words += [f"{opening['reading']}"] if opening["reading"] else []
    return f"{opening['reader']}{' would read' if values['error'] else ' reads'} {', '.join(words)}"


def _levels(values: Values) -> Iterator[str]:
    if not values["levels"]:
        return
    head = ("level", "px", "downsample", "tile", "compression", "is", "tiles not stored")
    absent = any(level["absent_tiles"] for level in values["levels"])
    rows = [head, *(_level(level) for level in values["levels"])]
    yield from columns([row if absent else row[:-1] for row in rows], INDENT, WIDTH)
    bounds = values["taken"]["bounds"]
    if bounds:
        yield from paragraph("scanned: {width} × {height} px from ({x}, {y}) of level 0".format(**bounds), INDENT)


def _level(level: Values) -> tuple[str, ...]:
    across, down = level["downsample_x"], level["downsample_y"]
    scale = f"{across:.6g}" if across == down else f"{across:.6g}, {down:.6g}"
    size = f"{level['width']} × {level['height']}"
    how = _tile(level), level["compression"] or "", level["part"] or ""
    return str(level["level"]), size, scale, *how, str(level["absent_tiles"] or "")


def _pixels(values: Values) -> Iterator[str]:
    pixels, planes = values["pixels"], values["planes"]
    if not pixels:
        return
    words = []
    if pixels["samples"]:
        meant = f" ({pixels['colours']})" if pixels["colours"] else ""
        words.append(f"{pixels['samples']} × {pixels['bits']} bits{meant}")
    words.append("with transparency" if pixels["alpha"] else "no transparency")
    words.append(f"background {pixels['background']}")
    words.append(_icc(pixels["icc_profile"]))
    words += [f"{planes['focal']} focal planes"] if planes["focal"] > 1 else []
    words += [f"{planes['time']} time points"] if planes["time"] > 1 else []
    yield from paragraph(", ".join(words), INDENT)


def _icc(profile: Values | None) -> str:
    if not profile:
        return "no ICC profile"
    name = f" ({profile['name']})" if profile["name"] else ""
    return f"ICC profile of {profile['bytes']:,} bytes{name}, which is not applied"


def _scales(values: Values) -> Iterator[str]:
    rows = [
        ("→" * scale["counts"], f"{_sides(scale)} µm/px", scale["source"], scale["origin"])
        for scale in values["scales"]
    ]
    yield from columns(rows, INDENT, WIDTH)
    if page := values["described_page"]:
        yield f"{INDENT}the text describes a page of {page['width']} × {page['height']} px"


def _sides(scale: Values) -> str:
    return f"{scale['x']:.6g}" if scale["x"] == scale["y"] else f"{scale['x']:.6g} × {scale['y']:.6g}"


def _magnifications(values: Values) -> Iterator[str]:
    rows = [
        ("→" * magnification["counts"], f"{magnification['value']:g}x", magnification["source"])
        for magnification in values["magnifications"]
    ]
    yield from columns(rows, INDENT, WIDTH)


def _parts(values: Values) -> Iterator[str]:
    if values["parts_unknown"]:
        yield from paragraph(f"cannot be listed: {values['parts_unknown']}", INDENT)
    rows = list(capped([_part(part) for part in values["parts"]], MOST_PARTS))
    if rows:
        yield from columns([("", "px", "tile", "compression", "samples", "role", "--series"), *rows], INDENT, WIDTH)


def _part(part: Values) -> tuple[str, ...]:
    samples = f"{part['samples']} × {part['bits']} bits" if part["samples"] else ""
    role = f"level {part['level']}" if part["level"] is not None else part["role"]
    series = "" if part["series"] is None else str(part["series"])
    name, size = f"{part['kind']} {part['name']}", f"{part['width']} × {part['height']}"
    return name, size, _tile(part), part["compression"], samples, role, series


def _tile(part: Values) -> str:
    return f"{part['tile_width']} × {part['tile_height']}" if part["tile_width"] else ""


def _readers(values: Values) -> Iterator[str]:
    for reader in values["readers"]:
        if reader["choice"] != "unknown":
            yield from paragraph(f"{reader['name']:<9} {reader['choice']}: {reader['why']}", INDENT, INDENT * 2)
    if strangers := [reader["name"] for reader in values["readers"] if reader["choice"] == "unknown"]:
        yield from paragraph(f"of no format that they know: {', '.join(strangers)}", INDENT, INDENT * 2)


def _warnings(values: Values) -> Iterator[str]:
    for warning in values["warnings"]:
        yield from paragraph(warning, INDENT, INDENT * 2)


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000  # type: ignore[assignment]
    return f"{count:.3g} {unit}" if unit != "bytes" else f"{count} bytes"
