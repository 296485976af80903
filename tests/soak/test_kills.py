"""Every command that writes, sent signals at moments of chance: nothing is lost, and the next run finishes.

Most moments are a file: the n-th that the command opens, makes, renames or removes in the lab.
"""

import signal
from pathlib import Path

import pytest
from bounded import Ended, check_said_well, end_of
from commands_that_write import COMMANDS, Command, contents, home_of, lost, make_lab, make_results
from killing import Course, Moment, course_of, start_counted
from prepared import PreparedFolder
from rounds import Chance, soak

ASKED = {signal.SIGINT: 130, signal.SIGTERM: 143}
"""What commands end with that are asked to end."""


class Labs:
    """Labs with and without results, and how each command goes in one when nothing disturbs it."""

    def __init__(self, bases: dict[bool, Path]) -> None:
        self._bases, self._prepared = bases, {}
        self._undisturbed: dict[str, tuple[Course, dict]] = {}

    def put_back(self, command: Command) -> Path:
        """Return the lab with which a command begins."""
        if command.on_results not in self._prepared:
            make = make_results if command.on_results else make_lab
            self._prepared[command.on_results] = PreparedFolder(self._bases[command.on_results], make)
        return self._prepared[command.on_results].put_back()

    def undisturbed(self, name: str) -> tuple[Course, dict]:
        """Return the course of a command and what it leaves."""
        if name not in self._undisturbed:
            folder = self.put_back(COMMANDS[name])
            ended = run(COMMANDS[name], folder)
            check_said_well(ended, (COMMANDS[name].code,))
            self._undisturbed[name] = course_of(ended.errors), contents(folder / COMMANDS[name].writes)
        return self._undisturbed[name]


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Labs:
    return Labs({kind: tmp_path_factory.mktemp(f"lab{kind:d}") for kind in (False, True)})


def run(command: Command, folder: Path, moment: Moment | None = None) -> Ended:
    return end_of(start_counted(tuple(command.words.split()), folder, moment, environment=home_of(folder)))


def check_end(ended: Ended, command: Command, moment: Moment) -> None:
    """Assert that a command that was sent a signal ended by it, or had ended before."""
    if moment.signal == signal.SIGKILL:
        assert ended.code in (command.code, -signal.SIGKILL), ended.text
    else:
        check_said_well(ended, (command.code, ASKED[moment.signal], -moment.signal))


def check_kill(labs: Labs, name: str, chance: Chance) -> None:
    """Kill a command once to three times, and let it finish."""
    command = COMMANDS[name]
    course, whole = labs.undisturbed(name)
    folder = labs.put_back(command)
    before, results = contents(folder / command.writes), contents(folder / "output")
    for _ in range(chance.randint(1, 3)):
        moment = course.moment(chance)
        ended = run(command, folder, moment)
        check_end(ended, command, moment)
        after = contents(folder / command.writes)
        assert lost(before, after) == [], f"{name}, {moment}\n{ended.text}"
        assert lost(results, contents(folder / "output")) == [], f"{name}, {moment}\n{ended.text}"
        before = after
    ended = run(command, folder)
    check_said_well(ended, (command.code,))
    after = contents(folder / command.writes)
    assert (lost(whole, after), sorted(after.keys() - whole.keys())) == ([], []), f"{name}\n{ended.text}"
    assert list(folder.rglob("*.tmp")) == []


@pytest.mark.e2e
@pytest.mark.soak
def test_nothing_is_lost_and_the_next_run_finishes(labs: Labs):
    soak(2, lambda chance: check_kill(labs, chance.choice(sorted(COMMANDS)), chance))
