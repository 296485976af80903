"""Folders that take the place of others: the new one, or the former one, and nothing beside it."""

from pathlib import Path

import pytest

from atlaspatch_core.errors import UnwritableOutput
from atlaspatch_core.storage.atomic import replacing_folder


def replace_by(place: Path, text: str) -> None:
    with replacing_folder(place) as temporary:
        temporary.mkdir()
        (temporary / "values").write_text(text)


def test_a_folder_that_cannot_take_its_place_leaves_the_former_one(tmp_path, monkeypatch):
    place, move = tmp_path / "a.zarr", Path.replace

    def refuse(path: Path, target: Path) -> Path:
        if target == place and (path / "values").read_text() == "new":
            raise OSError(28, "No space left on device")
        return move(path, target)

    replace_by(place, "former")
    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(UnwritableOutput, match="No space left"):
        replace_by(place, "new")

    assert (place / "values").read_text() == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]
