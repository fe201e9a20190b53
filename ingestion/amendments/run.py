"""One step of each open amendment, by the elected loader, between two batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import psycopg

from core.errors import EduError
from core.telemetry import log
from ingestion.amendments import erasure, regrading
from ingestion.amendments.queue import Amendment, open_amendments
from ingestion.term import Term

_PREPARED = "select exists (select from batches where state = 'prepared') as unconfirmed"
_Step = Callable[[Term, Amendment], None]
_STEPS: Mapping[tuple[str, str], _Step] = MappingProxyType(
    {
        ("erasure", "waiting"): erasure.leave_record,
        ("erasure", "held"): erasure.leave_record,
        ("erasure", "settling"): erasure.settle,
        ("regrade", "waiting"): regrading.mark_record,
        ("regrade", "sending"): regrading.mark_warehouse,
        ("regrade", "settling"): regrading.settle,
    }
)


def amend(term: Term, archive: erasure.Archive = erasure.no_archive) -> None:
    """Take each open amendment as far as it goes now; nothing while a batch is unconfirmed."""
    sending = partial(erasure.leave_warehouse, archive=archive)
    steps: dict[tuple[str, str], _Step] = {**_STEPS, ("erasure", "sending"): sending}
    tried: set[tuple[int, str]] = set()
    while not term.stopping.is_set():
        ready = [each for each in open_amendments(term.connection) if (each.id, each.state) not in tried]
        if not ready or term.connection.execute(_PREPARED).fetchall()[0]["unconfirmed"]:
            return
        for amendment in ready:
            tried.add((amendment.id, amendment.state))
            _try_step(steps[amendment.kind, amendment.state], term, amendment)


def _try_step(step: _Step, term: Term, amendment: Amendment) -> None:
    """An amendment that fails is tried again in the next pass; it keeps no row from being loaded."""
    if amendment.state != "held":
        term.amended += 1  # before the rows change: a copy that was begun earlier is not put in their place
    try:
        step(term, amendment)
    except (psycopg.OperationalError, psycopg.InterfaceError):
        raise
    except (EduError, psycopg.Error) as error:
        told = {"amendment": amendment.id, "kind": amendment.kind, "state": amendment.state}
        log.error("an amendment failed; it will be tried again", error=str(error)[:500], **told)
