"""archive: months that have left the record; list, run, verify, restore."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from api.cli.client import api, quiet, read, read_settings, run
from api.cli.data import progress_bar
from api.cli.options import Data, Output
from api.cli.output import Format, complain, print_rows
from core.errors import BadInput, FolderInUse

if TYPE_CHECKING:
    from core.settings import Settings
    from ingestion.archive.desk import Order

archive_app = typer.Typer(no_args_is_help=True, help="Old months: Parquet files beside the stores.")
Month = Annotated[str, typer.Argument(help="The month, e.g. 2025-01.")]
_QUIET = typer.Option(False, "--dry-run", help="Only say what would be done.")


@archive_app.command("list")
def list_months(output: Output = Format.TABLE, data: Data = None) -> None:
    """The months of the archive: where they are, files, rows, bytes, until when they stay, what is wrong."""
    _print("list", {}, output, data)


@archive_app.command("run")
def run_now(dry_run: bool = _QUIET, output: Output = Format.TABLE, data: Data = None) -> None:
    """Do now what is due: archive, drop, let cold months leave ClickHouse. Exit code 1 if something failed."""
    rows = _print("plan" if dry_run else "run", {}, output, data)
    _end(row["problem"] for row in rows)


@archive_app.command("verify")
def verify(
    month: Annotated[str | None, typer.Argument(help="One month; without it all.")] = None,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """Read every file back and compare it. Exit code 1 and the files' names if some are damaged."""
    rows = _print("verify", {"month": month}, output, data)
    _end(problem for row in rows for problem in row["problems"])


@archive_app.command("restore")
def restore(
    month: Month,
    into_clickhouse: Annotated[
        bool, typer.Option("--into-clickhouse/--into-postgres", help="To be asked for; or to be changed.")
    ] = True,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it stays.")] = 30,
    dry_run: bool = _QUIET,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """Bring a month back for a time. Once more does nothing but let it stay longer."""
    into = "clickhouse" if into_clickhouse else "postgres"
    _print("restore", {"month": month, "into": into, "days": days, "dry_run": dry_run}, output, data)


def _print(verb: str, asked: dict[str, Any], output: Format, data: Path | None) -> list[dict[str, Any]]:
    settings = quiet(read_settings(data, loader=False))
    rows: list[dict[str, Any]] = []

    async def work() -> None:
        with progress_bar() as told:
            await _ask(settings, verb, asked, lambda line: _take(line, rows, told))

    run(work)
    print_rows(rows, output)
    return rows


def _take(line: dict[str, Any], rows: list[dict[str, Any]], told: Callable[[int, int | None, str], None]) -> None:
    if progress := line.get("progress"):
        told(progress["done"], progress["total"], progress["what"])
    elif error := line.get("error"):
        raise BadInput(error["message"], code=error["code"])
    else:
        rows.append(line)


async def _ask(settings: Settings, verb: str, asked: dict[str, Any], take: Callable[[dict[str, Any]], None]) -> None:
    """Of the stores, or of the server that holds them."""
    from core.embedded import open_stores
    from ingestion.archive.desk import work

    order = _order(verb, asked)
    try:
        async with open_stores(settings) as stores:
            await asyncio.to_thread(work, stores.postgres.url, stores.warehouse, settings, order, take)
    except FolderInUse as error:
        if not error.details.get("url"):
            raise
        await _ask_server(settings, verb, asked, take)


def _order(verb: str, asked: dict[str, Any]) -> Order:
    from ingestion.archive.desk import Order
    from ingestion.archive.manifest import parse_month

    month = asked.get("month")
    chosen = {**asked, "month": parse_month(month) if month else None}
    return Order(verb, **chosen)  # type: ignore[arg-type] # the verbs are this module's own


async def _ask_server(
    settings: Settings, verb: str, asked: dict[str, Any], take: Callable[[dict[str, Any]], None]
) -> None:
    async with api(settings) as client:
        if verb in ("list", "plan"):
            for line in read(await client.get("/api/v1/archive", params={"due": verb == "plan"})):
                take(line)
            return
        given = {name: value for name, value in asked.items() if value is not None}
        options: dict[str, Any] = {"json": given} if verb == "restore" else {"params": given}
        async with client.stream("POST", f"/api/v1/archive/{verb}", timeout=None, **options) as response:
            if response.status_code >= 400:
                await response.aread()
                read(response)
            async for line in response.aiter_lines():
                take(orjson.loads(line))


def _end(problems: Any) -> None:
    found = [problem for problem in problems if problem]
    for problem in found:
        complain(problem)
    if found:
        raise typer.Exit(1)
