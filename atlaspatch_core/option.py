"""What an option means, its bounds and its names: stated beside its field, read by whoever shows or checks it.

Commands, the written project file, the table in ``docs/options.md`` and the configuration of jobs are made from it.
Nothing heavy is imported here, so that ``--help`` need not wait.
"""

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin

from atlaspatch_core.errors import InvalidProject

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Fields = TypeVar("Fields")
KEY = "option"
"""Of the metadata of a dataclass field."""


@dataclass(frozen=True, slots=True)
class Option:
    """What an option means. In ``Annotated``, pydantic enforces its bounds."""

    help: str
    """Sentences that read well in a help text, in a project file and in a table."""
    flags: tuple[str, ...] = ()
    """Names on the command line, as click has them; none where no command takes the option by itself."""
    aliases: tuple[str, ...] = ()
    """Names that commands accept as well: former ones, and those of other tools."""
    names_of: str = ""
    """What its words are names of, for shells that complete them."""
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    unit: str = ""
    values: str = ""
    """What may be given, where bounds do not tell it."""
    unset: str = ""
    """What counts where it is left out and the default is none."""
    example: Any = None
    """What a new project file shows instead of the default; commented out where the default is none."""
    example_counts: bool = False
    """Whether that example is no comment, because the file is no project without it."""

    @property
    def text(self) -> str:
        """What it means, and what counts where it is left out."""
        return f"{self.help} Default: {self.unset}." if self.unset else self.help

    @property
    def __is_annotated_types_grouped_metadata__(self) -> bool:
        """Mark this as bounds, by the protocol of annotated-types that pydantic reads."""
        return True

    def __iter__(self) -> Iterator[Any]:
        """Yield the bounds."""
        import annotated_types

        kinds = {name.lower(): getattr(annotated_types, name) for name in ("Ge", "Gt", "Le", "Lt")}
        yield from (kind(getattr(self, name)) for name, kind in kinds.items() if getattr(self, name) is not None)

    def allows(self, value: float) -> bool:
        """Tell whether a number is within the bounds; nan never is."""
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )

    @property
    def bounds(self) -> str:
        """The bounds, or else what may be given, in words; empty where nothing is said of it."""
        least = self.gt if self.ge is None else self.ge
        most = self.lt if self.le is None else self.le
        if least is None:
            return self.values
        unit = f" {self.unit}" if self.unit else ""
        if most is None:
            return f"{least:,.10g} or more{unit}" if self.gt is None else f"a number above {least:,.10g}{unit}"
        if self.gt is not None:
            return f"more than {least:,.10g} and {'less than' if self.le is None else 'at most'} {most:,.10g}{unit}"
        share = "a share from " if (least, most) == (0, 1) else ""
        return f"{share}{least:,.10g} to {'less than ' if self.le is None else ''}{most:,.10g}{unit}"


@dataclass(frozen=True, slots=True)
class OptionField:
    """A field that states an option."""

    name: str
    type: Any
    default: Any
    """``MISSING`` where it is required."""
    option: Option

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.default is MISSING

    @property
    def kind(self) -> Any:
        """The type, without ``None``."""
        kinds = [kind for kind in get_args(self.type) if kind is not NoneType]
        return kinds[0] if get_origin(self.type) is UnionType and len(kinds) == 1 else self.type

    @property
    def choices(self) -> tuple[str, ...]:
        """The values that there are, where they are words of a list."""
        return () if self._numbers else self._words

    @property
    def words(self) -> tuple[str, ...]:
        """The words that may stand in the place of a number."""
        return self._words if self._numbers else ()

    @property
    def least(self) -> int:
        """The least whole number, where words may stand in the place of a number."""
        bounds = next(get_args(part)[1] for part in self._parts if get_origin(part) is Annotated)
        return int(bounds.ge if bounds.gt is None else bounds.gt + 1)

    @property
    def _parts(self) -> tuple[Any, ...]:
        return get_args(self.type) if get_origin(self.type) is Union else (self.kind,)

    @property
    def _words(self) -> tuple[str, ...]:
        return tuple(word for part in self._parts if get_origin(part) is Literal for word in get_args(part))

    @property
    def _numbers(self) -> bool:
        return bool(self._words) and any(get_origin(part) not in (Literal, NoneType, None) for part in self._parts)


@dataclass_transform(kw_only_default=True)
def option_fields(cls: type[Fields]) -> type[Fields]:
    """Mark a class whose annotations are fields of the models that inherit it, without loading pydantic."""
    return cls


def stated(default: Any, help: str, **settings: Any) -> Any:  # noqa: A002
    """Return the field of a dataclass that states an option. Its bounds are for ``check_bounds``."""
    return field(default=default, metadata={KEY: Option(help, **settings)})


def fields_of(cls: type) -> tuple[OptionField, ...]:
    """Return the fields of a class that state options, in their order."""
    if is_dataclass(cls):
        options = ((field.name, field.type, field.default, field.metadata.get(KEY)) for field in fields(cls))
        return tuple(OptionField(name, kind, default, option) for name, kind, default, option in options if option)
    annotated = {name: hint for name, hint in cls.__annotations__.items() if get_origin(hint) is Annotated}
    return tuple(
        OptionField(name, kind, getattr(cls, name, MISSING), option)
        for name, (kind, option, *_) in ((name, get_args(hint)) for name, hint in annotated.items())
    )


def stated_values(spec: "DataclassInstance") -> dict[str, Any]:
    """Return what a spec says, for an identity. None says nothing: a field that is new and left out changes none."""
    return {name: value for name, value in asdict(spec).items() if value is not None}


def field_of(cls: type, name: str) -> OptionField:
    """Return the field of that name."""
    return next(field for field in fields_of(cls) if field.name == name)


def describe(fields: Mapping[str, Any]) -> None:
    """Give the fields of a pydantic model the texts of the options in their annotations."""
    for info in fields.values():
        texts = (option.text for option in info.metadata if isinstance(option, Option))
        info.description = next(texts, info.description)


def check_bounds(spec: Any, place: str = "") -> None:
    """Raise InvalidProject for a field of a dataclass beyond its bounds or choices; ``place`` is its section."""
    for option_field in fields_of(type(spec)):
        value = getattr(spec, option_field.name)
        choices, option = option_field.choices, option_field.option
        bounds = " or ".join(choices) or option.bounds
        if bounds and value is not None and not (value in choices if choices else option.allows(value)):
            where, then = (f"{place}: ", "; ") if place else ("", ": ")
            raise InvalidProject(f"{where}{option_field.name} is {value}{then}give {bounds}")
