"""pipeline audit, replay, exchange, rebase, jobs: work on command for the elected loader, with its progress."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from api.cli.client import quiet, read_settings, run
from api.cli.data import record
from api.cli.options import Data, Output
from api.cli.output import Format, complain, errors, print_json, print_record, print_rows

if TYPE_CHECKING:
    from core.embedded import Stores
    from core.settings import Settings

pipeline_app = typer.Typer(no_args_is_help=True, help="The way to ClickHouse: audit, replay, exchange, rebase.")
_LOOK_SECONDS = 0.3
_QUIET_SECONDS = 30.0

Table = Annotated[str, typer.Option("--table", help="responses, events or audit_log.")]
From = Annotated[datetime | None, typer.Option("--from", help="From this moment (UTC); without it from the first.")]
To = Annotated[
    datetime | None, typer.Option("--to", help="Up to this moment (UTC), exclusively; without it to the end.")
]
Remove = Annotated[bool, typer.Option("--remove", help="Take away what only ClickHouse has.")]


@pipeline_app.command()
def audit(
    since: Annotated[datetime | None, typer.Option("--from", help="Batches loaded from this moment on (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option("--to", help="Batches loaded before this moment (UTC).")] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Send what is missing once more.")] = False,
    remove: Remove = False,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """Compare ClickHouse with the manifest, batch by batch. Exit code 1 when a difference is left."""
    options = {"from": _utc(since), "to": _utc(until), "repair": repair or remove, "remove": remove}
    found = _do(data, "audit", output, **options)
    if found["left"] or (found["missing"] > found["repaired"]):
        raise typer.Exit(1)


@pipeline_app.command()
def replay(
    table: Table,
    start: From = None,
    end: To = None,
    remove: Remove = False,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """Bring a range of time from the record once more; it replaces what was there, month by month, at once."""
    _do(data, "replay", output, table=table, **{"from": _utc(start), "to": _utc(end)}, remove=remove)


@pipeline_app.command()
def exchange(table: Table, output: Output = Format.TABLE, data: Data = None) -> None:
    """Fill `<table>_next`, a table of another shape that you have made, and let it take the table's place."""
    _do(data, "exchange", output, table=table)


@pipeline_app.command()
def rebase(
    remove: Remove = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """The record was restored, or a standby took its place: compare it with ClickHouse and go on from there."""
    if not yes:
        typer.confirm("Is this Postgres from now on the record that counts?", abort=True)
    _do(data, "rebase", output, remove=remove)


@pipeline_app.command()
def jobs(output: Output = Format.TABLE, data: Data = None) -> None:
    """The last jobs of the loader, with progress and result."""
    settings = quiet(read_settings(data, loader=False))

    async def work() -> list[dict[str, Any]]:
        from ingestion.jobs import read_jobs
        from ingestion.term import connect

        async with record(settings) as (url, _):
            with connect(url) as connection:
                return read_jobs(connection)

    print_rows([{**row, "options": str(row["options"])} for row in run(work)], output)


def _utc(moment: datetime | None) -> str | None:
    """A moment of the command line, which has no zone, in UTC."""
    return moment.replace(tzinfo=moment.tzinfo or UTC).isoformat() if moment else None


def _do(data: Any, kind: str, output: Format, **options: Any) -> dict[str, Any]:
    settings = quiet(read_settings(data))
    found = run(lambda: _work(settings, kind, options))
    if found["state"] == "failed":
        complain(found["result"]["message"])
        raise typer.Exit(1)
    result: dict[str, Any] = found["result"]
    if output is Format.TABLE:
        print_record(result, kind)
    elif output is Format.JSON:
        print_json(result)
    else:
        print_rows([result], output)
    return result


async def _work(settings: Settings, kind: str, options: dict[str, Any]) -> dict[str, Any]:
    """Ask for the work, and watch it until its end."""
    from ingestion.jobs import read_job, request
    from ingestion.term import connect

    async with record(settings) as (url, stores), _loader(stores):
        with connect(url) as connection, errors.status(kind) as line:
            number, began = request(connection, kind, **options), time.monotonic()
            while (job := read_job(connection, number))["state"] in ("requested", "running"):
                told = " ".join(f"{name}={value}" for name, value in job["progress"].items())
                waits = job["state"] == "requested" and time.monotonic() - began > _QUIET_SECONDS
                line.update(f"{kind}: waiting for a loader; is one running?" if waits else f"{kind}: {told}")
                await asyncio.sleep(_LOOK_SECONDS)
    return job


@asynccontextmanager
async def _loader(stores: Stores | None) -> AsyncIterator[None]:
    """A loader of this process, while the stores are its own; it waits when another is elected."""
    if stores is None:
        yield
        return
    from ingestion.loader import Loader

    stop, loader = asyncio.Event(), Loader(stores.postgres, stores.warehouse, stores.settings)
    running = asyncio.create_task(loader.run(stop))
    try:
        yield
    finally:
        stop.set()
        await running
        await loader.close()
