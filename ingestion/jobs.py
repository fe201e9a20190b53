"""Work on command, done by the elected loader a piece at a time between its passes, so that loading goes on.

A command writes a line into `loader_jobs` and watches it. Each kind of work is a generator: what it yields is its
progress, what it returns its result. A loader that takes over begins a running job anew; each is made so that
beginning anew does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, TypeAlias

import psycopg
from psycopg.types.json import Jsonb

from core.errors import BadInput, EduError, NotFound, Unavailable
from core.telemetry import log
from ingestion.audit import audit
from ingestion.batches import Blocking, prepare_keyed
from ingestion.differences import is_settled
from ingestion.exchange import exchange
from ingestion.pipelines import BY_NAME, Pipeline
from ingestion.rebase import rebase
from ingestion.replay import replay
from ingestion.term import Term

Steps: TypeAlias = Generator[dict[str, Any], None, dict[str, Any]]
_NEXT = """
update loader_jobs set state = 'running', started_at = coalesce(started_at, clock_timestamp())
where id = (select min(id) from loader_jobs where state in ('requested', 'running') and kind = any(%s))
returning id, kind, options
"""
_PROGRESS = "update loader_jobs set progress = %s where id = %s and state = 'running'"
_END = """
update loader_jobs set state = %s, result = %s, ended_at = clock_timestamp() where id = %s and state = 'running'
"""
_SHOW = """
select id, kind, options, state, progress, result, requested_at, started_at, ended_at from loader_jobs
"""


@dataclass(slots=True)
class Work:
    """The job at hand and where it is."""

    number: int
    steps: Steps


def request(connection: Blocking, kind: str, **options: Any) -> int:
    """Ask the elected loader for some work; returns its number. Raises `BadInput` for what nobody can do."""
    if kind not in _KINDS:
        raise BadInput(f"There is no job {kind}.")
    if options.get("table") is not None:
        pipeline_of(options)
    given = {name: value for name, value in options.items() if value is not None}
    query = "insert into loader_jobs (kind, options) values (%s, %s) returning id"
    return int(connection.execute(query, (kind, Jsonb(given))).fetchall()[0]["id"])


def read_job(connection: Blocking, number: int) -> dict[str, Any]:
    """A job's state, progress and result; raises `NotFound`."""
    row = connection.execute(_SHOW + " where id = %s", (number,)).fetchone()
    if row is None:
        raise NotFound(f"There is no job {number}.")
    return row


def read_jobs(connection: Blocking, limit: int = 20) -> list[dict[str, Any]]:
    """The newest jobs."""
    return connection.execute(_SHOW + " order by id desc limit %s", (limit,)).fetchall()


def work_on_jobs(term: Term, only: str | None = None) -> None:
    """Do one piece of the oldest open job."""
    if term.work is None:
        term.work = _next(term, [only] if only else list(_KINDS))
    if term.work is None:
        return
    work: Work = term.work
    try:
        term.connection.execute(_PROGRESS, (Jsonb(next(work.steps)), work.number))
    except StopIteration as end:
        _end(term, "done", end.value)
    except (Unavailable, psycopg.OperationalError):
        term.work = None
        raise
    except (EduError, psycopg.Error) as error:
        log.error("a job has failed", job=work.number, error=str(error)[:300])
        _end(term, "failed", {"code": getattr(error, "code", "error"), "message": str(error)[:1000]})


def _next(term: Term, kinds: list[str]) -> Work | None:
    row = term.connection.execute(_NEXT, (kinds,)).fetchone()
    return Work(row["id"], _KINDS[row["kind"]](term, row["options"])) if row else None


def _end(term: Term, state: str, result: dict[str, Any]) -> None:
    term.connection.execute(_END, (state, Jsonb(result), term.work.number))
    term.work = None


def pipeline_of(options: dict[str, Any]) -> Pipeline:
    """The pipeline that a job names; raises `BadInput`."""
    try:
        return BY_NAME[options["table"]]
    except KeyError:
        raise BadInput(f"{options.get('table')} is no table of facts.", hint=f"Try {', '.join(BY_NAME)}.") from None


def _moment(options: dict[str, Any], name: str) -> datetime | None:
    return datetime.fromisoformat(options[name]) if options.get(name) else None


def _audit(term: Term, options: dict[str, Any]) -> Steps:
    since = _moment(options, "from") or datetime.fromisoformat("1970-01-01T00:00:00+00:00")
    remove, tables = bool(options.get("remove")), options.get("tables")
    result: dict[str, Any] = {}
    for tally in audit(
        term,
        since=since,
        until=_moment(options, "to"),
        repair=bool(options.get("repair")),
        remove=remove,
        tables=tables,
    ):
        result = asdict(tally)
        yield result
    return result


def _replay(term: Term, options: dict[str, Any]) -> Steps:
    bounds = (_moment(options, "from"), _moment(options, "to"))
    return (yield from replay(term, pipeline_of(options), *bounds, remove=bool(options.get("remove"))))


def _exchange(term: Term, options: dict[str, Any]) -> Steps:
    return (yield from exchange(term, pipeline_of(options)))


def _rebase(term: Term, options: dict[str, Any]) -> Steps:
    return (yield from rebase(term, remove=bool(options.get("remove"))))


def _retry(term: Term, options: dict[str, Any]) -> Steps:
    """Rows that were refused, in a batch of their own; its recovery brings them, or refuses them again."""
    letters, tried = options.get("letters", []), 0
    for pipeline in BY_NAME.values():
        while not is_settled(term, pipeline):
            yield {"rows": tried}
        query = """update refused_rows set retried_at = clock_timestamp()
                   where pipeline = %s and letter = any(%s) and retried_at is null returning key"""
        with term.connection.transaction():
            keys = [row["key"] for row in term.connection.execute(query, (pipeline.name, letters)).fetchall()]
            if keys:
                prepare_keyed(term, pipeline, keys)
        tried += len(keys)
        yield {"rows": tried}
    return {"rows": tried}


_KINDS: dict[str, Callable[[Term, dict[str, Any]], Steps]] = {
    "audit": _audit,
    "replay": _replay,
    "exchange": _exchange,
    "rebase": _rebase,
    "retry": _retry,
}
