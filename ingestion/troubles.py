"""A pipeline that fails waits longer and longer, alone: the others go on. Its reason is written down for `status`."""

from __future__ import annotations

import time

from ingestion.term import Term

_LEAST_SECONDS = 0.1
_MOST_SECONDS = 5.0
_NOTE = """
update pipelines set trouble = %(trouble)s, failing_since = coalesce(failing_since, clock_timestamp()),
       failures = failures + 1
where name = any(%(names)s)
"""
_CLEAR = "update pipelines set trouble = null, failing_since = null, failures = 0 where name = %s"


def rests(term: Term, name: str) -> bool:
    """Whether the pipeline waits after a failure."""
    return term.resting.get(name, (0, 0.0))[1] > time.monotonic()


def note(term: Term, names: list[str], error: Exception) -> None:
    """These pipelines have failed: they rest, twice as long each time."""
    for name in names:
        failures = term.resting.get(name, (0, 0.0))[0] + 1
        pause = min(_LEAST_SECONDS * 2**failures, _MOST_SECONDS)
        term.resting[name] = (failures, time.monotonic() + pause)
    term.ailing.update(names)
    cause = getattr(error, "details", {}).get("cause", "")
    said = str(error).partition("\n")[0]
    text = f"{getattr(error, 'code', type(error).__name__)}: {said} {cause}".strip()[:1000]
    term.connection.execute(_NOTE, {"trouble": text.replace("\0", ""), "names": names})


def clear(term: Term, name: str) -> None:
    """The pipeline works; nothing is written when it did before."""
    term.resting.pop(name, None)
    if name in term.ailing:
        term.connection.execute(_CLEAR, (name,))
        term.ailing.discard(name)
