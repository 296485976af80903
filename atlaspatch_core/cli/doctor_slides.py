"""``atlaspatch doctor --slides``: all slides of a folder, the odd ones first."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atlaspatch_core.cli.columns import WIDTH, columns, paragraph
from atlaspatch_core.cli.slide_options import stated_mpps
from atlaspatch_core.errors import AtlasPatchError, NoSlides
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.wording import format_count

if TYPE_CHECKING:
    from atlaspatch_core.config.sections import Slides
    from atlaspatch_core.operations.slide_files.survey import SlideSurvey
    from atlaspatch_core.operations.slide_files.surveyed import SurveyedSlide

HEAD = ("slide", "is", "px", "levels", "µm/px", "from", "reader")


def survey_at(path: Path, slides: "Slides") -> "SlideSurvey":
    """Return how the slides at a path are. Raises click.ClickException where there is none."""
    from atlaspatch_core.discovery.find import discover
    from atlaspatch_core.discovery.sections import SectionSearch
    from atlaspatch_core.operations.slide_files.survey import survey_slides
    from atlaspatch_core.remote.mirror import mirrored

    mpps = stated_mpps(slides)
    try:
        with mirrored(path) as folder:
            sections = SectionSearch(slides.series, slides.reader)
            discovery = discover(
                [folder], recursive=slides.recursive, extensions=slides.extensions, mpp_by_name=mpps, sections=sections
            )
            return survey_slides(discovery, slides)
    except NoSlides as error:
        raise click.ClickException(str(error)) from error
    except AtlasPatchError as error:
        raise click.UsageError(str(error)) from error


def survey_lines(survey: "SlideSurvey") -> list[str]:
    """Return a table, each odd slide with its remarks below it, and a line of counts."""
    table = columns([HEAD, *(_row(slide) for slide in survey.slides)], most=WIDTH)
    lines = [table[0]]
    for line, slide in zip(table[1:], survey.slides, strict=True):
        lines.append(line)
        for remark in slide.remarks:
            lines += paragraph(remark, "    ")
    return [*lines, *filter(None, [survey.pictures_left_out]), count_line(survey)]


def count_line(survey: "SlideSurvey") -> str:
    """Return how many slides are how, and of what scale."""
    total = len(survey.slides)
    counts = ", ".join(f"{count} {state}" for state, count in survey.counts.items())
    return f"{format_count(total, 'slide')}: {counts}; {_scales(survey)}"


def survey_values(survey: "SlideSurvey") -> dict[str, Any]:
    """Return JSON values; the odd slides first."""
    counts = {state.value.replace(" ", "_"): count for state, count in survey.counts.items()}
    summary = {"total": len(survey.slides), **counts, "majority_mpp": survey.majority_mpp}
    return {"summary": summary, "slides": [_values(slide) for slide in survey.slides]}


def _scales(survey: "SlideSurvey") -> str:
    if survey.majority_mpp is not None:
        return f"most have {survey.majority_mpp:.4g} µm/px"
    mpps = Counter(f"{slide.info.mpp:.2g}" for slide in survey.slides if slide.info)
    counts = ", ".join(f"{count} of {mpp}" for mpp, count in mpps.most_common(4))
    return f"no scale has a majority ({counts} µm/px)" if counts else "no scale is known"


def _row(slide: "SurveyedSlide") -> tuple[str, ...]:
    info = slide.info
    if info is None:
        return slide.stem, str(slide.state), "", "", "", "", ""
    size = f"{info.width} × {info.height}"
    mpp, source = f"{info.mpp:.4g}", info.mpp_source
    return slide.stem, str(slide.state), size, str(len(info.levels)), mpp, source, info.reader


def _values(slide: "SurveyedSlide") -> dict[str, Any]:
    info = slide.info
    return {
        "slide": slide.stem,
        "path": shown_path(slide.path),
        "state": slide.state.value,
        "remarks": list(slide.remarks),
        "reader": info and info.reader,
        "width": info and info.width,
        "height": info and info.height,
        "levels": info and len(info.levels),
        "mpp": info and info.mpp,
        "mpp_source": info and info.mpp_source,
        "magnification": info and info.magnification,
    }
