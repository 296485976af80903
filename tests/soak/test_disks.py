"""Every command that writes on a disk that is full at some moment: it says so and ends; with room it finishes."""

from pathlib import Path

import pytest
from bounded import check_said_well, end_of
from commands_that_write import COMMANDS, Command, contents, home_of, lost, make_lab, make_results
from disks import fill, small_disk
from killing import start_counted
from rounds import Chance, soak

MEGABYTES = 160


def run(command: Command, lab: Path):
    return end_of(start_counted(tuple(command.words.split()), lab, environment=home_of(lab)))


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def check_full(command: Command, lab: Path, chance: Chance) -> None:
    """Let the disk be full after so many bytes as the command writes, or fewer, and then have room again."""
    (make_results if command.on_results else make_lab)(lab)
    before, results = contents(lab / command.writes), contents(lab / "output")
    ballast = fill(lab.parent, chance.choice((0, chance.randint(0, 20_000), chance.randint(0, 600_000))))
    ended = run(command, lab)
    assert ended.code in (command.code, 1, 2), ended.text
    assert "Traceback" not in ended.text, ended.text
    assert "failed unexpectedly" not in ended.text, ended.text
    if ended.code != command.code:
        assert any(words in ended.text for words in ("free space", "No space left", "is full")), ended.text
    assert lost(before, contents(lab / command.writes)) == []
    assert lost(results, contents(lab / "output")) == []
    ballast.unlink()
    ended = run(command, lab)
    check_said_well(ended, (command.code,))
    assert list(lab.rglob("*.tmp")) == []


@pytest.mark.e2e
@pytest.mark.soak
def test_a_full_disk_is_told_and_with_room_the_command_finishes(tmp_path: Path):
    def check(chance: Chance) -> None:
        with small_disk(tmp_path / "disk", MEGABYTES) as disk:
            (lab := disk / "lab").mkdir()
            check_full(COMMANDS[chance.choice(sorted(COMMANDS))], lab, chance)

    soak(2, check)
