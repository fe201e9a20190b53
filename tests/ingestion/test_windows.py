"""Windows share the log out: each transaction that ends lies in exactly one."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.windows import Snapshot, between


@pytest.mark.parametrize("text", ["1:1:", "10:20:", "10:20:10", "10:20:10,14,19"])
def test_text_and_back(text: str) -> None:
    assert str(Snapshot.parse(text)) == text


def test_the_example_of_the_documentation() -> None:
    window = between(Snapshot.parse("10:20:12"), Snapshot.parse("18:30:18,25"))
    assert (window.late, window.start, window.stop, window.hidden) == ((12,), 20, 30, (25,))


class History:
    """Transactions that begin in order and end in any order; the oracle knows who has ended."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.next, self.running, self.ended = 3, set[int](), set[int]()

    def step(self) -> None:
        """One transaction begins or ends."""
        if self.running and self.chance.random() < 0.5:
            xid = self.chance.choice(sorted(self.running))
            self.running.remove(xid)
            self.ended.add(xid)
        else:
            self.running.add(self.next)
            self.next += 1

    def snapshot(self) -> Snapshot:
        """As Postgres takes it."""
        return Snapshot(min(self.running, default=self.next), self.next, tuple(sorted(self.running)))


@given(st.integers(), st.lists(st.integers(0, 12), min_size=1, max_size=12))
def test_each_ended_transaction_lies_in_exactly_one_window(seed: int, steps: list[int]) -> None:
    history = History(seed)
    done, brought = Snapshot(1, 1), list[int]()
    for count in steps:
        for _ in range(count):
            history.step()
        target = history.snapshot()
        window = between(done, target)
        brought += [xid for xid in range(history.next + 2) if xid >= 3 and window.contains(xid)]
        assert sorted(brought) == sorted(history.ended)
        done = target


@given(st.integers(), st.integers(0, 30), st.integers(0, 30))
def test_a_later_snapshot_covers_an_earlier_one(seed: int, first: int, second: int) -> None:
    history = History(seed)
    for _ in range(first):
        history.step()
    early, seen = history.snapshot(), set(history.ended)
    for _ in range(second):
        history.step()
    late = history.snapshot()
    assert late.covers(early)
    assert early.covers(late) == (seen == history.ended and early.xmax == late.xmax)
    assert {xid for xid in range(3, history.next) if early.sees(xid)} == seen
