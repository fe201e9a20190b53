"""users: a person's data and an analyst's schools.  audit: the log of who saw or changed whose data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.client import api, get, quiet, read, read_settings, run
from api.cli.options import Data, Output
from api.cli.output import Format, complain, console, print_record, print_rows
from api.cli.users import users_app

audit_app = typer.Typer(no_args_is_help=True, help="Who saw or changed whose data, and whether that log is whole.")
Target = Annotated[Path | None, typer.Option("--output", "-o", help="The file; without it person_<number>.zip.")]
Person = Annotated[int, typer.Argument(help="The person's number.")]
School = Annotated[int, typer.Argument(help="The school's number.")]


@users_app.command("export")
def export(
    person: Person,
    output: Target = None,
    data: Data = None,
) -> None:
    """Write everything about one person into a ZIP of JSON and CSV."""
    settings = quiet(read_settings(data, loader=False))
    place = output or Path(f"person_{person}.zip")

    async def work() -> None:
        async with api(settings) as client, client.stream("POST", f"/api/v1/users/{person}/export") as response:
            if response.status_code >= 400:
                await response.aread()
                read(response)
            with place.open("wb") as file:
                async for piece in response.aiter_bytes():
                    file.write(piece)

    run(work)
    console.print(f"{place} ({place.stat().st_size:,} bytes)", highlight=False)


@users_app.command("schools")
def schools(analyst: Person, output: Output = Format.TABLE, data: Data = None) -> None:
    """The schools that an analyst may read."""
    _change("GET", f"/api/v1/users/{analyst}/schools", output, data)


@users_app.command("grant")
def grant(analyst: Person, school: School, output: Output = Format.TABLE, data: Data = None) -> None:
    """Let an analyst read a school."""
    _change("PUT", f"/api/v1/users/{analyst}/schools/{school}", output, data)


@users_app.command("withdraw")
def withdraw(analyst: Person, school: School, output: Output = Format.TABLE, data: Data = None) -> None:
    """Take a school from an analyst."""
    _change("DELETE", f"/api/v1/users/{analyst}/schools/{school}", output, data)


def _change(method: str, path: str, output: Format, data: Path | None) -> None:
    settings = quiet(read_settings(data, loader=False))

    async def work() -> Any:
        async with api(settings) as client:
            return read(await client.request(method, path))

    print_rows(run(work), output)


@audit_app.command("list")
def list_lines(
    actor: Annotated[int | None, typer.Option(help="Who did it.")] = None,
    subject: Annotated[int | None, typer.Option(help="Whose data it was.")] = None,
    action: Annotated[str | None, typer.Option(help="user.read, or all of a kind: user.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="From this moment on, e.g. 2026-11-01T00:00:00Z.")] = None,
    stop: Annotated[str | None, typer.Option("--to", help="Before this moment.")] = None,
    page: Annotated[int, typer.Option(min=1, help="The page; a page has 50 lines, the newest first.")] = 1,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """The newest lines."""
    settings = quiet(read_settings(data, loader=False))
    wanted = {"actor_id": actor, "subject_id": subject, "action": action, "from": start, "to": stop, "page": page}

    async def work() -> Any:
        async with api(settings) as client:
            return await get(client, "/api/v1/audit", **wanted)

    rows = [{**line, "subjects": " ".join(map(str, line["subjects"]))} for line in run(work)["items"]]
    shown = ("chain", "occurred_at", "actor_id", "actor_role", "action", "target", "subjects", "outcome")
    print_rows(rows if output is not Format.TABLE else [{name: row[name] for name in shown} for row in rows], output)


@audit_app.command("verify")
def verify(
    head: Annotated[str | None, typer.Option(help="number:hash of a line that must still be there.")] = None,
    data: Data = None,
) -> None:
    """Compute every hash of the log again. Exit code 1 if it is broken; keep the head that is printed elsewhere."""
    settings = quiet(read_settings(data, loader=False))

    async def work() -> Any:
        async with api(settings) as client:
            return await get(client, "/api/v1/audit/verification", head=head)

    found = run(work)
    print_record({key: value for key, value in found.items() if value is not None}, "Audit log")
    if not found["whole"]:
        complain(found["problem"])
        raise typer.Exit(1)
