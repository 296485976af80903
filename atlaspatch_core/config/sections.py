"""The tables of a project file, as pydantic checks them."""

import re
from collections.abc import Mapping
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Self, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_serializer, field_validator, model_validator

from atlaspatch_core.config.geometry_fields import GeometryFields
from atlaspatch_core.config.geometry_fields import Precision as Precision
from atlaspatch_core.config.input_fields import PatientsFields, SlidesFields
from atlaspatch_core.config.run_fields import AlertsFields, PicturesFields, RuntimeFields, UpgradesFields
from atlaspatch_core.encoders.device_names import DEVICE, DEVICES
from atlaspatch_core.isolation.cores import usable_cores, usable_threads
from atlaspatch_core.option import describe, field_of
from atlaspatch_core.patches.grid_spec import GridSpec
from atlaspatch_core.remote.places import shown_path
from atlaspatch_core.slides.mpp import OTHERWISE
from atlaspatch_core.slides.readers import READERS, installed_readers
from atlaspatch_core.texts import parse_whole_or, shortened

EXTENSION = re.compile(r"\.?[^./\\\s]+(\.[^./\\\s]+)*")
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
GEOMETRY_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Section(BaseModel):
    """A table of the project file: unknown keys are errors, values never change."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Give the fields the descriptions of their options."""
        describe(cls.model_fields)

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_plain(cls, values: Any) -> Any:
        _check_numbers({name: field.annotation for name, field in cls.model_fields.items()}, values)
        return values


def _check_numbers(annotations: Mapping[str, Any], values: Any) -> None:
    """Raise ValueError for a text with an underscore where a number belongs, also in a section that is a dataclass."""
    for name, value in values.items() if isinstance(values, dict) else ():
        kinds = get_args(annotations.get(name)) or (annotations.get(name),)
        if isinstance(value, str) and {int, float} & {*kinds} and str not in kinds and "_" in value:
            raise ValueError(f"{name} is {shortened(value)}, which is no number")
        for kind in filter(is_dataclass, kinds):
            _check_numbers(get_type_hints(kind), value)


class Slides(SlidesFields, Section):
    """Where the slides are."""

    @field_serializer("folders", when_used="json")
    def _folders_as_written(self, folders: tuple[Path, ...]) -> list[str]:
        return list(map(shown_path, folders))

    @field_validator("extensions")
    @classmethod
    def _extensions_are_suffixes(cls, extensions: tuple[str, ...]) -> tuple[str, ...]:
        for extension in extensions:
            if not EXTENSION.fullmatch(extension):
                raise ValueError(f"{extension!r} is no suffix; give such as '.svs' or '.ome.tif'")
        return tuple(dict.fromkeys(f".{extension.lower().lstrip('.')}" for extension in extensions))

    @property
    def scale_keys(self) -> tuple[str, ...]:
        """Return the properties that state µm per px, and last what counts where nothing does, as ``mpp=0.25``."""
        return self.mpp_keys if self.mpp is None else (*self.mpp_keys, f"{OTHERWISE}{self.mpp!r}")

    @property
    def is_one_file(self) -> bool:
        """Whether one slide file is named, so that what is said of the scale is said of it."""
        return self.slide_list is None and len(self.folders) == 1 and self.folders[0].is_file()

    @field_validator("mpp_keys")
    @classmethod
    def _keys_are_names(cls, keys: tuple[str, ...]) -> tuple[str, ...]:
        if not all(key.strip() for key in keys):
            raise ValueError("a name is empty; give names of properties, such as 'aperio.MPP'")
        return keys

    @field_validator("mask_values")
    @classmethod
    def _mask_values_are_labels(cls, values: tuple[int | str, ...]) -> tuple[int | str, ...]:
        texts = [str(value).strip() for value in values]
        for text in texts:
            if not text or (text.startswith("-") and text[1:].isdecimal()):
                raise ValueError(f"{text!r} is no value of a pixel; give whole numbers of 0 or more, or names: 1,tumor")
        numbers = sorted({int(text) for text in texts if text.isdecimal()})
        return (*numbers, *sorted({text for text in texts if not text.isdecimal()}))

    @model_validator(mode="after")
    def _column_is_of_a_list(self) -> Self:
        if self.cohort_column is not None and self.slide_list is None:
            raise ValueError(
                f"cohort_column {self.cohort_column!r} is a column of slide_list, which is not given; name that table, "
                "or leave the column out"
            )
        return self

    @model_validator(mode="after")
    def _one_way_to_pseudonyms(self) -> Self:
        variable = self.pseudonym_key_variable
        if self.pseudonyms is not None and variable is not None:
            raise ValueError("pseudonyms and pseudonym_key_variable are two ways to name slides; give one of them")
        if variable is not None and not VARIABLE_NAME.fullmatch(variable):
            raise ValueError("pseudonym_key_variable is no name of an environment variable; give its name, not the key")
        return self

    @property
    def has_pseudonyms(self) -> bool:
        """Whether slides are called otherwise than their files."""
        return self.pseudonyms is not None or self.pseudonym_key_variable is not None

    @field_validator("reader")
    @classmethod
    def _reader_exists(cls, reader: str | None, info: ValidationInfo) -> str | None:
        has_plugins = bool(info.context)  # what their files declare is known once these are executed
        if reader is not None and reader not in READERS and not has_plugins and reader not in installed_readers():
            raise ValueError(f"no reader is called {reader!r}; there are {', '.join(installed_readers())}")
        return reader


class Geometry(GeometryFields, Section):
    """One size and scale of patches, and the encoders that run on them."""

    @field_validator("name")
    @classmethod
    def _name_is_a_folder(cls, name: str) -> str:
        if name and not GEOMETRY_NAME.fullmatch(name):
            raise ValueError("must be letters, digits, dots, dashes and underscores")
        return name

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if (self.target_mag is None) == (self.target_mpp is None):
            raise ValueError("needs either target_mag or target_mpp")
        return self

    def precision_of(self, own: Precision) -> Precision:
        """Return the precision of an encoder whose makers use ``own``."""
        return own if self.precision == "own" else self.precision

    @property
    def mpp(self) -> float:
        """Target scale, µm per px."""
        return self.target_mpp if self.target_mpp is not None else 10 / float(self.target_mag or 0)

    @property
    def magnification(self) -> int | float:
        """Target magnification, 10 / µm per px; an int where it is whole, as readers of the files expect."""
        exact = self.target_mag if self.target_mag is not None else 10 / float(self.target_mpp or 0)
        return int(exact) if exact == int(exact) else exact

    @property
    def spec(self) -> GridSpec:
        """What decides the coordinates."""
        names = ("patch_size", "step_size", "scale", "min_tissue", "rule", "edge", "resample")
        return GridSpec(target_mpp=self.mpp, **{name: getattr(self, name) for name in names})


class Patients(PatientsFields, Section):
    """Cases of one or more slides, and what makes one embedding of each."""


class Upgrades(UpgradesFields, Section):
    """What happens when an encoder, the segmenter or a geometry changes."""


class Alerts(AlertsFields, Section):
    """Who is told of what goes wrong."""

    @field_validator("url_variables")
    @classmethod
    def _variables_are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := [name for name in names if not VARIABLE_NAME.fullmatch(name)]:
            text = "is no name of an environment variable; a URL with its password belongs into one, not into this file"
            raise ValueError(f"{wrong[0].partition(':')[0]!r} {text}")
        return names


class Pictures(PicturesFields, Section):
    """Pictures and patch images to write beside the results; they decide no numbers."""


class Runtime(RuntimeFields, Section):
    """What decides speed and never a number."""

    @field_validator("feature_batch_size", mode="before")
    @classmethod
    def _batch_size_is_a_number_or_a_word(cls, size: Any) -> int | str:
        return parse_whole_or(size, field_of(RuntimeFields, "feature_batch_size").words, least=1)

    @field_validator("device", "feature_device")
    @classmethod
    def _devices_are_known(cls, name: str | None) -> str | None:
        if name is not None and not DEVICE.fullmatch(name.lower()):
            raise ValueError(f"is no device; give {DEVICES}")
        return name and name.lower()

    @property
    def devices(self) -> tuple[str, ...]:
        """Where anything computes, as it is named, each once."""
        return tuple(dict.fromkeys(filter(None, (self.device, self.feature_device))))

    @property
    def compute_threads(self) -> int:
        """Threads of torch and OpenCV."""
        return self.threads or usable_threads()

    @property
    def readers(self) -> int:
        """Threads that read and decode."""
        return self.read_workers or usable_cores()
