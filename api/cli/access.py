"""token: a token for a named user, or for a service."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

import typer

from api.cli.client import api, get, mint, quiet, read_settings, run
from api.cli.options import Data
from api.cli.output import complain
from core.errors import NotFound


def token(
    user: Annotated[
        str | None, typer.Argument(help="A user's e-mail address or id; without it a service's token.")
    ] = None,
    role: Annotated[str | None, typer.Option(help="A service's role: teacher, admin, operator …")] = None,
    school_id: Annotated[int | None, typer.Option(help="A service's school; an operator has none.")] = None,
    attribute: Annotated[list[str] | None, typer.Option(help="name=value for the model's access policies.")] = None,
    name: Annotated[str, typer.Option(help="The service's name, for the logs.")] = "service",
    hours: Annotated[float, typer.Option(min=0.01, max=24 * 366, help="How long it is good.")] = 1,
    data: Data = None,
) -> None:
    """Print an access token for the Authorization header."""
    from api.principal import Principal

    settings = quiet(read_settings(data))
    if (user is None) == (role is None):
        complain("Name a user (e-mail or id), or a service's --role.")
        raise typer.Exit(2)
    if role is not None:
        attributes = dict(_attribute(text) for text in attribute or [])
        principal = Principal(role=role, school_id=school_id, subject=f"service:{name}", attributes=attributes)
    else:
        wanted = user or ""

        async def work() -> dict[str, Any]:
            async with api(settings) as client:
                found = await get(client, "/api/v1/users", **_who(wanted))
            if not found["items"]:
                raise NotFound(f"There is no user {wanted}.")
            return dict(found["items"][0])

        row = run(work)
        principal = Principal(role=row["role"], user_id=row["id"], school_id=row["school_id"])
    typer.echo(mint(settings, principal, timedelta(hours=hours)))


def _who(user: str) -> dict[str, Any]:
    return {"email": user} if "@" in user else {"id": user}


def _attribute(text: str) -> tuple[str, Any]:
    """`name=value`; several values with commas become a list."""
    key, found, value = text.partition("=")
    if not found:
        complain(f"--attribute «{text}» must be name=value.")
        raise typer.Exit(2)
    return key, value.split(",") if "," in value else value
