"""keys list, keys rotate: the keys that sign access tokens."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from api.cli.client import api, quiet, read, read_settings, run
from api.cli.options import Data
from api.cli.output import Format, print_rows

keys_app = typer.Typer(help="The keys that sign access tokens.", no_args_is_help=True)
FormatOption = Annotated[Format, typer.Option("--format", help="How the keys are printed.")]


@keys_app.command("list")
def list_keys(data: Data = None, form: FormatOption = Format.TABLE) -> None:
    """Which key signs, which one will, and which still verify."""
    _show("GET", "/api/v1/auth/keys", data, form)


@keys_app.command("rotate")
def rotate_keys(data: Data = None, form: FormatOption = Format.TABLE) -> None:
    """Sign with the next key from now on; nobody has to log in again."""
    _show("POST", "/api/v1/auth/keys/rotate", data, form)


def _show(method: str, path: str, data: Data, form: Format) -> None:
    settings = quiet(read_settings(data))

    async def work() -> list[dict[str, Any]]:
        async with api(settings) as client:
            return list(read(await client.request(method, path)))

    print_rows(run(work), form)
