"""``python -m website.encoder_facts``: write where each encoder's facts are from, and what checks them.

The checks are read from the tests: one that names an encoder and writes a checkpoint is its own; an encoder without one
is held by that of another, built, filled and pooled by the same functions.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from atlaspatch_core.encoders.architecture import PackageModel
from atlaspatch_core.encoders.declaration import PatchEncoder, SlideEncoder
from atlaspatch_core.encoders.declared_names import declared_name
from atlaspatch_core.encoders.patch import DECLARED
from atlaspatch_core.encoders.patch.trident import TRIDENT
from atlaspatch_core.encoders.remote import RemoteModel
from atlaspatch_core.encoders.slide import SLIDE_ENCODERS
from atlaspatch_core.encoders.weights import PackageWeights
from website.generated import ROOT, GeneratedPart

HEAD = "| encoder | facts from | checked by |\n|---|---|---|"
TESTS = ROOT / "tests" / "core" / "encoders"
HELPERS = TESTS.parents[1] / "helpers"
WRITERS = {"save_file", "save", "check", "save_checkpoint", "write_text"}
"""Functions by which tests write a checkpoint, or the code beside one."""

PACKAGES = {"conch", "musk", "moozy", "gigapath", "madeleine"}
"""Extras that are packages of an encoder's makers."""

Encoder = PatchEncoder | SlideEncoder
ENCODERS: tuple[Encoder, ...] = (
    *DECLARED,
    *(encoder for name, encoder in SLIDE_ENCODERS.items() if not name.startswith("mean-")),
)


@dataclass(frozen=True)
class EncoderTest:
    """A test that writes a checkpoint."""

    file: str
    name: str
    encoders: frozenset[str]
    """Names of the encoders that it speaks of."""


def encoder_tests() -> list[EncoderTest]:
    """Return the tests that write checkpoints, those of the fewest encoders first."""
    words = dict(_words())
    tests = [test for file in sorted(TESTS.glob("test_*.py")) for test in _tests_of(file, words)]
    return sorted(tests, key=lambda test: len(test.encoders))


def _words() -> Iterator[tuple[str, str]]:
    """Yield each name and alias, of outputs too, and the encoder that declares it."""
    for encoder in ENCODERS:
        each = encoder.each_output() if isinstance(encoder, PatchEncoder) else (encoder,)
        for output in each:
            yield from ((word, encoder.name) for word in (output.name, *output.aliases))


def _tests_of(file: Path, words: dict[str, str]) -> Iterator[EncoderTest]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    places: dict[str, ast.AST] = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.Assign):
            places |= {target.id: node.value for target in node.targets if isinstance(target, ast.Name)}
    constants, writers = dict(_imported(tree)), WRITERS | set(_writing_helpers(tree))
    for name in filter(lambda name: name.startswith("test_"), places):
        nodes = list(_reached(places[name], places, {name}))
        texts = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        texts |= {text for node in nodes if isinstance(node, ast.Name) for text in constants.get(node.id, ())}
        calls = {
            getattr(node.func, "attr", getattr(node.func, "id", "")) for node in nodes if isinstance(node, ast.Call)
        }
        if calls & writers and "raises" not in calls:
            yield EncoderTest(file.stem, name, frozenset(words[text] for text in texts & words.keys()))


def _writing_helpers(tree: ast.Module) -> Iterator[str]:
    """Yield the helpers of tests that a module imports from where checkpoints are written."""
    for node in tree.body:
        helper = HELPERS / f"{node.module}.py" if isinstance(node, ast.ImportFrom) else None
        text = helper.read_text(encoding="utf-8") if helper and helper.is_file() else ""
        if isinstance(node, ast.ImportFrom) and any(f"{writer}(" in text for writer in WRITERS):
            yield from (alias.name for alias in node.names)


def _imported(tree: ast.Module) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the declarations that a module imports, and the names of their encoders."""
    for node in tree.body:
        if not isinstance(node, ast.ImportFrom) or not (node.module or "").startswith("atlaspatch_core.encoders."):
            continue
        for alias in node.names:
            value = getattr(import_module(str(node.module)), alias.name, None)
            each = value if isinstance(value, tuple) else (value,)
            yield alias.name, tuple(encoder.name for encoder in each if isinstance(encoder, Encoder))


def _reached(node: ast.AST, places: dict[str, ast.AST], seen: set[str]) -> Iterator[ast.AST]:
    """Yield the nodes of a function, and of the functions and constants of its module that it uses."""
    for part in ast.walk(node):
        yield part
        if isinstance(part, ast.Name) and part.id in places and part.id not in seen:
            seen.add(part.id)
            yield from _reached(places[part.id], places, seen)


def facts_table() -> str:
    """Return a row an encoder."""
    tests = encoder_tests()
    rows = (f"| `{encoder.name}` | {facts_of(encoder)} | {checks_of(encoder, tests)} |" for encoder in ENCODERS)
    return "\n".join([HEAD, *rows])


def facts_of(encoder: Encoder) -> str:
    """Return where dim, geometry, normalisation and licence were read."""
    if encoder.facts:
        return encoder.facts
    trident = "; patch size and scale as TRIDENT recommends" if encoder.name in TRIDENT.values() else ""
    return f"[homepage]({encoder.homepage}){trident}"


def checks_of(encoder: Encoder, tests: list[EncoderTest]) -> str:
    """Return what checks an encoder, by the strongest check it has."""
    is_foreign = isinstance(encoder.architecture, RemoteModel | PackageModel) or encoder.extra in PACKAGES
    built = "parameters and dim, " if isinstance(encoder, PatchEncoder) and not is_foreign else ""
    if isinstance(encoder.source, PackageWeights):
        return f"{built}real weights"
    what = "stand-in for its makers' code" if is_foreign else "seeded checkpoint"
    own = next((test for test in tests if encoder.name in test.encoders), None)
    if own:
        return f"{built}{what} (`{own.file}`)"
    other = next((name for test in tests for name in sorted(test.encoders) if _way(name) == _way(encoder.name)), None)
    return f"{built}{what} of `{other}`" if other else built.rstrip(", ") or "the declaration alone"


def _way(name: str) -> tuple[str, ...]:
    """Return by which functions an encoder's network is built, filled and asked."""
    encoder = next(encoder for encoder in ENCODERS if encoder.name == name)
    ask = encoder.pooling if isinstance(encoder, PatchEncoder) else encoder.forward
    return type(encoder.architecture).__name__, declared_name(encoder.adapt), declared_name(ask)


ENCODER_FACTS = GeneratedPart(
    "docs/encoder_facts.md",
    "<!-- facts of encoders: written by 'make options' -->",
    "<!-- end of facts of encoders -->",
    facts_table,
)

if __name__ == "__main__":
    ENCODER_FACTS.write()
