"""users: accounts by the list, and the first admin of a school."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.client import api, quiet, read, read_settings, run
from api.cli.options import Data, Output
from api.cli.output import Format, complain, print_rows

users_app = typer.Typer(
    help="Accounts: make one, or bring a list; a person's data; an analyst's schools.", no_args_is_help=True
)
_SHOWN = ("index", "status", "user_id", "login", "one_time_password", "mailed", "enrolled", "message")


@users_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="The person's name.")],
    role: Annotated[str, typer.Option(help="admin, teacher or student.")] = "admin",
    email: Annotated[
        str | None, typer.Option(help="The address to log in with; without it a user name is made.")
    ] = None,
    school: Annotated[str | None, typer.Option(help="The name of a new school, which is made too.")] = None,
    school_id: Annotated[int | None, typer.Option(help="A school that is here.")] = None,
    time_zone: Annotated[str, typer.Option(help="The new school's time zone.")] = "UTC",
    data: Data = None,
) -> None:
    """Make one account and print its one-time password; with --school also the school, for its first admin."""
    if (school is None) == (school_id is None):
        complain("Name --school (a new one) or --school-id.")
        raise typer.Exit(2)
    user = {"name": name, "role": role, "email": email}

    async def work() -> Any:
        async with api(quiet(read_settings(data))) as client:
            place = school_id
            if school is not None:
                made = read(await client.post("/api/v1/schools", json={"name": school, "time_zone": time_zone}))
                place = made["id"]
            found = await client.post("/api/v1/users/bulk", params={"school_id": place, "mail": False}, json=[user])
            return read(found)["items"][0] | {"school_id": place}

    made = run(work)
    if made["status"] != "created":
        complain(made["message"] or "The account is there already.")
        raise typer.Exit(1)
    print_rows([{key: made[key] for key in ("school_id", "user_id", "login", "one_time_password")}], Format.TABLE)


@users_app.command("import")
def bring(
    file: Annotated[Path, typer.Argument(help="CSV: name, role, email, external_id, classroom_id, language.")],
    school_id: Annotated[int, typer.Option(help="The school whose accounts they are.")],
    mail: Annotated[bool, typer.Option("--mail/--no-mail", help="Mail a link to those with an address.")] = True,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """Make up to 5,000 accounts from a table; run it again whenever you like. Exit code 1 if rows were refused."""
    if not file.is_file():
        complain(f"{file} is no file.")
        raise typer.Exit(2)
    content = file.read_bytes()

    async def work() -> Any:
        async with api(quiet(read_settings(data))) as client:
            headers = {"Content-Type": "text/csv"}
            place = {"school_id": school_id, "mail": mail}
            return read(await client.post("/api/v1/users/bulk", params=place, content=content, headers=headers))

    found = run(work)
    title = f"{found['created']} made, {found['existing']} there already, {found['refused']} refused"
    print_rows([{key: item[key] for key in _SHOWN} for item in found["items"]], output, title)
    if found["refused"]:
        raise typer.Exit(1)
