"""What a run knows of where its rows are, against a world in which it is known."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavenet_pl.errors import UserError
from wavenet_pl.tracking.wandb_ledger import NAME, Ledger, Row, Start, rows_delivered


@dataclass
class World:
    """A server, and the starts of one run with what became of their rows."""

    starts: list[Start] = field(default_factory=list)
    server: list[tuple[int, int]] = field(default_factory=list)
    """(start, row) of each row, in the order in which they came."""
    left: set[int] = field(default_factory=set)
    """Offline starts that nobody has sent."""

    def start(self, offline: bool, handed: int, survived: int) -> None:
        """A start hands over some rows, of which some survive its end, in the folder or on the server."""
        number, place = len(self.starts), None if offline else len(self.server)
        rows = [Row(row, 100 * number + row, ("train/loss",)) for row in range(handed)]
        self.starts.append(Start(Path(f"{number}"), offline, place, rows, survived if offline else math.inf))
        if offline:
            self.left.add(number)
        else:
            self.left.clear()  # it takes them over
            self.server += [(number, row) for row in range(survived)]

    def sync(self, number: int, told: bool = True) -> None:
        """`wandb sync` of an offline start, here or, without being told, elsewhere."""
        self.left.discard(number)
        if told:
            self.starts[number].first_row = len(self.server)
        held = min(self.starts[number].held, len(self.starts[number].rows))
        self.server += [(number, row) for row in range(int(held))]

    def clean(self, number: int) -> None:
        """`wandb clean` deletes a folder that was sent."""
        self.starts[number].first_row, self.starts[number].held = None, math.inf

    def compare(self) -> tuple[set[tuple[int, int]], set[tuple[int, int]]]:
        """Rows that an online start would send though the server has them, and rows that it would never send."""
        counts = rows_delivered(self.starts, len(self.server))
        every = {(number, row.number) for number, start in enumerate(self.starts) for row in start.rows}
        sent = {(number, row) for number, row in every if row < counts[number]}
        return set(self.server) - sent, sent - set(self.server)


STARTS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9), st.sampled_from(["", "sync", "clean"])),
    max_size=6,
)


@given(STARTS)
def test_an_online_start_sends_exactly_what_the_server_lacks(
    starts: list[tuple[bool, int, int, str]],
) -> None:
    world = World()
    for offline, handed, lost, _ in starts:
        world.start(offline, handed, max(0, handed - lost))
        for number in sorted(world.left) if lost % 2 else ():
            world.sync(number)
    assert world.compare() == (set(), set())


@given(STARTS)
def test_nothing_is_sent_twice_that_another_machine_sent(starts: list[tuple[bool, int, int, str]]) -> None:
    """Nobody says what it sent, or the folder is gone; but the server has more rows than this machine sent it.

    (Rows that a kill cost can make up for that number: after both, some may be sent twice.)
    """
    world = World()
    for position, (offline, handed, _, fate) in enumerate(starts):
        world.start(offline, handed, handed)
        if offline and fate:
            world.sync(position, told=fate == "clean")
            if fate == "clean":
                world.clean(position)
    twice, _ = world.compare()
    assert not twice


@given(STARTS)
def test_an_offline_start_adds_what_the_folders_lack(starts: list[tuple[bool, int, int, str]]) -> None:
    world = World()
    for _, handed, lost, fate in starts:
        world.start(True, handed, max(0, handed - lost))
        if fate:
            world.sync(len(world.starts) - 1)
    assert rows_delivered(world.starts, None) == [start.held for start in world.starts]
    online = World()
    for _, handed, _, _ in starts:
        online.start(False, handed, 0)
    assert rows_delivered(online.starts, None) == [math.inf] * len(starts), "nobody can be asked"


def test_a_ledger_says_again_what_it_was_told(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert not ledger.exists
    assert ledger.read() == []
    ledger.begin([], tmp_path / "wandb" / "run-1", on_server=0)
    ledger.note(10, {"train/loss": 1.0, "train/bits": 2.0})
    ledger.took(10, ["train/loss", "train/bits"])
    ledger.note(20, ["train/loss"])  # and then it was killed
    assert ledger.logged(10) == ("train/loss", "train/bits")
    assert ledger.logged(20) == ledger.logged(None) == ()
    again = Ledger(tmp_path)
    assert again.exists
    (start,) = again.read()
    assert start.rows == [Row(0, 10, ("train/loss", "train/bits")), Row(1, 20, ("train/loss",))]
    again.begin([start], tmp_path / "wandb" / "run-2", on_server=1)
    assert (again.logged(10), again.logged(20)) == (("train/loss", "train/bits"), ())


def test_a_row_that_was_refused_does_not_count(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.begin([], tmp_path / "wandb" / "run-1", on_server=0)
    ledger.note(10, ["val/clips"])
    ledger.note(11, ["train/loss"])
    ledger.took(11, ["train/loss"])
    (start,) = Ledger(tmp_path).read()
    assert start.rows == [Row(0, 11, ("train/loss",))]


@pytest.mark.parametrize(
    "line",
    [
        '{"row": 0, "step": 1, "keys": ["a/b"]}',
        '{"start": 7}',
        '{"start": "x"}',
        '{"start": "x", "place": "y"}',
        "{}",
    ],
)
def test_a_foreign_row_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / NAME).write_text(f"{line}\n")
    with pytest.raises(
        UserError, match=rf"{NAME} has the row .*, expected one that `wavenet-pl train` wrote"
    ):
        Ledger(tmp_path).read()


def test_a_start_never_lies_outside_of_the_run(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"start": "../../elsewhere", "place": 3}\n')
    assert Ledger(tmp_path).read()[0].folder == tmp_path / "wandb" / "elsewhere"


def test_a_damaged_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("nonsense\n")
    with pytest.raises(UserError, match=rf"{NAME} line 1 is b'nonsense', expected a row of JSON"):
        Ledger(tmp_path).read()
