"""Who is on legal hold: nothing of theirs is deleted, whatever a school's retention says."""

from __future__ import annotations

from dataclasses import dataclass

from ingestion.batches import Blocking

_TABLE = "select to_regclass('holds') is not null as there"
_HELD = "select school_id, user_id from holds where released_at is null"


@dataclass(frozen=True, slots=True)
class Holds:
    """Schools and persons that are held now."""

    schools: frozenset[int] = frozenset()
    persons: frozenset[int] = frozenset()


def holds(connection: Blocking) -> Holds:
    """What is held at this moment."""
    if not connection.execute(_TABLE).fetchall()[0]["there"]:
        return Holds()
    rows = connection.execute(_HELD).fetchall()
    return Holds(
        frozenset(row["school_id"] for row in rows if row["user_id"] is None),
        frozenset(row["user_id"] for row in rows if row["user_id"] is not None),
    )
