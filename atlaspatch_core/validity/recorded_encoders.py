"""What the results in an output folder say of the encoders of plugins that made them."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TypeVar

from atlaspatch_core.config.project import Project
from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder
from atlaspatch_core.encoders.recorded import (
    of_plugin,
    recorded_patch_encoder,
    recorded_slide_encoder,
    unrecorded_slide_encoder,
)
from atlaspatch_core.errors import AtlasPatchError
from atlaspatch_core.fingerprint import is_unverified
from atlaspatch_core.storage.hdf5 import StoredResult
from atlaspatch_core.storage.schema import FEATURES, SLIDE_FEATURES
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.noted_encoders import NotedEncoders, with_noted_names

MOST_READ = 20
"""Results of an encoder, the latest first, among which one of its plugin as it is now is looked for."""

Encoder = TypeVar("Encoder", PatchEncoder, SlideEncoder)
Make = Callable[[dict[str, Any], int | None], Encoder]


@dataclass(frozen=True, slots=True)
class RecordedEncoders:
    """Finds in the output folder what results say of their encoders."""

    project: Project
    digests: Sequence[str]
    """sha256 of the plugin files as they are now."""
    noted: NotedEncoders
    _unnoted: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def patch_encoders(self, name: str) -> list[PatchEncoder]:
        """Return the encoder of a name, and what it is found by; nothing for a name that none can have."""
        stand_in = self.noted.patch_encoder(name)
        if recorded := self._find(FEATURES, stand_in.name if stand_in else name, recorded_patch_encoder):
            return [with_noted_names(recorded, stand_in) if stand_in else recorded]
        if stand_in or self.noted.lacks_output(name):
            return [self._as_it_is_now(stand_in)] if stand_in else []
        try:
            return self.noted.unnoted_patch_encoders(name, self._latest, self._doubt(FEATURES, name))
        except ValueError:
            return []

    def slide_encoder(self, name: str, patch_encoder: str) -> SlideEncoder | None:
        """Return the slide encoder of a name; without result and note it is said to take features ``patch_encoder``."""
        stand_in = self.noted.slide_encoder(name)
        if recorded := self._find(SLIDE_FEATURES, stand_in.name if stand_in else name, recorded_slide_encoder):
            return with_noted_names(recorded, stand_in) if stand_in else recorded
        if stand_in:
            return self._as_it_is_now(stand_in)
        try:
            return unrecorded_slide_encoder(name, patch_encoder, self._latest, self._doubt(SLIDE_FEATURES, name))
        except ValueError:
            return None

    def named_for_patches(self, name: str) -> SlideEncoder | None:
        """Return a slide encoder that a plugin calls such as ``max-colour``; None where the latest result is ours."""
        if self.noted.slide_encoder(name):
            return self.slide_encoder(name, name)
        of_plugin = list(self._encoders(SLIDE_FEATURES, name, recorded_slide_encoder, most=1))
        return self._find(SLIDE_FEATURES, name, recorded_slide_encoder) if of_plugin else None

    @property
    def _latest(self) -> str | None:
        return self.digests[-1] if self.digests else None

    def _as_it_is_now(self, stand_in: Encoder) -> Encoder:
        changed = self.digests and stand_in.plugin not in self.digests
        return of_plugin(stand_in, self.digests[-1]) if changed else stand_in

    def _doubt(self, group: str, name: str) -> str:
        """Return why results may be those of an encoder that is asked for by a name that nobody noted; else nothing."""
        if self.noted.are_complete:
            return ""
        if group not in self._unnoted:
            self._unnoted[group] = tuple(self._unnoted_results(group))
        names = ", ".join(self._unnoted[group])
        return names and (
            f"{name}: it is not noted which encoder of the plugins is called so; run it once more, which computes "
            f"nothing that is there, or call the encoder as its results are called, among {names}"
        )

    def _unnoted_results(self, group: str) -> Iterator[str]:
        """Yield what results of plugin files are called of which no run noted how their encoders are called."""
        read: Counter[str] = Counter()
        installed = {**self.noted.installed.patch, **self.noted.installed.slide}
        for result in _results(self.project):
            folder, _, name = result.name.partition("/")
            if folder == group and name not in installed and 0 <= read[name] < MOST_READ:
                read[name] += 1
                if self._is_unnoted(result):
                    read[name] = -1
                    yield name

    def _is_unnoted(self, result: StoredResult) -> bool:
        try:
            identity = result.identity
            plugin = "" if identity is None or is_unverified(identity) else identity.spec.get("plugin", "")
            return bool(plugin) and plugin not in self.noted.digests
        except (AtlasPatchError, KeyError, TypeError, ValueError, AttributeError, OSError):
            return False

    def _find(self, group: str, name: str, make: Make[Encoder]) -> Encoder | None:
        """Return the encoder of the latest result of its plugin as it is now, else of the latest result."""
        latest = None
        for read, encoder in enumerate(self._encoders(group, name, make)):
            if not self.digests or encoder.plugin in self.digests:
                return encoder
            latest = latest or of_plugin(encoder, self.digests[-1])
            if read >= MOST_READ:
                break
        return latest

    def _encoders(self, group: str, name: str, make: Make[Encoder], most: int | None = None) -> Iterator[Encoder]:
        """Yield what results, or so many of them, say of an encoder, those in the latest files first."""
        dataset = f"{group}/{name}".lower()
        for result in islice((one for one in _results(self.project) if one.name.lower() == dataset), most):
            try:
                identity = result.identity
                if identity and not is_unverified(identity) and identity.spec["plugin"]:
                    yield make(dict(identity.spec), result.shape[-1])
            except (AtlasPatchError, KeyError, TypeError, ValueError, AttributeError, OSError):
                continue  # what a result of ours does not say


def _results(project: Project) -> Iterator[StoredResult]:
    """Yield the results in the folder of a project, those in the latest files first."""
    store = Store(project.output)
    files = [
        (status.st_mtime_ns, stem, geometry.name)
        for geometry in project.geometry
        for stem, status in store.results(geometry.name).items()
    ]
    for _, stem, geometry in sorted(files, reverse=True):
        try:
            yield from store.stored_results(stem, geometry).values()
        except AtlasPatchError:
            continue
