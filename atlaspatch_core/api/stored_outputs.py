"""Which outputs lie in a folder, and which of them is meant where there is one alone."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atlaspatch_core.errors import AtlasPatchError, OutOfDate, UnknownName
from atlaspatch_core.interop.export.folder import geometries_of
from atlaspatch_core.interop.export.selection import encoder_names
from atlaspatch_core.pipeline.patients.files import read_case
from atlaspatch_core.storage.file_index import list_files
from atlaspatch_core.storage.hdf5 import read_array
from atlaspatch_core.storage.schema import PLACES
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.outcome import OF_CASES, OutputKey
from atlaspatch_core.validity.stored import read_results

KINDS = {folder: kind for kind, folder in PLACES.items()}


class StoredEncoders(NamedTuple):
    """The encoders that results are of, by what they make."""

    patch: tuple[str, ...] = ()
    slide: tuple[str, ...] = ()
    patient: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StoredOutput:
    """One output of one slide or case as it lay in its file when the folder was read."""

    stem: str
    """Or the case_id."""
    step: OutputKey
    path: Path
    fingerprint: str | None
    rows: int
    """Patches of coords and features; the length of an embedding."""
    dim: int
    """Numbers a row."""

    def read(self) -> NDArray[np.float32]:
        """Return features (n, d), an embedding (d,) or coords (n, 5). Raises OutOfDate where it was replaced since."""
        if self.step.kind == OF_CASES:
            case = read_case(self.path)
            if case is None or case[0].fingerprint != self.fingerprint:
                raise self._replaced()
            return case[1]
        try:
            return read_array(self.path, self.dataset, self.fingerprint)
        except OutOfDate as error:
            raise self._replaced() from error

    @property
    def dataset(self) -> str:
        """Path in the file of a slide."""
        return "/".join(filter(None, (PLACES[self.step.kind], self.step.encoder)))

    def _replaced(self) -> OutOfDate:
        return OutOfDate(
            f"{self.stem}: {self.step} in {self.path} was replaced since the folder was read; read it again"
        )


Outputs = Mapping[OutputKey, Mapping[str, StoredOutput]]
"""Output to stem, or case_id, to what lies there."""


def stored_outputs(store: Store) -> Outputs:
    """Return all outputs of slides and cases in a folder; files that cannot be read are left out."""
    outputs: dict[OutputKey, dict[str, StoredOutput]] = {}
    for geometry in geometries_of(store.output):
        for output in (*_of_slides(store, geometry), *_of_cases(store, geometry)):
            outputs.setdefault(output.step, {})[output.stem] = output
    return outputs


def _of_slides(store: Store, geometry: str) -> Iterator[StoredOutput]:
    for stem, datasets in read_results(store, geometry).items():
        for dataset, (fingerprint, rows, dim) in datasets.items():
            folder, _, encoder = dataset.partition("/")
            step = OutputKey(KINDS[folder], encoder or None, geometry)
            yield StoredOutput(stem, step, store.h5(stem, geometry), fingerprint, rows, dim)


def _of_cases(store: Store, geometry: str) -> Iterator[StoredOutput]:
    folder = store.case("any", "any", geometry).parent.parent
    for home in sorted(folder.iterdir()) if folder.is_dir() else ():
        for case_id in list_files(home, ".h5"):
            path, step = store.case(case_id, home.name, geometry), OutputKey(OF_CASES, home.name, geometry)
            try:
                case = read_case(path)
            except AtlasPatchError:
                continue
            if case:
                yield StoredOutput(case_id, step, path, case[0].fingerprint, len(case[1]), len(case[1]))


def choose_output(
    steps: Iterable[OutputKey], kind: str, encoder: str | None, geometry: str | None, where: Path
) -> OutputKey:
    """Return the one output of a kind that is meant; encoders by any of their names.

    Raises UnknownName naming what there is: for a name that is not there, and where several are and none is named.
    """
    steps = sorted((step for step in steps if step.kind == kind), key=str)
    what = kind.replace("_", " ")
    if not steps:
        raise UnknownName(f"{where}: it has no {what}")
    if encoder is not None:
        names = encoder_names(encoder)
        named = [step for step in steps if str(step.encoder).lower() in names]
        steps = named or _none_called(encoder, "encoder", {str(step.encoder) for step in steps}, f"{what} of {where}")
    if geometry is not None:
        inside = [step for step in steps if step.geometry == geometry]
        steps = inside or _none_called(geometry, "geometry", {step.geometry for step in steps}, f"{what} of {where}")
    geometries, encoders = ({step.geometry for step in steps}, {str(step.encoder) for step in steps})
    if len(geometries) > 1:
        raise UnknownName(f"{where}: {what} are there of the geometries {_names(geometries)}; give one as geometry=")
    if len(encoders) > 1:
        raise UnknownName(f"{where}: {what} are there of the encoders {_names(encoders)}; give one as encoder=")
    return steps[0]


def _none_called(name: str, word: str, names: Collection[str], what: str) -> list[OutputKey]:
    raise UnknownName(f"{what}: there is no {word} {name!r}; there is {_names(names)}")


def _names(names: Collection[str]) -> str:
    return ", ".join(repr(name) for name in sorted(names))
