"""First step: who is the slide, and how wide are its pixels?"""

from dataclasses import replace
from time import perf_counter

from atlaspatch_core.errors import UnreadableSlide
from atlaspatch_core.pipeline.slide_work import SlideWork
from atlaspatch_core.slides.content_hash import content_fingerprint, file_signature
from atlaspatch_core.slides.slide import SlideInfo
from atlaspatch_core.storage.records import LOOK, SlideRecord
from atlaspatch_core.validity.identities import slide_facts
from atlaspatch_core.validity.outcome import Outcome, Status
from atlaspatch_core.validity.recipe import OutputSpec
from atlaspatch_core.validity.rules import SlideOptions, compute_reason, options_reason


def identify_slide(work: SlideWork, stage: OutputSpec) -> Outcome:
    """Identify a slide by its content and scale; one whose files lie untouched is not opened again.

    This step is cheap and always taken, asked for or not.
    """
    since = perf_counter()
    stored = work.store.read_record(work.stem)
    record = stored.slide
    forced = work.forced(stage)
    signature = _signature(work)
    known = record if record and not forced and _untouched(record, work, signature) else None
    if known and known.look == LOOK:
        work.info, work.record = known.info, stored
        return _outcome(work, stage, known, since, "")
    new = _identify(work, stage, signature, known.identity.spec["content"] if known else "")
    why = compute_reason(record.identity if record else None, new.identity, forced=forced)
    work.store.keep_slide(work.stem, new)
    work.info = new.info
    return _outcome(work, stage, new, since, why)


def _signature(work: SlideWork) -> str:
    try:
        return file_signature(work.source.path)
    except OSError as error:
        raise UnreadableSlide(
            f"{work.stem}: {work.source.path} cannot be read ({error.strerror}); check that it exists and is readable"
        ) from error


def _untouched(record: SlideRecord, work: SlideWork, signature: str) -> bool:
    same_files = (signature, work.source.path.absolute()) == (record.signature, record.info.path)
    stored = SlideOptions(record.stated_mpp, record.full_hash, record.reader, record.mpp_keys, record.info.series)
    return same_files and not options_reason(stored, _asked(work))


def _asked(work: SlideWork) -> SlideOptions:
    slides = work.run.recipe.project.slides
    return SlideOptions(work.source.mpp, slides.full_hash, slides.reader, slides.mpp_keys, slides.series)


def _identify(work: SlideWork, stage: OutputSpec, signature: str, content: str) -> SlideRecord:
    """Return the record of a slide, opened; ``content`` is the fingerprint of its bytes where it is known."""
    info = replace(work.slide().info, path=work.source.path.absolute())
    full_hash = work.run.recipe.project.slides.full_hash
    content = content or content_fingerprint(work.source.readable, full_hash=full_hash)
    asked = _asked(work)
    options = (asked.stated_mpp, asked.full_hash, asked.reader, asked.mpp_keys)
    return SlideRecord(info, work.identity(stage, slide_facts(content, info)), signature, *options)


def _outcome(work: SlideWork, stage: OutputSpec, record: SlideRecord, since: float, why: str) -> Outcome:
    return work.outcome(
        stage,
        Status.COMPUTED if why else Status.REUSED,
        record.identity.fingerprint,
        since,
        why=why,
        numbers=_numbers(record.info),
        facts=_facts(record.info),
        path=work.source.path,
        notes=_notes(record),
    )


def _notes(record: SlideRecord) -> tuple[str, ...]:
    """Return what a person should know of the slide; who states its scale knows of that."""
    scale = (record.info.scale_note,) if record.info.scale_note and record.stated_mpp is None else ()
    return (*record.info.notes, *scale)


def _numbers(info: SlideInfo) -> dict[str, int | float]:
    sizes = {"width": info.width, "height": info.height, "levels": len(info.levels)}
    return sizes | {"mpp": info.mpp, "magnification": info.magnification}


def _facts(info: SlideInfo) -> dict[str, str]:
    facts = {"reader": info.reader, "mpp_source": info.mpp_source, "magnification_source": info.magnification_source}
    labels = {"vendor": info.vendor, "institution": info.institution, "stain": info.stain}
    more = labels | {"scale_note": info.scale_note}
    return facts | {name: text for name, text in more.items() if text}
