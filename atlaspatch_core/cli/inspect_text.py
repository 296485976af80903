"""An inspection as text, 100 letters wide."""

from collections.abc import Iterator, Mapping
from typing import Any

from atlaspatch_core.cli.columns import WIDTH, capped, columns, paragraph

MOST_PARTS = 24
"""Parts that are listed; ``--json`` lists all."""
INDENT = "  "

Values = Mapping[str, Any]
"""What ``inspection_values`` gives."""


def inspection_lines(found: Values) -> list[str]:
    """Return the lines."""
    sections = (
        ("Levels", _levels(found)),
        ("Pixels", _pixels(found)),
        ("Scale (→ counts)", _scales(found)),
        ("Magnification (→ counts)", _magnifications(found)),
        ("The file holds", _parts(found)),
        ("Readers, in the order in which they are asked", _readers(found)),
        ("Warnings", _warnings(found)),
    )
    lines = list(_head(found))
    for title, body in sections:
        if told := list(body):
            lines += ["", title, *told]
    return lines


def _head(found: Values) -> Iterator[str]:
    files = f", {found['files']:,} files" if found["files"] > 1 else ""
    yield from paragraph(f"{found['path']} ({_size(found['bytes'])}{files})", hanging=INDENT)
    taken = found["taken"]
    if taken:
        yield from paragraph(f"{_opens(found, taken)}.", hanging=INDENT)
    if found["error"]:
        yield from paragraph(f"REFUSED: {found['error']}", hanging=INDENT)


def _opens(found: Values, taken: Values) -> str:
    words = [f"{taken['width']} × {taken['height']} px"]
    words += [f"{taken['mpp']:.6g} µm/px", f"{taken['magnification']:g}x"] if taken["mpp"] else ["no scale"]
    words += [f"image {taken['series']} of the file, as asked"] if taken["series"] is not None else []
    words += [f"made by {taken['vendor']}"] if taken["vendor"] else []
    words += [f"stain {taken['stain']}"] if taken["stain"] else []
    words += [f"{taken['reading']}"] if taken["reading"] else []
    return f"{taken['reader']}{' would read' if found['error'] else ' reads'} {', '.join(words)}"


def _levels(found: Values) -> Iterator[str]:
    if not found["levels"]:
        return
    head = ("level", "px", "downsample", "tile", "compression", "is", "tiles not stored")
    absent = any(level["absent_tiles"] for level in found["levels"])
    rows = [head, *(_level(level) for level in found["levels"])]
    yield from columns([row if absent else row[:-1] for row in rows], INDENT, WIDTH)
    bounds = found["taken"]["bounds"]
    if bounds:
        yield from paragraph("scanned: {width} × {height} px from ({x}, {y}) of level 0".format(**bounds), INDENT)


def _level(level: Values) -> tuple[str, ...]:
    across, down = level["downsample_x"], level["downsample_y"]
    scale = f"{across:.6g}" if across == down else f"{across:.6g}, {down:.6g}"
    size = f"{level['width']} × {level['height']}"
    how = _tile(level), level["compression"] or "", level["part"] or ""
    return str(level["level"]), size, scale, *how, str(level["absent_tiles"] or "")


def _pixels(found: Values) -> Iterator[str]:
    pixels, planes = found["pixels"], found["planes"]
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


def _scales(found: Values) -> Iterator[str]:
    rows = [("→" * it["counts"], f"{_sides(it)} µm/px", it["source"], it["origin"]) for it in found["scales"]]
    yield from columns(rows, INDENT, WIDTH)
    if page := found["described_page"]:
        yield f"{INDENT}the text describes a page of {page['width']} × {page['height']} px"


def _sides(scale: Values) -> str:
    return f"{scale['x']:.6g}" if scale["x"] == scale["y"] else f"{scale['x']:.6g} × {scale['y']:.6g}"


def _magnifications(found: Values) -> Iterator[str]:
    rows = [("→" * it["counts"], f"{it['value']:g}x", it["source"]) for it in found["magnifications"]]
    yield from columns(rows, INDENT, WIDTH)


def _parts(found: Values) -> Iterator[str]:
    if found["parts_unknown"]:
        yield from paragraph(f"cannot be listed: {found['parts_unknown']}", INDENT)
    rows = list(capped([_part(part) for part in found["parts"]], MOST_PARTS))
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


def _readers(found: Values) -> Iterator[str]:
    for reader in found["readers"]:
        if reader["choice"] != "unknown":
            yield from paragraph(f"{reader['name']:<9} {reader['choice']}: {reader['why']}", INDENT, INDENT * 2)
    if strangers := [reader["name"] for reader in found["readers"] if reader["choice"] == "unknown"]:
        yield from paragraph(f"of no format that they know: {', '.join(strangers)}", INDENT, INDENT * 2)


def _warnings(found: Values) -> Iterator[str]:
    for warning in found["warnings"]:
        yield from paragraph(warning, INDENT, INDENT * 2)


def _size(count: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000  # type: ignore[assignment]
    return f"{count:.3g} {unit}" if unit != "bytes" else f"{count} bytes"
