"""What the page of an asset says: what it is, where it lies, its shape, type and units."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from atlaspatch_core.config.project import Project
from atlaspatch_core.config.sections import Geometry
from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.storage.schema import attention_of
from atlaspatch_core.storage.store import Store
from atlaspatch_core.validity.recipe import OutputSpec

STEM = "<stem>"

COLUMN_SCHEMA = "dagster/column_schema"
"""Metadata that the UI shows as the columns of an asset."""

COLUMNS = {
    "tissue_mask": (
        ("geometry", "Polygon", "outline with holes, level-0 px"),
        ("properties.tissue_id", "int", "number of the piece, from 0, top to bottom"),
        ("properties.name", "string", "what QuPath calls it"),
        ("properties.classification", "object", "class Tissue, as QuPath shows it"),
    ),
    "patch_coords": (
        ("coords[:, 0]", "int32 (patches,)", "x of the top left corner, level-0 px"),
        ("coords[:, 1]", "int32 (patches,)", "y of the top left corner, level-0 px"),
        ("coords[:, 2]", "int32 (patches,)", "width to read, px of the level"),
        ("coords[:, 3]", "int32 (patches,)", "height to read, px of the level"),
        ("coords[:, 4]", "int32 (patches,)", "level to read from"),
        ("tissue_fraction", "float32 (patches,)", "share of the patch that is tissue"),
        ("passports", "bytes (patches,)", "the same in words, for readers of AtlasPatch's files"),
    ),
}
"""Name, type and meaning of what the files hold, where no encoder decides it."""


def describe(stage: OutputSpec, project: Project) -> str:
    """Return the description of an asset, Markdown."""
    store = Store(project.output)
    if stage.geometry is None:
        return OF_SLIDE[stage.step.kind](store)
    return OF_PATCHES[stage.step.kind](stage, store)


def _slide(store: Store) -> str:
    return (
        "A whole-slide image as it lies in the project's folders: its content, its levels and its µm per pixel.\n\n"
        "The file is only read. Its fingerprint is that of its content, so a moved or touched file stays the same "
        f"slide. What was found is kept in `{store.record(STEM)}`."
    )


def _tissue_mask(store: Store) -> str:
    return (
        "Outlines of the tissue of a slide: polygons with holes, in level-0 px.\n\n"
        f"`{store.geojson(STEM)}` opens in QuPath and may be edited there; an edited mask is kept, and what depends "
        "on it is computed anew. Deleted, the automatic or supplied one comes back. The check `tissue_quality` holds "
        "its numbers against the bounds in `[quality]` of the project file."
    )


def _patch_coords(stage: OutputSpec, store: Store) -> str:
    geometry = _geometry(stage)
    rule = f"kept when at least {geometry.min_tissue:.0%} of the square is tissue"
    order = "In the order of the files." if geometry.coords else "Row by row, each patch once."
    unknown = ", here not known" if geometry.coords else ""
    supplied = f"taken as they are from `{geometry.coords}`"
    return (
        f"Where the patches lie: {_patches(geometry)}, {supplied if geometry.coords else rule}.\n\n"
        f"`{_h5(stage, store)}`, dataset `coords`: int32, shape (patches, 5): x, y of the top left corner in level-0 "
        f"px, width and height to read in px of the level, and the level. {order} "
        f"`tissue_fraction`, float32, shape (patches,), is the tissue share of each{unknown}."
    )


def _patch_features(stage: OutputSpec, store: Store) -> str:
    encoder, geometry = _patch_encoder(stage), _geometry(stage)
    precision = geometry.precision_of(encoder.precision)
    return (
        f"Features of every patch by the patch encoder {encoder.name}. {encoder.note}\n\n"
        f"`{_h5(stage, store)}`, dataset `{stage.dataset}`: float32, shape (patches, {encoder.dim or 'dim'}); row i "
        f"belongs to row i of `coords`. Patches: {_patches(geometry)}. Computed in {precision} where the "
        f"device can. Licence of the weights: {encoder.license}."
    )


def _slide_embedding(stage: OutputSpec, store: Store) -> str:
    encoder = _slide_encoder(stage)
    upstream = " and ".join(encoder.patch_encoders)
    return (
        f"One vector for the whole slide by the slide encoder {encoder.name}. {encoder.note}\n\n"
        f"`{_h5(stage, store)}`, dataset `{stage.dataset}`: float32, shape ({encoder.dim or 'dim'},), computed from "
        f"the {upstream} features. A slide without patches has none. Licence of the weights: "
        f"{encoder.license}.{_attention(stage)}"
    )


def _attention(stage: OutputSpec) -> str:
    """Return where the attention lies of an encoder that has it kept; empty for others."""
    if not _keeps_attention(stage):
        return ""
    return (
        f"\n\nDataset `{attention_of(stage.dataset)}`: float32, shape (patches,), of several heads (patches, heads): "
        "how much each patch counts in the vector; a head sums to 1. It is no part of the fingerprint."
    )


def _keeps_attention(stage: OutputSpec) -> bool:
    return _geometry(stage).keep_attention and _slide_encoder(stage).attention is not None


OF_SLIDE = {"slide": _slide, "tissue_mask": _tissue_mask}
OF_PATCHES = {
    "patch_coords": _patch_coords,
    "patch_features": _patch_features,
    "slide_embedding": _slide_embedding,
}


def facts(stage: OutputSpec, project: Project) -> dict[str, Any]:
    """Return the metadata of an asset: what the project asks for, whatever the slide."""
    if stage.step.kind == "slide":
        return {"folders": dg.MetadataValue.json([shown_path(folder) for folder in project.slides.folders])}
    layout = {COLUMN_SCHEMA: dg.TableSchema(columns(stage))}
    if stage.step.kind == "tissue_mask":
        return _shown(asdict(project.tissue)) | {"folder": _folder(Store(project.output).geojson(STEM))} | layout
    folder = {"folder": _folder(_h5(stage, Store(project.output)))} | layout
    if stage.encoder is None:
        return _shown(_geometry_facts(_geometry(stage))) | folder
    return _shown(_encoder_facts(stage.encoder)) | _homepage(stage.encoder) | folder


def columns(stage: OutputSpec) -> list[dg.TableColumn]:
    """Return what the file of a step holds: name, type with shape, meaning. The Columns part of the asset's page."""
    kind = stage.step.kind
    if kind in COLUMNS:
        return [dg.TableColumn(name, of, description) for name, of, description in COLUMNS[kind]]
    encoder = stage.encoder
    dim = encoder.dim if encoder and encoder.dim else "dim"
    if kind == "slide_embedding":
        vector = dg.TableColumn(stage.dataset, f"float32 ({dim},)", "one vector for the whole slide")
        weights = "how much each patch counts in it; with several heads (patches, heads)"
        attention = dg.TableColumn(attention_of(stage.dataset), "float32 (patches,)", weights)
        return [vector, attention] if _keeps_attention(stage) else [vector]
    return [dg.TableColumn(stage.dataset, f"float32 (patches, {dim})", "row i belongs to row i of coords")]


def _geometry_facts(geometry: Geometry) -> Mapping[str, Any]:
    return {
        "patch_size": geometry.patch_size,
        "step_size": geometry.step_size or geometry.patch_size,
        "µm_per_px": geometry.mpp,
        "magnification": geometry.magnification,
        "scale": geometry.scale,
        "min_tissue": geometry.min_tissue,
        "rule": geometry.rule,
        "edge": geometry.spec.edge,
    }


def _encoder_facts(encoder: PatchEncoder | SlideEncoder) -> Mapping[str, Any]:
    return {
        "encoder": encoder.name,
        "dim": encoder.dim,
        "license": encoder.license,
        "gated": encoder.gated or None,
        "made_for_patch_size": encoder.patch_size,
        "made_for_magnification": encoder.magnification,
    }


def _homepage(encoder: PatchEncoder | SlideEncoder) -> dict[str, Any]:
    return {"homepage": dg.MetadataValue.url(encoder.homepage)} if encoder.homepage else {}


def _shown(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if isinstance(value, bool | int | float | str)}


def _folder(file: Path) -> dg.MetadataValue:
    return dg.MetadataValue.path(file.parent)


def _h5(stage: OutputSpec, store: Store) -> Path:
    return store.h5(STEM, _geometry(stage).name)


def _patches(geometry: Geometry) -> str:
    step = geometry.step_size or geometry.patch_size
    return (
        f"squares of {geometry.patch_size} px at {geometry.mpp:.4g} µm per px ({geometry.magnification:.4g}x), "
        f"one every {step} px"
    )


def _geometry(stage: OutputSpec) -> Geometry:
    assert stage.geometry is not None
    return stage.geometry


def _patch_encoder(stage: OutputSpec) -> PatchEncoder:
    assert isinstance(stage.encoder, PatchEncoder)
    return stage.encoder


def _slide_encoder(stage: OutputSpec) -> SlideEncoder:
    assert isinstance(stage.encoder, SlideEncoder)
    return stage.encoder
