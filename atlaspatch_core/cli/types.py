"""Kinds of option values, checked before any work."""

import glob
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from atlaspatch_core.cli.completion import matching
from atlaspatch_core.encoders.device_names import DEVICE, DEVICES, gpu_numbers
from atlaspatch_core.remote.places import RemotePlace
from atlaspatch_core.texts import parse_whole, parse_whole_or, shortened

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Names(click.ParamType):
    """Names between commas or blanks, in any case of letters, each once: a tuple of lower-case words."""

    name = "text"
    several = True

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the names. Fails when there is none, or one occurs twice."""
        if isinstance(value, tuple):
            return value
        names = tuple(name.lower() for name in re.split(r"[,\s]+", value) if name)
        twice = sorted({name for name in names if names.count(name) > 1})
        if not names:
            self.fail("no name is given; separate several by commas or blanks", param, ctx)
        if twice:
            self.fail(f"{', '.join(twice)} is given twice; name each encoder once", param, ctx)
        return names


class Several(click.ParamType):
    """Words between commas or blanks, as they are: a tuple."""

    name = "text"
    several = True

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the words. Fails when there is none."""
        words = value if isinstance(value, tuple) else tuple(word for word in re.split(r"[,\s]+", value) if word)
        if not words:
            self.fail("nothing is given; separate several by commas or blanks", param, ctx)
        return words


class Labels(Several):
    """Numbers or names between commas, or numbers between blanks; a name may have blanks: a tuple."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        """Return the words. Fails when there is none."""
        if isinstance(value, tuple) or all(word.isdecimal() for word in re.split(r"[,\s]+", value) if word):
            return super().convert(value, param, ctx)
        return tuple(word.strip() for word in value.split(",") if word.strip())


class LocalPath(click.Path):
    """A file or folder of this machine: a URL in its place would be a folder called ``s3:``."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(path_type=Path, **settings)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path. Fails for a URL."""
        if place := RemotePlace.of_url(Path(str(value))):
            self.fail(f"{place.url} is in an object store, and this is a path of this machine", param, ctx)
        return super().convert(value, param, ctx)


class SlidePaths(click.Path):
    """A file or folder that exists, or a URL or pattern (``*``, ``?``, ``[``), which are not looked at yet."""

    name = "path"

    def __init__(self) -> None:
        super().__init__(exists=True, path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path. Fails when nothing is there."""
        text = str(value)
        if RemotePlace.of_url(Path(text)) or (glob.has_magic(text) and not Path(text).exists()):
            return Path(text)
        return super().convert(value, param, ctx)


class Device(click.ParamType):
    """Where a model runs."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the device in lower case."""
        device = str(value).strip().lower()
        if not DEVICE.fullmatch(device):
            self.fail(f"{value!r} is no device; give {DEVICES}", param, ctx)
        return device

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> "list[CompletionItem]":  # noqa: ARG002 - click's
        """Return devices that begin as typed."""
        return matching(("auto", "cpu", "cuda", "cuda:0", "mps"), incomplete)


class Checkpoint(click.ParamType):
    """``NAME=PATH``: an encoder's name in lower case, and a local file or folder that exists."""

    name = "name=path"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Path]:
        """Return name and path."""
        if isinstance(value, tuple):
            return value
        name, _, path = value.partition("=")
        if not name.strip() or not path.strip():
            self.fail(f"{value!r} is not NAME=PATH, such as uni_v1=/models/uni.bin", param, ctx)
        if not Path(path).expanduser().exists():
            self.fail(f"{name}: {path} does not exist; give the file that holds the weights", param, ctx)
        return name.strip().lower(), Path(path).expanduser()


class Whole(click.IntRange):
    """A whole number in a range, of plain digits: ``1_0`` is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number."""
        if parse_whole(str(value)) is None:
            self.fail(f"{shortened(value)} is not a valid integer", param, ctx)
        return super().convert(value, param, ctx)


class Gpus(click.ParamType):
    """Numbers of GPUs, between commas or blanks: a tuple."""

    name = "integers"
    several = True

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Return the numbers. Fails for what is none, and when there is none."""
        try:
            return gpu_numbers(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Number(click.FloatRange):
    """A finite float in a range, of plain digits: nan and inf are no measures."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number."""
        if "_" in str(value):
            self.fail(f"{shortened(value)} is not a valid number", param, ctx)
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number

    def _describe_range(self) -> str:
        """Return what the help says of the range; click says ``x<=None`` where there is none."""
        return "" if self.min is self.max is None else super()._describe_range()


class NumberOr(click.ParamType):
    """A whole number of ``least`` or more, or one of a few words, in any case of letters."""

    name = "integer"

    def __init__(self, words: Sequence[str], least: int = 0) -> None:
        self._words, self._least = tuple(words), least

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002 - click's own signature
        """Return what the help shows."""
        return f"INTEGER|{'|'.join(self._words)}"

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> "list[CompletionItem]":  # noqa: ARG002 - click's
        """Return the words that begin as typed."""
        return matching(self._words, incomplete)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return the number, or the word. Fails for anything else."""
        try:
            return parse_whole_or(value, self._words, self._least)
        except ValueError as error:
            self.fail(f"{shortened(value)} {error}", param, ctx)


def flat(several: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the words of an option that may be repeated."""
    return tuple(word for words in several for word in words)
