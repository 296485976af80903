"""Slides of every reader with bytes changed by chance: a result or one failed line, and no harm to others.

Files with which a fault was found lie in tests/data/found/slides; they are tried each time.
"""

import shutil
from pathlib import Path

import h5py
import pytest
from bounded import Ended, keep_fault, run_bounded
from mutations import mutate_file
from paths import DATA, SHARED
from rounds import SOAK_MINUTES, Chance, soak
from slide_bombs import write_bomb
from slide_kinds import KINDS, paint_kind, write_scales

PLUGIN = DATA / "written_before" / "colour_encoder.py"
FOUND = DATA / "found" / "slides"
COUNT = 20
"""Changed slides of a round."""
BOMBS = 4
"""Files of a round that claim more than anybody scans."""
REAL = ("openslide_python_fixtures/boxes.tiff", "openslide_python_fixtures/small.svs", "wsic/XYC.png")


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("originals")
    painted = [paint_kind(folder / str(number), f"s{number}", kind) for number, kind in enumerate(KINDS)]
    real = [SHARED / "slides" / name for name in REAL if SOAK_MINUTES and (SHARED / "slides" / name).is_file()]
    return painted + real


def encode(folder: Path) -> Ended:
    stems = [path.name.partition(".")[0] for path in folder.iterdir()]
    words = "--patch-size 64 --target-mpp 0.5 --device cpu --patch-encoders colour --feature-precision float32"
    table = ("--mpp-csv", write_scales(folder.parent, stems), "--feature-plugin", PLUGIN)
    return run_bounded("encode-slide", folder, "-o", folder.parent / "out", *words.split(), *table)


def add_mutant(folder: Path, number: int, originals: list[Path], chance: Chance) -> Path:
    """Put a changed copy of one of the slides into the folder, under a name of its own."""
    original = chance.choice(originals)
    copy = folder / f"m{number:03d}{''.join(original.suffixes)}"
    if original.is_dir():
        shutil.copytree(original, copy)
    else:
        shutil.copyfile(original, copy)
    mutate_file(copy, chance)
    return copy


def check_each_has_one_end(folder: Path, ended: Ended) -> None:
    """Assert that each slide has whole results or one line that says why not."""
    lines = ended.text.splitlines()
    for path in sorted(folder.iterdir()):
        stem = path.name.partition(".")[0]
        failed = [line for line in lines if line.startswith(f"{stem}:") and "FAILED" in line]
        result = folder.parent / "out" / "patches" / f"{stem}.h5"
        if not failed and result.exists():
            with h5py.File(result) as file:
                assert len(file["coords"]) == len(file["features/colour"]), stem  # pyright: ignore
        else:
            assert len(failed) == 1 or path.name in ended.text, f"{stem}: {failed}\n{ended.text}"


def keep_slides(folder: Path, seed: int) -> str:
    """Keep the slides of a round that failed, and say where."""
    archive = shutil.make_archive(str(folder.parent / "slides"), "gztar", folder)
    return f"the slides are kept in {keep_fault(f'slides-{seed}.tar.gz', Path(archive).read_bytes())}"


@pytest.mark.e2e
@pytest.mark.soak
def test_changed_slides_have_a_result_or_one_line_each(originals: list[Path], tmp_path: Path):
    good: set[bytes] = set()

    def check(chance: Chance) -> None:
        slides = tmp_path / str(chance.number) / "slides"
        paint_kind(slides, "good", "svs")
        for number in range(COUNT):
            add_mutant(slides, number, originals, chance)
        for number in range(BOMBS):
            write_bomb(slides, f"b{number:03d}", chance)
        try:
            check_each_has_one_end(slides, encode(slides))
        except AssertionError as fault:
            fault.add_note(keep_slides(slides, chance.number))
            raise
        with h5py.File(slides.parent / "out" / "patches" / "good.h5") as file:
            good.add(file["features/colour"][()].tobytes())  # pyright: ignore
        assert len(good) == 1, "the sound slide has other features"
        shutil.rmtree(slides.parent)

    soak(1, check)


def test_slides_that_once_were_a_fault_have_one_end_each(tmp_path: Path):
    shutil.copytree(FOUND, tmp_path / "slides")
    check_each_has_one_end(tmp_path / "slides", encode(tmp_path / "slides"))
