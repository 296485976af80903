"""First step: who is the slide, and how wide are its pixels?"""

from collections.abc import Callable
from dataclasses import replace
from time import perf_counter

from atlaspatch_core.discovery.sources import SlideSource, replaced_slide
from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.fingerprint import Identity
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.slides.content_hash import content_fingerprint, file_signature
from atlaspatch_core.slides.private_links import is_private
from atlaspatch_core.slides.slide import Slide, SlideInfo
from atlaspatch_core.storage.records import IDENTIFIED_BY, SlideRecord, slide_mark
from atlaspatch_core.validity.identities import slide_facts
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import EMPTY, SLIDE, OutputSpec, Recipe
from atlaspatch_core.validity.rules import FORCED, SlideOptions, slide_reason

KNOWN_VENDORS = ("openslide.vendor", "czi.vendor")
"""Properties that libraries and readers state, and no file."""


def identify_slide(work: SlideWork, stage: OutputSpec) -> Outcome:
    """Identify a slide by its content and scale; one whose files lie untouched is not opened again.

    This step is cheap and always taken, asked for or not.
    """
    since = perf_counter()
    work.guard.begin()
    stored = work.store.read_record(work.stem)
    forced = work.forced(stage)
    record = identify_source(work.source, work.run.recipe, None if forced else stored.slide, work.slide)
    work.info, work.step_notes = record.info, dict(stored.notes)
    if record is stored.slide:
        work.record = stored
        work.guard.expect(record)
        return _outcome(work, stage, record, since, "")
    work.store.write_slide_record(work.stem, record)  # while no file may even be touched: opened is what was hashed
    work.guard.expect(record)
    return _outcome(work, stage, record, since, FORCED if forced else slide_reason(stored.slide, record))


def identify_source(
    source: SlideSource, recipe: Recipe, stored: SlideRecord | None, slide: Callable[[], Slide]
) -> SlideRecord:
    """Return who a slide is: what is ``stored`` where that holds; else ``slide`` opens it.

    Raises UnreadableSlide, ReplacedSlide, and what opening raises.
    """
    stage, signature = recipe.stage(SLIDE), _signature(source)
    holds = stored and _identity(stage, stored.content, stored.info).fingerprint == stored.identity.fingerprint
    if stored and holds and _is_of_plugin_now(stored, recipe) and stored.mark == mark_of(source, recipe, signature):
        return stored
    info = replace(kept_info(slide().info, source), path=source.path.absolute())
    slide_options = _options_of(source, recipe)
    read = stored and (stored.signature, stored.full_hash) == (signature, slide_options.full_hash)
    content = (
        stored.content if stored and read else content_fingerprint(source.readable, full_hash=slide_options.full_hash)
    )
    options = (slide_options.stated_mpp, slide_options.full_hash, slide_options.reader, slide_options.mpp_keys)
    if _signature(source) != signature:
        raise replaced_slide(source)
    identity = _identity(stage, content, info)
    return SlideRecord(info, identity, signature, *options, square_pixels=slide_options.square_pixels)


def _is_of_plugin_now(stored: SlideRecord, recipe: Recipe) -> bool:
    """Tell whether no plugin opened the slide, or one that has not changed since."""
    return stored.info.plugin is None or stored.info.plugin in recipe.plugins


def kept_info(info: SlideInfo, source: SlideSource) -> SlideInfo:
    """Return what is kept of a slide: behind a pseudonym no text of the file but the format's own name."""
    if not is_private(source.path):
        return info
    vendor = next((info.properties[key] for key in KNOWN_VENDORS if key in info.properties), None)
    return replace(info, vendor=vendor, institution=None, stain=None)


def mark_of(source: SlideSource, recipe: Recipe, signature: str = "") -> str:
    """Return what the record of a slide says where it holds. Raises UnreadableSlide."""
    return slide_mark(
        signature or _signature(source), source.path.absolute(), _options_of(source, recipe), IDENTIFIED_BY
    )


def _identity(stage: OutputSpec, content: str, info: SlideInfo) -> Identity:
    return stage.identity({}, slide_facts(content, info), EMPTY)


def _signature(source: SlideSource) -> str:
    try:
        signature = file_signature(source.path)
    except OSError as error:
        raise UnreadableSlide(
            f"{source.stem}: {shown_path(source.path)} cannot be read ({error.strerror}); check that it exists and is "
            f"readable"
        ) from error
    if source.local and source.copied_signature not in ("", signature):
        raise replaced_slide(source)
    return signature


def _options_of(source: SlideSource, recipe: Recipe) -> SlideOptions:
    slides = recipe.project.slides
    return SlideOptions(
        source.mpp, slides.full_hash, slides.reader, slides.scale_keys, source.series, slides.square_pixels
    )


def _outcome(work: SlideWork, stage: OutputSpec, record: SlideRecord, since: float, why: str) -> Outcome:
    return work.outcome(
        stage,
        Status.COMPUTED if why else Status.REUSED,
        record.identity.fingerprint,
        since,
        why=why,
        numbers=_numbers(record.info),
        facts=_facts(record.info) | ({"cohort": work.source.cohort} if work.source.cohort else {}),
        path=work.source.path,
        notes=(*work.source.notes, *record.notes),
    )


def _numbers(info: SlideInfo) -> dict[str, int | float]:
    sizes = {"width": info.width, "height": info.height, "levels": len(info.levels)}
    return sizes | {"mpp": info.mpp, "magnification": info.magnification}


def _facts(info: SlideInfo) -> dict[str, str]:
    facts = {"reader": info.reader, "mpp_source": info.mpp_source, "magnification_source": info.magnification_source}
    labels = {"vendor": info.vendor, "institution": info.institution, "stain": info.stain}
    more = labels | {"scale_note": info.scale_note}
    return facts | {name: text for name, text in more.items() if text}
