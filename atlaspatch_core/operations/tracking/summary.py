"""``summary.md``: one section per run, the latest last, for people to read."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from atlaspatch_core.operations.tracking.counts import Counts
from atlaspatch_core.operations.tracking.json_files import change_text
from atlaspatch_core.storage.store import Store

HEAD = "# Runs of atlaspatch in this folder\n"
MOST_CHARACTERS = 200
"""Of a reason."""
ORDER = ("computed", "completed", "reused", "restamped", "skipped", "failed", "error")
"""In which fates and statuses are counted, whatever slide met them first; what is not among them comes last."""
MARKUP = "\\`[]"
NO_BACKTICK = "\\u0060"
"""In JSON, so that no option ends the code span."""
MOST_TOLD = 100
"""Errors of a section; the state files in wsi_states/ have all of them."""


def append_section(output: Path, run_section: str) -> None:
    """Add a section. To be called under the lock. Raises OSError."""
    change_text(Store(output).summary(), lambda previous: f"{(previous or HEAD).rstrip()}\n\n{run_section}")


def section(
    run: Mapping[str, Any], counts: Counts | None, totals: Mapping[str, Counter[str]], cases: Counts | None = None
) -> str:
    """Return the section of a run; ``counts`` are None of one that was killed and told nothing."""
    at = {name: run.get(name) for name in ("started_at", "run_id", "status", "tool", "host", "pid", "finished_at")}
    lines = [
        f"## {at['started_at']} · run {at['run_id']} · {at['status']}",
        "",
        f"- command: {at['tool']}, atlaspatch {run.get('atlaspatch_version')}, on {at['host']} (pid {at['pid']})",
        f"- ended: {at['finished_at']}" + (f", {_one_line(run['error'])}" if run.get("error") else ""),
        f"- slides of this run: {summary_lines(run.get('slides') or {})}",
        *(_of_run(counts) if counts else ()),
        *((f"- cases of this run: {summary_lines(run['cases'])}",) if run.get("cases") else ()),
        *(_of_run(cases) if cases else ()),
        *_of_folder(totals),
        f"- options that are set: `{_options(run)}`",
        *(_errors(counts, "errors", "see wsi_states/") if counts else ()),
        *(_warnings(counts) if counts else ()),
        *(_errors(cases, "errors of cases", "encode-patient prints all of them") if cases else ()),
    ]
    return "\n".join(lines) + "\n"


def _options(run: Mapping[str, Any]) -> str:
    text = json.dumps(_set(run.get("args") or {}), ensure_ascii=False, sort_keys=True)
    return text.replace("`", NO_BACKTICK)


def _set(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value not in (None, False, [])}


def summary_lines(slides: Mapping[str, Any]) -> str:
    """Return counts of slides, or of cases, in words."""
    if not slides:
        return "not told"
    fates = [
        f"{count} {name.replace('_', ' ')}"
        for name, count in slides.items()
        if name not in ("total", "begun") and count
    ]
    return f"{slides.get('begun', 0)} of {slides.get('total', 0)}" + (f": {', '.join(fates)}" if fates else "")


def _of_run(counts: Counts) -> Iterator[str]:
    for output, fates in counts.outputs.items():
        yield f"  - {output}: {_counted(fates)}"


def _of_folder(totals: Mapping[str, Counter[str]]) -> Iterator[str]:
    if totals:
        yield "- slides of this folder, whatever run:"
    for task, statuses in totals.items():
        yield f"  - {task}: {_counted(statuses)}"


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[name]} {name}" for name in sorted(counts, key=_place))


def _place(name: str) -> tuple[int, str]:
    return (ORDER.index(name) if name in ORDER else len(ORDER), name)


def _errors(counts: Counts, subject: str, remainder: str) -> Iterator[str]:
    """Yield the errors of slides, or of cases; ``rest`` says where there are those beyond the first hundred."""
    if counts.failures:
        yield f"- {subject} ({counts.failures}):"
    for stem, why in counts.errors[:MOST_TOLD]:
        yield f"  - {_one_line(stem)}: {_one_line(why)}"
    if counts.failures > MOST_TOLD:
        yield f"  - {counts.failures - min(MOST_TOLD, len(counts.errors))} more: {remainder}"


def _warnings(counts: Counts) -> Iterator[str]:
    """Yield what is odd about slides; status tells the rest."""
    if counts.warnings:
        yield f"- slides with warnings ({len(counts.warnings)}):"
    for stem, texts in list(counts.warnings.items())[:MOST_TOLD]:
        yield f"  - {_one_line(stem)}: {_one_line('; '.join(texts))}"
    if len(counts.warnings) > MOST_TOLD:
        yield f"  - {len(counts.warnings) - MOST_TOLD} more: atlaspatch status names all"


def _one_line(text: Any) -> str:
    line = " ".join(str(text).split())
    return plain(line if len(line) <= MOST_CHARACTERS else f"{line[: MOST_CHARACTERS - 1]}…")


def plain(text: str) -> str:
    """Return a text that Markdown shows as it is: no tags, links, pictures and code begin in it."""
    return "".join(f"\\{sign}" if sign in MARKUP else escape(sign, quote=False) for sign in text)
