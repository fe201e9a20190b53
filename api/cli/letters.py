"""dead-letters: what was refused; find it, mend it, play it again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.client import api, get, quiet, read, read_settings, run
from api.cli.options import Data, Output
from api.cli.output import Format, complain, print_json, print_record, print_rows

letters_app = typer.Typer(no_args_is_help=True, help="What was refused: find it, mend it, play it again.")
Letter = Annotated[int, typer.Argument(help="The letter's number.")]
School = Annotated[int | None, typer.Option(help="Letters of this school only.")]
Reason = Annotated[str | None, typer.Option(help="Letters of this reason only: unknown_event, clock …")]
Stage = Annotated[str | None, typer.Option(help="accept: refused at the door; load: refused by ClickHouse.")]
User = Annotated[int | None, typer.Option(help="Letters about this person, or sent by him.")]
Start = Annotated[str | None, typer.Option("--from", help="Came from this moment on, e.g. 2026-11-01T00:00:00Z.")]
Stop = Annotated[str | None, typer.Option("--to", help="Came before this moment.")]
_SHOWN = ("id", "received_at", "school_id", "stage", "kind", "state", "user_id", "reason")
_BASE = "/api/v1/dead-letters"


@letters_app.command("list")
def list_letters(
    school: School = None,
    reason: Reason = None,
    stage: Stage = None,
    user: User = None,
    state: Annotated[str | None, typer.Option(help="open or settled; all: both.")] = "open",
    start: Start = None,
    stop: Stop = None,
    page: Annotated[int, typer.Option(min=1, help="The page; a page has 50 letters, the newest first.")] = 1,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """The newest letters, and how many there are of each reason."""
    wanted = {"school_id": school, "code": reason, "stage": stage, "user_id": user, "from": start, "to": stop}
    wanted |= {"state": None if state == "all" else state, "page": page}
    found = _call(data, "GET", _BASE, params={name: value for name, value in wanted.items() if value is not None})
    if output is not Format.TABLE:
        print_rows(found["items"], output)
        return
    reasons = ", ".join(f"{code} {number:,}" for code, number in found["reasons"].items())
    print_rows([{name: row[name] for name in _SHOWN} for row in found["items"]], output, reasons or "No letters")


@letters_app.command("show")
def show(letter: Letter, data: Data = None) -> None:
    """One letter, with what came and what became of it."""
    print_json(_call(data, "GET", f"{_BASE}/{letter}"))


@letters_app.command("fix")
def fix(
    letter: Letter,
    payload: Annotated[str, typer.Argument(help="The mended JSON, or @file.")],
    replay: Annotated[bool, typer.Option("--replay", help="Play it again at once.")] = False,
    data: Data = None,
) -> None:
    """Mend a letter; what came is kept beside it."""
    try:
        body = json.loads(Path(payload[1:]).read_text() if payload.startswith("@") else payload)
    except (OSError, ValueError) as error:
        complain(f"This is no JSON: {error}")
        raise typer.Exit(2) from None
    _call(data, "PUT", f"{_BASE}/{letter}", json={"payload": body})
    if replay:
        _tell(_call(data, "POST", f"{_BASE}/{letter}/replay"))


@letters_app.command("replay")
def replay(
    letters: Annotated[list[int] | None, typer.Argument(help="Numbers of letters; none: those of the options.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All open letters.")] = False,
    school: School = None,
    reason: Reason = None,
    stage: Stage = None,
    user: User = None,
    start: Start = None,
    stop: Stop = None,
    data: Data = None,
) -> None:
    """Play open letters again, as their senders; twice is once. Exit code 1 if some were refused again."""
    which = {"school_id": school, "code": reason, "stage": stage, "user_id": user, "from": start, "to": stop}
    body: dict[str, Any] = {name: value for name, value in which.items() if value is not None}
    if not letters and not body and not every:
        complain("Name letters, a --reason or the like, or --all.")
        raise typer.Exit(2)
    played = _call(data, "POST", f"{_BASE}/replay", json={**body, "ids": letters} if letters else body)
    print_record(played, "Played again")
    if played["rejected"]:
        raise typer.Exit(1)


def _tell(letter: dict[str, Any]) -> None:
    print_record({"letter": letter["id"], "state": letter["state"], **letter["outcome"]}, "Played again")
    if letter["state"] == "open":
        raise typer.Exit(1)


def _call(data: Path | None, method: str, path: str, **options: Any) -> Any:
    settings = quiet(read_settings(data, loader=False))

    async def work() -> Any:
        async with api(settings) as client:
            if method == "GET":
                return await get(client, path, **options.get("params", {}))
            return read(await client.request(method, path, **options))

    return run(work)
