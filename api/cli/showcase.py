"""The demo at work: a server, a made-up district in it, its people's log-ins, one question answered, a live quiz."""

from __future__ import annotations

import asyncio
import base64
import hmac
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx2
from fastapi import FastAPI

from api.auth.passwords import Passwords
from api.cli.ask import tables
from api.cli.bots import Pace, Stage, play
from api.cli.client import load, mint, operator
from api.cli.data import progress_bar
from api.cli.output import Format, console, print_rows
from api.cli.serve import page_of_links
from api.cli.server import Server, serving
from api.cli.stage import set_stage
from api.deps import Services
from core.embedded import DataFolder, secret_key
from core.settings import Settings
from ingestion.importers import import_source
from ingestion.importers.district import Account, District

_ROLES = ("admin", "teacher", "student")
_QUERY: dict[str, Any] = {
    "measures": ["responses.count", "responses.accuracy", "responses.average_time_seconds"],
    "dimensions": ["quizzes.subject"],
    "order": [["responses.count", "desc"]],
}


async def show(settings: Settings, district: District, *, live: bool, leave: bool) -> None:
    """Serve, seed, show where to look, perhaps let bots play a live quiz; `leave` stops then."""
    async with serving(settings) as server:
        await server.during(_shown(server, settings, district, live=live, leave=leave))
        if not leave:
            await server.wait()


async def _shown(server: Server, settings: Settings, district: District, *, live: bool, leave: bool) -> None:
    password = demo_password(settings)
    await seed(_services(server.application), district, password)
    page_of_links(server.url)
    await _log_ins(_services(server.application), password)
    await _answered(server, settings)
    if live:
        await _played(server, settings)
    else:
        console.print("\nWith --live bots play a live quiz for a few minutes.", highlight=False)
    if not leave:
        console.print("\nCtrl-C stops the server.", style="dim")


def _services(application: FastAPI) -> Services:
    services: Services = application.state.services
    return services


def demo_password(settings: Settings) -> str:
    """The password of the made-up people: another one in each installation, made from its secret."""
    digest = hmac.digest(secret_key(settings, DataFolder(settings.data_dir)), b"demo accounts", "sha256")
    return base64.b32encode(digest)[:12].decode().lower()


async def seed(services: Services, district: District, password: str) -> None:
    """Fill an empty record; a record with a school in it is left as it is."""
    if await services.postgres.fetch_one("select 1 from schools limit 1"):
        return
    hashed = await Passwords().hash(password)
    accounts = {role: Account(f"{role}@example.org", hashed) for role in _ROLES}
    source = replace(district, accounts=accounts)
    with progress_bar() as told:
        report = await asyncio.to_thread(import_source, services.postgres.url, source, progress=told)
    services.ingestion.loader.wake()
    await services.ingestion.loader.drain(seconds=3600)
    console.print(f"A made-up district: {report.inserted:,} rows in {report.seconds:.1f} s.\n", highlight=False)


async def _log_ins(services: Services, password: str) -> None:
    addresses = [f"{role}@example.org" for role in _ROLES]
    found = await services.postgres.fetch("select 1 from users where email = any(%(emails)s)", {"emails": addresses})
    if found:
        console.print(f"\nLog in as {', '.join(addresses)}; the password is «{password}».", highlight=False)


async def _answered(server: Server, settings: Settings) -> None:
    token = mint(settings, operator(), timedelta(hours=1))
    async with httpx2.AsyncClient(base_url=server.url, headers={"Authorization": f"Bearer {token}"}) as client:
        answer = await load(client, _QUERY)
    console.print("\nA question: how do the subjects compare?", highlight=False)
    for rows in tables(answer):
        print_rows(rows, Format.TABLE)


async def _played(server: Server, settings: Settings) -> None:
    """A live quiz that bots play to its end."""
    pace = Pace()
    stage = await set_stage(_services(server.application), settings, server.url, "teacher@example.org", pace)
    if stage is None:
        console.print("\nNo live quiz: the demo's teacher or quizzes are not here.", style="yellow")
        return
    _invite(server.url, stage)
    await play(stage, pace)
    console.print("The live quiz has ended; its answers are in the reports.", highlight=False)


def _invite(url: str, stage: Stage) -> None:
    console.print(f"\nA live quiz with {len(stage.pupils)} bots. It goes on, and ends, by itself:", highlight=False)
    links = {
        f"{url}/live/host#session={stage.session_id}&code={stage.join_code}": "watch or lead it as teacher@example.org",
        f"{url}/live/join#code={stage.join_code}": "take part as student@example.org",
    }
    for link, what in links.items():
        console.print(f"  {link}  [dim]{what}[/]", highlight=False, soft_wrap=True)
