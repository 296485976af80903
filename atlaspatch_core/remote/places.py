"""What lies in an object store, by URL, and where its placeholder lies in an output folder.

A placeholder is a file of the object's size and time with nothing in it. So whatever lists folders, compares files and
names slides knows one kind of path.
"""

from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Self

REMOTE_FOLDER = ".remote"
"""Folder of an output in which placeholders lie, below it the scheme, the bucket or host, and the key."""
SCHEMES = ("s3", "gs", "az", "https", "http")


@dataclass(frozen=True, slots=True)
class RemotePlace:
    """An object, or all objects whose keys begin so."""

    scheme: str
    bucket: str
    """Name of the bucket or container; of the web, the host."""
    key: str = ""
    """Without a slash at either end."""

    @property
    def url(self) -> str:
        """As people write it."""
        return f"{self.scheme}://{self.bucket}/{self.key}" if self.key else f"{self.scheme}://{self.bucket}"

    @property
    def root(self) -> str:
        """URL of the bucket or host alone."""
        return f"{self.scheme}://{self.bucket}"

    def placeholder(self, output: Path) -> Path:
        """Return where the placeholder, or the folder of placeholders, lies."""
        return output / REMOTE_FOLDER / self.scheme / self.bucket / self.key

    def __truediv__(self, key: str) -> "RemotePlace":
        return RemotePlace(self.scheme, self.bucket, f"{self.key}/{key}".strip("/"))

    @classmethod
    def of_url(cls, path: PurePath) -> Self | None:
        """Return the place that a path was meant to be, None where it is no URL.

        In a path the two slashes of a URL are one, and ``s3:`` is the first name.
        """
        scheme, *rest = path.parts or ("",)
        if not rest or scheme.removesuffix(":") not in SCHEMES or not scheme.endswith(":"):
            return None
        return cls(scheme[:-1], rest[0], "/".join(rest[1:]))

    @classmethod
    def of_placeholder(cls, path: PurePath) -> Self | None:
        """Return what a placeholder stands for; None for a path that is none."""
        parts = path.parts
        if REMOTE_FOLDER not in parts:
            return None
        scheme, bucket, *key = (*parts[parts.index(REMOTE_FOLDER) + 1 :], "", "")[: len(parts)]
        return cls(scheme, bucket, "/".join(filter(None, key))) if scheme in SCHEMES and bucket else None


def shown_path(path: PurePath) -> str:
    """Return what to call a path: the URL that it stands for, or else the path.

    So results know a slide by the same name wherever their folder lies.
    """
    place = RemotePlace.of_placeholder(path) or RemotePlace.of_url(path)
    return place.url if place else str(path)


def is_usable_key(key: str) -> bool:
    """Tell whether a key can be a path below a folder, and of that folder alone."""
    parts = key.split("/")
    return bool(key) and not any(part in ("", ".", "..") or "\0" in part for part in parts) and fits_names(key)


def fits_names(key: str) -> bool:
    """Tell whether every name of a key is short enough for a file system."""
    return all(len(part.encode()) <= 255 for part in PurePosixPath(key).parts)
