"""query, report, models: questions on the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.client import api, get, load, quiet, read, read_settings, run
from api.cli.options import Data, Models, Output
from api.cli.output import Format, complain, console, print_json, print_record, print_rows
from core.errors import ModelErrors

_FILTER_FORM = "member operator value[,value…]"


def query(
    file: Annotated[str | None, typer.Argument(help="A file with Cube's query JSON, or - for standard input.")] = None,
    measures: Annotated[str | None, typer.Option(help="Members, with commas.")] = None,
    dimensions: Annotated[str | None, typer.Option(help="Members, with commas.")] = None,
    time: Annotated[str | None, typer.Option(help="The time dimension.")] = None,
    granularity: Annotated[str | None, typer.Option(help="day, week, month …")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="First day, or a phrase: «last 4 weeks».")] = None,
    to: Annotated[str | None, typer.Option(help="Last day.")] = None,
    filter_: Annotated[list[str] | None, typer.Option("--filter", help=f"«{_FILTER_FORM}»; again for more.")] = None,
    segments: Annotated[str | None, typer.Option(help="Segments, with commas.")] = None,
    order: Annotated[str | None, typer.Option(help="member[:desc], with commas.")] = None,
    limit: Annotated[int | None, typer.Option(min=0)] = None,
    timezone: Annotated[str | None, typer.Option(help="An IANA time zone.")] = None,
    sql: Annotated[bool, typer.Option("--sql", help="Print the SQL instead of running it.")] = False,
    output: Output = Format.TABLE,
    data: Data = None,
    models: Models = None,
) -> None:
    """Ask a question: Cube's JSON from a file, or members by flags."""
    if file is not None:
        payload = _read_json(file)
    else:
        payload = {
            "measures": _names(measures),
            "dimensions": _names(dimensions),
            "segments": _names(segments),
            "timeDimensions": _time(time, granularity, from_, to),
            "filters": [_filter(text) for text in filter_ or []],
            "order": [_order(text) for text in _names(order)],
            "limit": limit,
            "timezone": timezone,
        }
        payload = {name: value for name, value in payload.items() if value not in (None, [])}
    settings = quiet(read_settings(data, models_dir=models))

    async def work() -> Any:
        async with api(settings) as client:
            if sql:
                return read(await client.post("/cubejs-api/v1/sql", json={"query": payload}))
            return await load(client, payload)

    answer = run(work)
    if sql:
        print_json(answer)
    else:
        for rows in tables(answer):
            print_rows(rows, output)


def tables(answer: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The rows of each result in an answer; measures as numbers (Cube's JSON writes them as text)."""
    tables = []
    for result in answer.get("results", [answer]):
        annotation = result.get("annotation", {})
        numbers = set(annotation.get("measures", {}))
        doubles = {name.rpartition(".")[0] for name in annotation.get("timeDimensions", {}) if name.count(".") > 1}
        rows = [{key: value for key, value in row.items() if key not in doubles} for row in result["data"]]
        tables.append(
            [{key: _number(value) if key in numbers else value for key, value in row.items()} for row in rows]
        )
    return tables


def _number(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return int(value) if value.lstrip("-").isdigit() else number


def report(
    name: Annotated[str, typer.Argument(help="A report's name; `reports` lists them.")],
    student_id: Annotated[int | None, typer.Option()] = None,
    classroom_id: Annotated[int | None, typer.Option()] = None,
    quiz_id: Annotated[int | None, typer.Option()] = None,
    from_: Annotated[str | None, typer.Option("--from", help="First day.")] = None,
    to: Annotated[str | None, typer.Option(help="Last day.")] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help="Another parameter: name=value.")] = None,
    section: Annotated[str | None, typer.Option(help="Only this section.")] = None,
    page: Annotated[int, typer.Option(min=1)] = 1,
    page_size: Annotated[int, typer.Option(min=1, max=500)] = 50,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """Run a report."""
    given: dict[str, Any] = {"student_id": student_id, "classroom_id": classroom_id, "quiz_id": quiz_id}
    given |= {"from": from_, "to": to, "section": section, "page": page, "page_size": page_size}
    for text in set_ or []:
        key, _, value = text.partition("=")
        given[key] = value
    settings = quiet(read_settings(data))

    async def work() -> Any:
        async with api(settings) as client:
            return await get(client, f"/api/v1/reports/{name.replace('-', '_')}", **given)

    answer = run(work)
    if output is Format.JSON:
        print_json(answer)
        return
    if output is Format.TABLE:
        about = ", ".join(f"{key.split('.')[0]} {value}" for key, value in (answer["subject"] or {}).items())
        console.print(f"[bold]{answer['title']}[/] {about}", highlight=False)
    for part in answer["sections"].values():
        _print_section(part, output)


def _print_section(part: dict[str, Any], output: Format) -> None:
    """A table under its columns' titles; a single row as a list."""
    if output is not Format.TABLE:
        print_rows(part["rows"], output)
        return
    titles = {column["name"]: column["title"] for column in part["columns"]}
    doubled = {title for title in titles.values() if list(titles.values()).count(title) > 1}
    named = {name: name if title in doubled else title for name, title in titles.items()}
    rows = [{named[name]: value for name, value in row.items()} for row in part["rows"]]
    if "row" in part and rows:
        print_record(rows[0], part["title"])
    else:
        print_rows(rows, output, part["title"])


def reports(output: Output = Format.TABLE, data: Data = None) -> None:
    """List the reports and their parameters."""
    settings = quiet(read_settings(data))

    async def work() -> Any:
        async with api(settings) as client:
            return await get(client, "/api/v1/reports")

    found = run(work)
    rows = [
        {
            "name": item["name"],
            "title": item["title"],
            "parameters": ", ".join(p["name"] + ("" if p["required"] else "?") for p in item["parameters"]),
        }
        for item in found["items"]
    ]
    print_rows(rows, output)


models_app = typer.Typer(help="The semantic models.", no_args_is_help=True)


@models_app.command("check")
def check_models(
    folder: Annotated[Path | None, typer.Argument(help="The model folder; without it the one of the settings.")] = None,
) -> None:
    """Load every model file and report all mistakes with file and line."""
    from engine.model import load_catalog

    place = folder or read_settings().models_dir
    if not place.is_dir():
        complain(f"{place} is not a folder")
        raise typer.Exit(2)
    try:
        catalog = load_catalog(place, strict=True)
    except ModelErrors as error:
        for each in error.errors:
            complain(str(each))
        files = {each.details.get("file") for each in error.errors}
        complain(f"{place}: {_counted(len(error.errors), 'mistake')} in {_counted(len(files), 'file')}")
        raise typer.Exit(1) from None
    members = sum(len([*each.measures, *each.dimensions, *each.segments]) for each in catalog.cubes.values())
    what = [_counted(len(catalog.cubes), "cube"), _counted(members, "member"), _counted(len(catalog.views), "view")]
    console.print(f"{place}: {', '.join(what)}, no mistakes", highlight=False)


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _read_json(file: str) -> Any:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text()
        found = json.loads(text)
    except OSError as error:
        complain(f"{file}: {error.strerror}")
    except ValueError as error:
        complain(f"{file} is not JSON: {error}")
    else:
        return found["query"] if isinstance(found, dict) and "query" in found else found
    raise typer.Exit(2)


def _names(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _time(member: str | None, granularity: str | None, start: str | None, end: str | None) -> list[dict[str, Any]]:
    if member is None:
        if granularity or start or end:
            complain("--granularity, --from and --to need --time MEMBER.")
            raise typer.Exit(2)
        return []
    part: dict[str, Any] = {"dimension": member}
    if granularity:
        part["granularity"] = granularity
    if start and end:
        part["dateRange"] = [start, end]
    elif start or end:
        part["dateRange"] = start if start and not start[0].isdigit() else [start or "1970-01-01", end or "today"]
    return [part]


def _filter(text: str) -> dict[str, Any]:
    parts = text.split(None, 2)
    if len(parts) < 2:
        complain(f"--filter «{text}» must be «{_FILTER_FORM}».")
        raise typer.Exit(2)
    values = {"values": _names(parts[2])} if len(parts) == 3 else {}
    return {"member": parts[0], "operator": parts[1], **values}


def _order(text: str) -> list[str]:
    member, _, direction = text.partition(":")
    return [member, direction or "asc"]
