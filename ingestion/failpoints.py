"""Every arrow of the path by name, so that a test can make the path fail there; nothing happens there otherwise.

An arrow stands between two steps that may be parted by a crash. The tests cut each of them in every way
(tests/ingestion/crash/arrows.yml says how); an arrow without a case, and a place without an arrow, fail a test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

ARROWS = {
    "received": "the rows of a group of requests are in memory only",
    "staged": "they were copied to the transaction's temporary table",
    "moved": "they are in the record's table, not yet committed",
    "accepted": "they are committed; nobody has been told",
    "answered": "the requests know",
    "elected": "a loader holds the lock; its predecessor's epoch still counts",
    "claimed": "the epoch has grown; nothing was looked at",
    "discarding": "a table of ClickHouse was found empty that had rows",
    "discarded": "its batches are discarded in a transaction that is open",
    "rebuilt": "its pipeline begins anew",
    "recovering": "a prepared batch was found and read from the record",
    "read_back": "what ClickHouse has of it is known",
    "completed": "what was missing has been sent",
    "recovered": "number and fingerprint are right; the boundary has not moved",
    "whole": "one whole table of the dimensions was sent",
    "changed": "the changed rows of a window are known by their keys",
    "shown": "their newest state was sent",
    "moved_on": "the boundary of the changes has moved",
    "looked": "the next batch is known and its rows are read; nothing is written down",
    "prepared": "the batch is written down; nothing was sent",
    "inserting": "the rows are about to be sent",
    "sent": "ClickHouse has them; its answer has not been looked at",
    "inserted": "the answer was clean; the boundary has not moved",
    "committed": "the batch is committed and the boundary behind it",
    "exhausted": "the window is empty and the next one begins at its end",
}
"""Where the path can be cut → how things stand there; in the order of the path."""

OTHERS = frozenset(
    {
        "sifted",
        "reduced",
        "removed",
        "repaired",
        "replayed",
        "exchanging",
        "exchanged",
        "rebased",
        "archive_claimed",
        "archive_closed",
        "archive_compared",
        "archive_detached",
        "archive_dropped",
        "archive_dropping",
        "archive_file_noted",
        "archive_file_restored",
        "archive_file_written",
        "archive_restored",
        "archive_rewritten",
        "archive_written",
        "cold_deleted",
        "cold_told",
        "retention_deleted",
        "retention_told",
        "amend_erasing",
        "amend_erased",
        "amend_sent",
        "amend_archived",
        "amend_certified",
        "amend_marking",
        "amend_marked",
    }
)
"""Arrows of other ways (audits, replays, the archive, amendments), cut by the tests of their rooms."""
_armed: dict[str, Callable[[], None]] = {}


def failpoint(name: str) -> None:
    """Run what a test has put here."""
    if _armed and (action := _armed.get(name)):
        action()


@contextmanager
def armed(name: str, action: Callable[[], None]) -> Iterator[None]:
    """Put `action` at an arrow for the time of a block."""
    if name not in ARROWS and name not in OTHERS:
        raise KeyError(name)
    _armed[name] = action
    try:
        yield
    finally:
        del _armed[name]
