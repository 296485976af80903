"""The segmenter of a plugin for who only looks at results: taken from what masks record, and no plugin is executed."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

from atlaspatch_core.config.project import Project
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.storage.file_index import list_files
from atlaspatch_core.storage.store import Store
from atlaspatch_core.tissue.segmenters import SEGMENTERS, Segmenter, plugin_segmenters
from atlaspatch_core.tissue.segmenters.recorded import recorded_segmenter, unrecorded_segmenter
from atlaspatch_core.validity.recorded_encoders import MOST_READ
from atlaspatch_core.validity.recorded_plugins import plugin_digests


def segmenter_of_records(project: Project) -> Segmenter | None:
    """Return the segmenter that the plugin files of a project declare, as masks in its output folder record it.

    None where it is one of this package or of an installed one, and where no plugin file is named. Without a mask it is
    known by its name alone. Where a plugin file has changed since, it has the sha256 of the file as it is now, and
    masks of before are stale.
    """
    name = project.tissue.segmenter
    if not project.plugins or name in {**SEGMENTERS, **plugin_segmenters()}:
        return None
    digests, latest = tuple(plugin_digests(project.plugins)), None
    for segmenter in islice(_segmenters(project, name), MOST_READ):
        if not digests or segmenter.plugin in digests:
            return segmenter
        latest = latest or segmenter
    plugin = digests[-1] if digests else None
    return replace(latest, plugin=plugin) if latest else unrecorded_segmenter(name, plugin)


def _segmenters(project: Project, name: str) -> Iterator[Segmenter]:
    """Yield what masks say of a segmenter, those of the latest records first."""
    store = Store(project.output)
    records = list_files(store.record("any").parent, ".json")
    for stem in sorted(records, key=lambda stem: records[stem].st_mtime_ns, reverse=True):
        try:
            mask = store.read_record(stem).tissue_mask
            if mask and mask.identity.spec["segmenter"] == name and mask.identity.spec["plugin"]:
                yield recorded_segmenter(mask.identity.spec)
        except (AtlasPatchError, KeyError, TypeError, ValueError, AttributeError):
            continue  # what a mask that was supplied, or is of us, does not say
