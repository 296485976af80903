"""Finished folders that many tests begin with: made once, and put back under the same path, with their times."""

import shutil
from collections.abc import Callable
from pathlib import Path


class PreparedFolder:
    """A folder as ``prepare`` leaves it. Results name their paths, so it has one path for all tests of a module."""

    def __init__(self, base: Path, prepare: Callable[[Path], object]) -> None:
        self.path, self._saved = base / "folder", base / "saved"
        self.path.mkdir()
        prepare(self.path)
        shutil.copytree(self.path, self._saved, symlinks=True)

    def put_back(self) -> Path:
        shutil.rmtree(self.path)
        shutil.copytree(self._saved, self.path, symlinks=True)
        return self.path
