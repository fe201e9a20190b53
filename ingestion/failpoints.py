"""Every arrow of the path by name, so that a test can make the path fail there; nothing happens there otherwise.

An arrow stands between two steps that may be parted by a crash. The tests cut each of them in every way
(tests/ingestion/crash/arrows.yml says how); an arrow without a case, and a place without an arrow, fail a test.
docs/reference/arrows.md is made of both.
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
    "sifted": "the rows that ClickHouse refuses are known",
    "reduced": "they are dead letters, and the batch is smaller",
    "repaired": "an audit has sent again what ClickHouse had lost",
    "removed": "an audit has taken away what the record does not have",
    "replayed": "a block of a range is in the twin of its table",
    "exchanging": "the twin is compared and about to take the table's place",
    "exchanged": "it has taken it",
    "rebased": "every pipeline begins anew in a restored record",
    "amend_erasing": "a person is taken out of the record in a transaction that is open",
    "amend_erased": "the record knows him no more; ClickHouse does",
    "amend_sent": "ClickHouse has been told; nothing is written down yet",
    "amend_archived": "neither do ClickHouse and the archive; nothing is written down yet",
    "amend_certified": "the certificate is written",
    "amend_marking": "new marks are written in a transaction that is open",
    "amend_marked": "the record has the new marks; ClickHouse has the old ones",
    "archive_claimed": "a month is being written to the archive",
    "archive_closed": "nobody can write to the month any more",
    "archive_file_written": "a file is in the store; nobody has read it back",
    "archive_file_noted": "it was compared and is known",
    "archive_written": "all files of the month are",
    "archive_compared": "the month's files agree with the record and with ClickHouse",
    "archive_dropping": "the month is said to leave the record",
    "archive_detached": "it is a table of its own",
    "archive_dropped": "the table is gone; the month still counts as leaving",
    "archive_rewritten": "a file was written anew without some rows",
    "archive_file_restored": "the rows of one file are back",
    "archive_restored": "the whole month is back in the record",
    "retention_told": "rows have left the record; ClickHouse has them",
    "retention_deleted": "they have left ClickHouse; nothing is written down yet",
    "cold_told": "the batches know that their month leaves ClickHouse",
    "cold_deleted": "it has left; nothing is written down yet",
}
"""Where the path can be cut → how things stand there; in the order of the path."""

_armed: dict[str, Callable[[], None]] = {}


def failpoint(name: str) -> None:
    """Run what a test has put here."""
    if _armed and (action := _armed.get(name)):
        action()


@contextmanager
def armed(name: str, action: Callable[[], None]) -> Iterator[None]:
    """Put `action` at an arrow for the time of a block."""
    if name not in ARROWS:
        raise KeyError(name)
    _armed[name] = action
    try:
        yield
    finally:
        del _armed[name]
