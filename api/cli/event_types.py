"""event-types: a school's own types of events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.client import api, get, quiet, read, read_settings, run
from api.cli.options import Data, Output
from api.cli.output import Format, complain, print_rows

types_app = typer.Typer(no_args_is_help=True, help="A school's own types of events, each with a JSON Schema.")
School = Annotated[int, typer.Option(help="The school.")]
_SHOWN = ("id", "name", "version", "by_students", "deprecated_at", "description")


@types_app.command("list")
def list_types(
    school: Annotated[int | None, typer.Option(help="The types of this school too.")] = None,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """Ours, and those of a school."""

    async def work() -> Any:
        async with api(quiet(read_settings(data, loader=False))) as client:
            return await get(client, "/api/v1/event-types", school_id=school)

    _print(run(work), output)


@types_app.command("register")
def register(
    name: Annotated[str, typer.Argument(help="A dotted name: lab.experiment_started.")],
    schema: Annotated[Path, typer.Argument(help="A file with the JSON Schema of the metadata.")],
    school: School,
    version: Annotated[int, typer.Option(min=1, help="1, then one more each time.")] = 1,
    description: Annotated[str | None, typer.Option(help="What happens then.")] = None,
    students: Annotated[bool, typer.Option("--students/--no-students", help="Whether students may send it.")] = True,
    data: Data = None,
) -> None:
    """Register a type, or its next version."""
    try:
        body = {"name": name, "version": version, "schema": json.loads(schema.read_text())}
    except (OSError, ValueError) as error:
        complain(f"{schema} holds no JSON: {error}")
        raise typer.Exit(2) from None
    body |= {"description": description, "by_students": students, "school_id": school}

    async def work() -> Any:
        async with api(quiet(read_settings(data, loader=False))) as client:
            return read(await client.post("/api/v1/event-types", json=body))

    _print([run(work)], Format.TABLE)


@types_app.command("deprecate")
def deprecate(
    number: Annotated[int, typer.Argument(help="The number of the type (`list` tells it).")], data: Data = None
) -> None:
    """Take no more of it; what happened before, and comes late, is still welcome."""

    async def work() -> Any:
        async with api(quiet(read_settings(data, loader=False))) as client:
            return read(await client.delete(f"/api/v1/event-types/{number}"))

    _print([run(work)], Format.TABLE)


def _print(rows: list[dict[str, Any]], output: Format) -> None:
    print_rows(rows if output is not Format.TABLE else [{name: row[name] for name in _SHOWN} for row in rows], output)
