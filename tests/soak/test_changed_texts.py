"""Tables, project files, outlines and records with words and numbers changed by chance: a result or one sentence.

Texts with which a fault was found lie in tests/data/found/texts; they are tried each time.
"""

import json
import signal
import traceback
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path

import pytest
from bounded import keep_fault
from click.testing import CliRunner, Result
from commands_that_write import OPTIONS, make_lab
from mutations import mutate_text
from paths import DATA
from prepared import PreparedFolder
from rounds import Chance, soak

from atlaspatch_assets.cli.main import cli

FOUND = DATA / "found" / "texts"
SECONDS = 60
"""Small texts take a hundredth of it."""
CODES = (0, 1, 2)
TABLE = "wsi,mpp,note\na.svs,0.5,x\nb.svs,0.25,\n"
CASES = "case_id,slide_path,mpp\n1,slides/a.svs,0.5\n1,slides/b.svs,0.5\n2,slides/b.svs,0.5\n"
NAMES = "slide,pseudonym\na.svs,one\nb.svs,two\n"
LISTED = "slide_path,cohort,series\nslides/a.svs,x,0\nslides/b.svs,y,0\n"
OUTLINE = json.dumps({
    "type": "FeatureCollection",
    "features": [{"type": "Feature", "properties": {"classification": {"name": "Tissue"}, "tissue_id": 0},
                  "geometry": {"type": "Polygon", "coordinates": [[[0, 0], [600, 0], [600, 600], [0, 600], [0, 0]],
                                                                  [[9, 9], [90, 9], [90, 90], [9, 9]]]}}],
})  # fmt: skip
PROJECT = """
output = "out"
plugins = ["plugin.py"]
[slides]
folders = ["slides"]
suffixes = [".svs"]
[tissue]
min_tissue_um2 = 1000.0
[[geometry]]
patch_size = 256
target_mag = 20
min_tissue = 0.5
patch_encoders = ["tiny"]
[runtime]
device = "cpu"
threads = 1
"""
SEGMENT = f"encode-slide slides -o out {OPTIONS} --patch-encoders tiny"
INPUTS: dict[str, tuple[str, str, str]] = {
    "mpp.csv": (TABLE, "mpp.csv", f"{SEGMENT} --mpp-csv mpp.csv"),
    "pseudonyms.csv": (NAMES, "pseudonyms.csv", f"{SEGMENT} --pseudonyms pseudonyms.csv"),
    "cases.csv": (CASES, "cases.csv", f"encode-patient cases.csv -o out {OPTIONS} --patient-encoders mean-tiny"),
    "masks.geojson": (OUTLINE, "masks/a.geojson", f"{SEGMENT} --masks masks"),
    "project.toml": (PROJECT, "project.toml", "status --project project.toml"),
    "estimate.toml": (PROJECT, "project.toml", "estimate --project project.toml"),
}
"""A text, where it lies, and the command that reads it."""
RECORDS = ("slides/*.json", "runs/*.json", "wsi_states/*.json", "contours_geojson/*.geojson", "atlaspatch.toml")
READERS = (
    "status out",
    "status out --csv",
    "audit out",
    SEGMENT,
    "report --output out",
    "export --output out --layout pt --to to",
)
"""Commands that read what lies in a folder of results."""


class TooSlow(Exception):
    """A command that takes longer than it may."""


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    def end(*_: object) -> None:
        raise TooSlow(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(folder: Path, words: str) -> Result:
    with chdir(folder), at_most(SECONDS):
        return CliRunner().invoke(cli, words.split())


def check_end(result: Result) -> None:
    """Assert that a command ended by itself, in its own words."""
    error = result.exception
    if error is not None and not isinstance(error, SystemExit):
        raise AssertionError("".join(traceback.format_exception(error)[-12:]))
    assert result.exit_code in CODES, result.output
    assert "failed unexpectedly" not in result.output, result.output
    assert "Traceback" not in result.output, result.output


def encode(folder: Path) -> None:
    make_lab(folder)
    check_end(result := run(folder, SEGMENT))
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> PreparedFolder:
    """Return a lab with results in ``out``."""
    return PreparedFolder(tmp_path_factory.mktemp("finished"), encode)


def check_changed(folder: Path, path: Path, words: str, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    check_end(run(folder, words))


def change(folder: Path, chance: Chance) -> tuple[Path, str, bytes]:
    """Return a text of the lab, the command that reads it, and what it is to hold."""
    if chance.random() < 0.6:
        text, name, words = chance.choice(sorted(INPUTS.values()))
        return folder / name, words, mutate_text(text.encode(), chance)
    path = chance.choice([path for pattern in RECORDS for path in sorted((folder / "out").glob(pattern))])
    return path, chance.choice(READERS), mutate_text(path.read_bytes(), chance)


def check_round(finished: PreparedFolder, chance: Chance) -> None:
    folder = finished.put_back()
    path, words, content = change(folder, chance)
    try:
        check_changed(folder, path, words, content)
    except Exception as fault:
        fault.add_note(f"atlaspatch {words}; {path.relative_to(folder)}")
        fault.add_note(f"kept in {keep_fault(f'text-{chance.number}-{path.name}', content)}")
        raise


@pytest.mark.soak
def test_changed_texts_have_a_result_or_a_sentence(finished: PreparedFolder):
    soak(40, lambda chance: check_round(finished, chance))


@pytest.mark.parametrize("path", sorted(FOUND.iterdir()), ids=lambda path: path.name)
def test_texts_that_once_were_a_fault_have_an_end(path: Path, tmp_path: Path):
    """A text is named for its input, with any word before it: ``digits-mpp.csv``."""
    make_lab(tmp_path)
    _, name, words = INPUTS[path.name.partition("-")[2]]
    check_changed(tmp_path, tmp_path / name, words, path.read_bytes())
