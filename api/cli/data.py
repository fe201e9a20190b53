"""import, status, settings: the data and its way to ClickHouse."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from api.cli.client import api, get, quiet, read_settings, run
from api.cli.options import Data, Output
from api.cli.output import Format, complain, console, errors, print_json, print_rows, print_table
from core.errors import FolderInUse, StartupError, Unavailable

if TYPE_CHECKING:
    from core.embedded import Stores
    from core.settings import Settings
    from ingestion.importers import ImportReport

_LAG_SECONDS = 60
_WATCH_SECONDS = 2


def import_folder(
    folder: Annotated[Path, typer.Argument(help="A folder of csv or csv.gz tables.")],
    source: Annotated[str | None, typer.Option(help="The namespace of its ids; without it the folder's name.")] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Where refused rows are written, as CSV; without it the data folder.")
    ] = None,
    data: Data = None,
) -> None:
    """Bring a folder of tables into the record; run it again whenever you like. Exit code 1 if rows were refused."""
    if not folder.is_dir():
        complain(f"{folder} is no folder.")
        raise typer.Exit(2)
    settings = quiet(read_settings(data))
    place = rejects or settings.data_dir / f"rejects-{Path(source or folder.resolve().name).name}.csv"
    report = run(lambda: _import(settings, folder, source, place))
    rows = [
        {
            "table": table,
            "read": done.read,
            "new": done.inserted,
            "changed": done.updated,
            "unchanged": done.unchanged,
            "refused": done.rejected,
        }
        for table, done in report.tables.items()
    ]
    print_rows(rows, Format.TABLE, f"{report.source}: {report.inserted:,} new rows in {report.seconds:.1f} s")
    for name in report.ignored:
        console.print(f"ignored: {name}", style="yellow", highlight=False)
    for sample in report.samples[:10]:
        complain(str(sample))
    if report.rejected:
        complain(f"{report.rejected:,} rows were refused; see {place}")
        raise typer.Exit(1)


async def _import(settings: Settings, folder: Path, source: str | None, rejects: Path | None) -> ImportReport:
    from ingestion.importers import import_folder as bring

    async with record(settings) as (url, stores):
        with progress_bar() as told:
            report = await asyncio.to_thread(bring, url, folder, source=source, progress=told, rejects=rejects)
        if stores is not None:
            await drain(stores)
    return report


@asynccontextmanager
async def record(settings: Settings) -> AsyncIterator[tuple[str, Stores | None]]:
    """The record's URL: that of a running server (which brings the rows to ClickHouse), else our own stores."""
    from core.embedded import open_stores

    try:
        async with open_stores(settings) as stores:
            yield stores.postgres.url, stores
    except FolderInUse as error:
        url = error.details.get("database_url")
        if not url:
            raise
        yield url, None


async def drain(stores: Stores) -> None:
    """Until ClickHouse has every committed row."""
    from ingestion.loader import Loader

    loader = Loader(stores.postgres, stores.warehouse, stores.settings)
    try:
        with errors.status("bringing the rows to ClickHouse"):
            await loader.drain(seconds=24 * 3600)
    finally:
        await loader.close()


class progress_bar:  # noqa: N801 - used like a function
    """A bar for each table: rows, rate, time that remains."""

    def __enter__(self) -> Callable[[int, int | None, str], None]:
        rate = TextColumn("{task.fields[rate]}")
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description:<14}"),
            BarColumn(),
            MofNCompleteColumn(),
            rate,
            TimeRemainingColumn(),
            console=errors,
        )
        self._tasks: dict[str, Any] = {}
        self._progress.start()
        return self._tell

    def _tell(self, done: int, total: int | None, table: str) -> None:
        if table not in self._tasks:
            self._tasks[table] = self._progress.add_task(table, total=total, rate="")
        task = self._tasks[table]
        speed = self._progress.tasks[task].speed
        self._progress.update(task, completed=done, total=total, rate=f"{speed:,.0f} rows/s" if speed else "")

    def __exit__(self, *_: object) -> None:
        self._progress.stop()


def status(
    healthy: Annotated[
        bool, typer.Option("--healthy", help="Only tell by the exit code whether the lag is small.")
    ] = False,
    check: Annotated[
        bool,
        typer.Option("--check", help="One line for monitoring; exit code 0 well, 1 warning, 2 critical, 3 unknown."),
    ] = False,
    exact: Annotated[
        bool, typer.Option("--exact/--quick", help="Count the record's rows, or only what has been sent of them.")
    ] = True,
    watch: Annotated[bool, typer.Option("--watch", help="Look again every two seconds, until Ctrl+C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """How far ClickHouse is behind the record, what was refused, what is wrong; answers without ClickHouse, too."""
    settings = quiet(read_settings(data, loader=False))
    form = Format.JSON if as_json else output
    if check:
        raise typer.Exit(_check(settings))
    while True:
        found = run(lambda: _look(settings, exact=exact and not healthy))
        if healthy:
            raise typer.Exit(0 if found["lag_seconds"] < _LAG_SECONDS else 1)
        if watch and form is Format.TABLE:
            console.clear()
        _show(found, form)
        if not watch:
            return
        time.sleep(_WATCH_SECONDS)


async def _look(settings: Settings, *, exact: bool) -> dict[str, Any]:
    """The answer of the server; while ClickHouse is away and no server answers, what the record alone tells."""
    try:
        async with api(settings) as client:
            return dict(await get(client, "/api/v1/status", exact=exact))
    except (Unavailable, StartupError) as error:
        if settings.database_url is None or isinstance(error, FolderInUse):
            raise
        return await _without_a_server(settings, settings.database_url.get_secret_value())


async def _without_a_server(settings: Settings, url: str) -> dict[str, Any]:
    from api.admin.routes import told
    from core.embedded import DataFolder, open_warehouse
    from core.postgres import Postgres
    from ingestion.status import read_status

    postgres = Postgres(url, 2)
    await postgres.open()
    warehouse = await open_warehouse(settings, DataFolder(settings.data_dir))
    try:
        found = told(await read_status(postgres, warehouse))
    finally:
        await postgres.close()
    return dict(json.loads(json.dumps({**found, "model": {}}, default=str)))


def _check(settings: Settings) -> int:
    """One line, and the exit code that monitoring programs expect."""
    try:
        found = run(lambda: _look(settings, exact=False))
    except typer.Exit:
        return 3
    worst = ["well", "warning", "critical", "unknown"].index(found["level"])
    said = "; ".join(problem["text"] for problem in found["problems"]) or "ClickHouse is up to date"
    typer.echo(f"{found['level'].upper()} - {said} | lag={found['lag_seconds']:.3f}s")
    return worst


def _show(found: dict[str, Any], form: Format) -> None:
    if form is Format.JSON:
        print_json(found)
    elif form is Format.CSV:
        print_rows(found["pipelines"], form)
    else:
        facts = _side_by_side(found["pipelines"])
        print_table(list(facts[0]), facts)
        for title in ("audits", "findings", "jobs"):
            if found[title]:
                print_table(list(found[title][0]), found[title], title)
        apart = {"pipelines", "model", "audits", "findings", "jobs", "problems", "dimensions"}
        for key, value in ({key: value for key, value in found.items() if key not in apart} | found["model"]).items():
            console.print(f"{key.replace('_', ' '):<22}{value}", highlight=False)
        for problem in found["problems"]:
            console.print(f"{problem['level']}: {problem['text']} {problem['hint']}", style="yellow", highlight=False)


def _side_by_side(pipelines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A line for each fact, a column for each pipeline: how late, rows on both sides, the last batch."""
    facts = {
        "lag in seconds": "lag_seconds",
        "rows in the record": "record_rows",
        "rows sent": "shipped_rows",
        "rows in ClickHouse": "warehouse_rows",
        "last batch": "last_batch",
        "last batch at": "last_batch_at",
        "batches under way": "prepared_batches",
        "attempts at it": "attempt",
        "rows refused": "refused_rows",
        "waits because of": "trouble",
        "waits since": "failing_since",
    }
    return [{"pipeline": title} | {each["name"]: each[key] for each in pipelines} for title, key in facts.items()]


def settings(output: Output = Format.TABLE, data: Data = None) -> None:
    """Every setting with its value; secrets are not shown."""
    from pydantic import SecretStr

    chosen = read_settings(data)
    rows = []
    for name, field in type(chosen).model_fields.items():
        value = getattr(chosen, name)
        shown = (
            "(set)" if isinstance(value, SecretStr) else value if isinstance(value, int | float | None) else str(value)
        )
        variable = str(field.validation_alias or f"EDU_{name.upper()}")
        rows.append({"variable": variable, "value": shown, "what it does": field.description})
    print_rows(rows, output)
