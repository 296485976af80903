"""Slides as bags of patch features with a label each, for training by multiple instance learning (MIL)."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from atlaspatch_core.api.bag_selection import BagFiles, LabelChoice, select_bags
from atlaspatch_core.api.folder_results import Results
from atlaspatch_core.api.reading import results
from atlaspatch_core.api.splits import Part
from atlaspatch_core.errors import InvalidLabels
from atlaspatch_core.operations.label_tables import LabelSource

if TYPE_CHECKING:
    import pandas as pd
    import torch


class Bag(NamedTuple):
    """One slide: ``features, label, stem = bags[0]``."""

    features: "torch.Tensor"
    """float32 (n, d)."""
    label: int
    """Place of its class in ``classes``."""
    stem: str


class PlacedBag(NamedTuple):
    """The same with the places of the patches."""

    features: "torch.Tensor"
    label: int
    stem: str
    coords: "torch.Tensor"
    """int64 (n, 2): x, y of top-left corners, level-0 px."""


class BagDataset:
    """Slides with a label each as a map-style dataset for torch's ``DataLoader``.

    An item is a ``Bag``: features float32 (n, d), label, stem. Files are opened when an item is taken, in the process
    that takes it, so that any number of workers may read; torch is imported then, and not before. Slides differ in n:
    give ``DataLoader`` a ``batch_size`` of 1 or None.

    Slides whose features are stale, missing or failed, that have no patches, no row or no label, are left out:
    ``left_out`` says the reason of each, and one warning says how many.

    Args:
        output: The output folder, or what ``results`` returned.
        encoder: Patch encoder; several are put side by side, d the sum of theirs; needed where there are several.
        labels: Path of a CSV or Parquet file, or a table of pandas: a row a slide, or a row a case.
        label: The column with the class; by default ``label``.
        split: The part to take: ``train``, the number of a fold, or several; all by default.
        folds: What says the parts: a column of ``labels`` (by default ``split`` or ``fold``); a table of splits
            with the columns ``train``, ``val`` and ``test``, as CLAM writes them, or with a row a slide; or shares such
            as ``{"train": 0.7, "val": 0.1, "test": 0.2}``, by which whole patients are drawn.
        seed: Of what is drawn: patients for parts, and patches.
        classes: The classes in their order; by default all that ``labels`` has, sorted, whatever the part.
        on: The column of ``labels`` that names slides or cases.
        geometry: Name of the geometry; needed where there are several.
        max_patches: Patches of a slide at most; others are left out by chance, anew by ``set_epoch``.
        coords: Items are ``PlacedBag``, with the coords of the patches.
        include_stale: Take features, too, that are stale or unverified.

    Raises:
        UnknownName: There is no such encoder or geometry, or several and none was named.
        InvalidLabels: A table, column, class or split cannot be used, or nothing is left.

    Example:
        >>> labels = pd.DataFrame({"stem": ["CMU-1-Small-Region"], "label": ["tumour"]})
        >>> bags = ap.BagDataset("out", labels=labels)
        >>> features, label, stem = bags[0]
        >>> features.shape, bags.classes[label], stem
        (torch.Size([56, 1280]), 'tumour', 'CMU-1-Small-Region')
    """

    def __init__(
        self,
        output: str | Path | Results,
        encoder: str | Sequence[str] | None = None,
        *,
        labels: "str | Path | pd.DataFrame",
        label: str | None = None,
        split: Part | Collection[Part] | None = None,
        folds: "str | Path | pd.DataFrame | Mapping[str, float] | None" = None,
        seed: int = 0,
        classes: Sequence[Any] | None = None,
        on: str | None = None,
        geometry: str | None = None,
        max_patches: int | None = None,
        coords: bool = False,
        include_stale: bool = False,
    ) -> None:
        if max_patches is not None and max_patches < 1:
            raise InvalidLabels(f"max_patches={max_patches}: give a whole number above 0")
        folder = output if isinstance(output, Results) else results(output)
        encoders = [encoder] if encoder is None or isinstance(encoder, str) else encoder
        steps = [folder.step("patch_features", name, geometry) for name in encoders]
        source = LabelSource(labels, on, folder.verdicts.case_of)
        choice = LabelChoice(source, label, classes, split, folds, seed)
        selection = select_bags(folder, steps, choice, include_stale=include_stale)
        self.classes, self.left_out, self._bags = selection.classes, selection.left_out, selection.bags
        self.encoders = tuple(str(step.encoder) for step in steps)
        self.max_patches, self.seed, self.epoch, self._coords = max_patches, seed, 0, coords

    @property
    def stems(self) -> tuple[str, ...]:
        """The slides, in the order of the items."""
        return tuple(bag.stem for bag in self._bags)

    @property
    def labels(self) -> tuple[int, ...]:
        """The class of each slide, as its place in ``classes``, in the order of the items."""
        return tuple(bag.label for bag in self._bags)

    @property
    def dim(self) -> int:
        """Numbers a patch: d."""
        return sum(features.dim for features in self._bags[0].features)

    def set_epoch(self, epoch: int) -> None:
        """Let ``max_patches`` draw other patches from now on: to be called before every epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._bags)

    def __getitem__(self, index: int) -> Bag | PlacedBag:
        import torch

        bag = self._bags[index]
        features = np.concatenate([stored.read().astype(np.float32, copy=False) for stored in bag.features], axis=1)
        rows = self._rows(bag, len(features))
        sample = torch.from_numpy(np.ascontiguousarray(features[rows]))
        if not self._coords:
            return Bag(sample, bag.label, bag.stem)
        places = torch.from_numpy(np.ascontiguousarray(bag.coords.read()[rows, :2], np.int64))
        return PlacedBag(sample, bag.label, bag.stem, places)

    def __iter__(self) -> Iterator[Bag | PlacedBag]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        counts = ", ".join(f"{self.labels.count(place)} {name}" for place, name in enumerate(self.classes))
        others = f"; {len(self.left_out)} left out" if self.left_out else ""
        return f"BagDataset of {len(self)} slides ({counts}), {' + '.join(self.encoders)}, dim {self.dim}{others}"

    def _rows(self, bag: BagFiles, patches: int) -> Any:
        """Return which patches are taken, in their order: all, or as many as may be, drawn by seed, epoch and stem."""
        if self.max_patches is None or patches <= self.max_patches:
            return slice(None)
        digest = hashlib.sha256(f"{self.seed} {self.epoch} {bag.stem}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:8]))
        return np.sort(generator.choice(patches, self.max_patches, replace=False))
