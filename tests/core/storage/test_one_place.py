"""What storage alone may do, held by the source of the package: opening HDF5 files, and joining paths."""

import ast
from collections.abc import Iterator
from functools import cache

import pytest
from paths import ROOT

from atlaspatch_core.storage import schema

PACKAGES = ("atlaspatch_core", "atlaspatch_assets")
OPENERS = {
    "atlaspatch_core/storage/disk.py",
    "atlaspatch_core/storage/hdf5_probe.py",
    "atlaspatch_core/encoders/slide/moozy.py",
}
"""The opener, what it asks first, and the files that the package moozy wants of whoever calls it, below storage."""


@cache
def sources() -> dict[str, ast.Module]:
    """Return the code of both packages by path."""
    paths = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in paths}


def opens_hdf5(tree: ast.AST) -> bool:
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return any(ast.unparse(function) == "h5py.File" for function in calls)


def test_one_function_opens_hdf5_files():
    assert {path for path, tree in sources().items() if opens_hdf5(tree)} == OPENERS


FOREIGN_NAMES = ("atlaspatch_core/layouts/", "atlaspatch_core/interop/audit/", "atlaspatch_core/encoders/")
"""They read files of others, whose names happen to be ours in part."""
NAMES = {name for name in vars(schema).values() if isinstance(name, str)}
OUR_NAMES_ALONE = (
    "atlaspatch_core/interop/adopt/vectors.py",
    *(f"atlaspatch_core/interop/export/{name}.py" for name in ("files", "folder", "pt")),
    "atlaspatch_core/upgrades/trial.py",
)
"""They name nothing but what is in our files."""


def attribute_literals(tree: ast.AST) -> Iterator[str]:
    """Yield names in quotes that an attribute of HDF5 is asked by."""
    for node in ast.walk(tree):
        match node:
            case ast.Subscript(
                value=ast.Attribute(attr="attrs" | "file") | ast.Name(id="file"), slice=ast.Constant(value=str(name))
            ) if name != "datasets":
                yield name
            case ast.Call(func=ast.Attribute(value=ast.Attribute(attr="attrs"), attr="get"), args=[ast.Constant(), *_]):
                yield ast.unparse(node.args[0])
            case ast.Compare(left=ast.Constant(value=str(name)), comparators=[ast.Attribute(attr="attrs")]):
                yield name


def test_attributes_of_our_files_are_spelled_in_the_schema():
    ours = {path: tree for path, tree in sources().items() if not path.startswith(FOREIGN_NAMES)}
    assert {path: names for path, tree in ours.items() if (names := [*attribute_literals(tree)])} == {}


@pytest.mark.parametrize("path", OUR_NAMES_ALONE)
def test_whoever_names_our_datasets_and_attributes_asks_the_schema(path: str):
    literals = {node.value for node in ast.walk(sources()[path]) if isinstance(node, ast.Constant)}
    assert literals & NAMES == set()


JOINERS = (
    "atlaspatch_core/storage/",
    "atlaspatch_core/layouts/",  # folders of others
    "atlaspatch_core/remote/places.py",  # placeholders, which are no results
    "atlaspatch_core/operations/transfer/",  # files by the paths that an upload lists
    "atlaspatch_core/cli/adopt_inputs.py",  # the project file lies by default in the folder that is adopted
    "atlaspatch_core/cli/run_coords.py",  # --coords_dir names a folder below the job's
)


def joined_outputs(tree: ast.AST) -> Iterator[str]:
    """Yield where something is joined to the output folder."""
    for node in ast.walk(tree):
        match node:
            case ast.BinOp(op=ast.Div(), left=ast.Name(id="output") | ast.Attribute(attr="output")):
                yield ast.unparse(node)
            case ast.Call(func=ast.Name(id="Path"), args=[ast.Attribute(attr="output") | ast.Name(id="output"), _, *_]):
                yield ast.unparse(node)


def test_paths_under_the_output_folder_come_from_the_store():
    others = {path: tree for path, tree in sources().items() if not path.startswith(JOINERS)}
    assert {path: paths for path, tree in others.items() if (paths := [*joined_outputs(tree)])} == {}
