"""erase: take a person out of everything.  holds: what keeps a person or a school from being erased."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.client import api, get, quiet, read, read_settings, run
from api.cli.options import Data, Output
from api.cli.output import Format, complain, console, print_json, print_rows

holds_app = typer.Typer(no_args_is_help=True, help="Legal holds: nothing of a person or a school is erased or dropped.")
Person = Annotated[int, typer.Argument(help="The person's number.")]
_LOOK_SECONDS = 0.2
_PATIENCE_SECONDS = 60


def erase(
    person: Person,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    certificate: Annotated[bool, typer.Option("--certificate", help="Print the certificate of an erasure.")] = False,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """Erase a person from Postgres, ClickHouse and the archive. It cannot be undone. Exit code 1 if a hold stands."""
    settings = quiet(read_settings(data))
    if certificate:
        _print_certificate(run(lambda: _newest(settings, person)), output)
        return

    async def work() -> Any:
        async with api(settings) as client:
            path = f"/api/v1/users/{person}/erasure"
            found = await get(client, path)
            _print_preview(found, output)
            if dry_run or found["holds"] or not (yes or _confirmed(person)):
                return found
            asked = read(await client.post(path, json={"confirmation": found["confirmation"]}))
            return await _applied(client, asked["id"])

    done = run(work)
    if done.get("holds"):
        complain(f"A legal hold stands: {', '.join(map(str, done['holds']))}. Release it first.")
        raise typer.Exit(1)
    if "state" in done:
        console.print(f"erasure {done['id']}: {done['state']}", highlight=False)
        console.print("No question finds the person any more." if done["applied_at"] else "It waits for the loader.")
        console.print("What was under way is looked for again in some minutes, while a server runs; then:")
        console.print(f"  eduanalytics erase {person} --certificate", highlight=False)


def _confirmed(person: int) -> bool:
    return typer.confirm(f"Erase person {person}? This cannot be undone", default=False)


def _print_preview(found: dict[str, Any], output: Format) -> None:
    rows = [{"store": "Postgres", "place": name, "rows": n} for name, n in found["record"].items()]
    rows += [{"store": "ClickHouse", "place": name, "rows": n} for name, n in found["warehouse"].items()]
    print_rows([row for row in rows if row["rows"]], output, f"Person {found['person']}")


async def _applied(client: Any, erasure: int) -> Any:
    """The erasure, once no question finds the person; or as it stands when that takes too long."""
    for _ in range(round(_PATIENCE_SECONDS / _LOOK_SECONDS)):
        found = await get(client, f"/api/v1/erasures/{erasure}")
        if found["applied_at"] or found["state"] == "held":
            break
        await asyncio.sleep(_LOOK_SECONDS)
    return found


async def _newest(settings: Any, person: int) -> Any:
    async with api(settings) as client:
        items = (await get(client, "/api/v1/erasures", user_id=person))["items"]
        return items[0] if items else None


def _print_certificate(found: Any, output: Format) -> None:
    if found is None:
        complain("This person was never erased here.")
        raise typer.Exit(1)
    if not found["certificate"]:
        complain(f"The erasure is {found['state']}; there is no certificate yet.")
        raise typer.Exit(1)
    if output is Format.JSON:
        print_json(found)
        return
    sides = (("Postgres", "record"), ("ClickHouse", "warehouse"))
    rows = [
        {"store": title, "place": name, **counts}
        for title, side in sides
        for name, counts in found["certificate"][side].items()
    ]
    rows.append({"store": "archive", "place": "files", **found["certificate"]["archive"]})
    print_rows(rows, output, f"Erasure {found['id']} of person {found['person']}, finished {found['finished_at']}")
    if output is Format.TABLE:
        console.print(f"SHA-256 {found['hash']}", highlight=False)


@holds_app.command("list")
def list_holds(
    released: Annotated[bool, typer.Option("--released", help="Also those that do not stand any more.")] = False,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """The holds that stand."""
    print_rows(_call(data, "GET", "/api/v1/holds", params={"released": released}), output)


@holds_app.command("set")
def set_hold(
    reason: Annotated[str, typer.Argument(help="Why; no names.")],
    person: Annotated[int | None, typer.Option(help="On this person.")] = None,
    school: Annotated[int | None, typer.Option(help="On this whole school.")] = None,
    output: Output = Format.TABLE,
    data: Data = None,
) -> None:
    """Nothing of this person or school is erased or dropped until the hold is released."""
    if (person is None) == (school is None):
        complain("Name --person or --school.")
        raise typer.Exit(2)
    wish = {"reason": reason} | ({"user_id": person} if person else {"school_id": school})
    print_rows([_call(data, "POST", "/api/v1/holds", json=wish)], output)


@holds_app.command("release")
def release(
    hold: Annotated[int, typer.Argument(help="The hold's number.")], output: Output = Format.TABLE, data: Data = None
) -> None:
    """Let go; an erasure that waited for it goes on."""
    print_rows([_call(data, "DELETE", f"/api/v1/holds/{hold}")], output)


def _call(data: Path | None, method: str, path: str, **options: Any) -> Any:
    settings = quiet(read_settings(data, loader=False))

    async def work() -> Any:
        async with api(settings) as client:
            return read(await client.request(method, path, **options))

    return run(work)
