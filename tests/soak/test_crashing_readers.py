"""A decoder that crashes while a slide of any kind is read, by real signals: that slide fails alone, by name."""

import signal
from pathlib import Path

import h5py
import pytest
from bounded import Ended, run_bounded
from crashing import write_plugin
from rounds import Chance, soak
from slide_kinds import KINDS, paint_kind, write_scales

SIGNALS = (signal.SIGSEGV, signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGKILL)
PLACES = ("open", "read", "decode")
OPTIONS = "--patch-size 64 --target-mpp 0.5 --feature-precision float32 --patch-encoders tiny"


@pytest.fixture(scope="module")
def slides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a slide of each kind."""
    folder = tmp_path_factory.mktemp("kinds") / "slides"
    for kind in KINDS:
        paint_kind(folder, stem_of(kind), kind)
    return folder


@pytest.fixture(scope="module")
def whole(slides: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("whole")
    encode(slides, folder, {}, codes=(0,))
    return features(folder / "out")


def stem_of(kind: str) -> str:
    return kind.replace(" ", "-")


def encode(slides: Path, folder: Path, crashes: dict[str, tuple[str, int, int]], *more: str, codes=(1,)) -> Ended:
    folder.mkdir(exist_ok=True)
    plugin, table = write_plugin(folder, crashes), write_scales(folder, [stem_of(kind) for kind in KINDS])
    words = (*OPTIONS.split(), *(more or ("--device", "cpu")), "--feature-plugin", plugin, "--mpp-csv", table)
    return run_bounded("encode-slide", slides, "-o", folder / "out", *words, codes=codes)


def features(output: Path) -> dict[str, bytes]:
    found = {}
    for path in sorted(output.glob("patches/*.h5")):
        with h5py.File(path) as file:
            if "features/tiny" in file:
                found[path.stem] = file["features/tiny"][()].tobytes()  # pyright: ignore
    return found


def check_crash(slides: Path, folder: Path, whole: dict[str, bytes], chance: Chance) -> None:
    """Let readers of some kinds crash; see that the others are whole, and that the next run finishes."""
    stems = [stem_of(kind) for kind in chance.sample(sorted(KINDS), chance.randint(1, 3))]
    crashes = {stem: (chance.choice(PLACES), 0, int(chance.choice(SIGNALS))) for stem in stems}
    more = chance.choice(((), (), ("--gpus", "-1")))
    ended = encode(slides, folder, crashes, *more, codes=(0, 1))
    crashed = {stem: crashes[stem] for stem in crashes if (folder / f"crashed-{stem}").exists()}
    assert crashed or all(place == "decode" for place, _, _ in crashes.values())  # of stored tiles alone
    for stem, (_, _, number) in crashed.items():
        failed = [line for line in ended.out.splitlines() if line.startswith(f"{stem}:") and "FAILED" in line]
        assert len(failed) == 1, ended.text
        assert f"signal {number}, {signal.Signals(number).name}" in failed[0], ended.text
    assert features(folder / "out") == {stem: value for stem, value in whole.items() if stem not in crashed}
    encode(slides, folder, {}, codes=(0,))
    assert features(folder / "out") == whole


@pytest.mark.e2e
@pytest.mark.soak
def test_a_crash_of_any_reader_costs_its_slide_alone(slides: Path, whole: dict[str, bytes], tmp_path: Path):
    assert len(whole) == len(KINDS)
    soak(1, lambda chance: check_crash(slides, tmp_path / str(chance.number), whole, chance))
