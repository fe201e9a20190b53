"""What is done with accounts and passwords leaves lines in the audit log; guesses at passwords and links are slowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx2

from core.postgres import Postgres
from tests.api.accounts.conftest import address, join_code, made_user, mail, secret
from tests.api.conftest import PASSWORD, Person, data, fault, login

ANOTHER = "another good password"
_LINES = """
select action, actor_id, subjects, school_id, target, outcome, details from audit_log
where action = any(%(actions)s) and (%(subject)s::bigint is null or subjects @> array[%(subject)s::bigint])
order by chain
"""


async def _lines(record: Postgres, *actions: str, subject: int | None = None) -> list[dict[str, Any]]:
    return await record.fetch(_LINES, {"actions": list(actions), "subject": subject})


async def test_an_invitation_is_told_when_made_used_and_taken_back(
    client: httpx2.AsyncClient, admin: Person, record: Postgres
) -> None:
    room = await admin.make("classrooms", name="7b", subject="Maths")
    code = await join_code(admin, role="student", classroom_id=room["id"])
    body = {"name": "Ada Example", "email": address("ada"), "password": PASSWORD, "code": code}
    user = data(await client.post("/auth/register", json=body), 201)
    found = data(await admin.get("/api/v1/invitations"))["items"][0]
    for _ in range(2):
        data(await admin.call("DELETE", f"/api/v1/invitations/{found['id']}"))
    lines = await _lines(record, "invitation.made", "invitation.used", "account.registered", "invitation.revoked")
    told = [(line["action"], line["actor_id"], line["subjects"]) for line in lines if line["subjects"] != [admin.id]]
    assert told == [
        ("invitation.made", admin.id, []),
        ("invitation.used", user["id"], [user["id"]]),
        ("account.registered", user["id"], [user["id"]]),
        ("invitation.revoked", admin.id, []),
        ("invitation.revoked", admin.id, []),
    ]
    named = {line["target"] for line in lines if line["action"].startswith("invitation") and line["target"]}
    assert named == {f"invitation={found['id']}"}
    assert {line["school_id"] for line in lines} == {admin.school_id}
    listed = data(await admin.get("/api/v1/audit", params={"action": "invitation.listed"}))["items"]
    assert [line["actor_id"] for line in listed] == [admin.id]
    whole = str(await record.fetch("select * from audit_log"))
    assert code not in whole
    assert body["email"] not in whole


async def test_a_registration_that_fails_leaves_no_line(
    client: httpx2.AsyncClient, admin: Person, record: Postgres
) -> None:
    code = await join_code(admin, role="student")
    before = await _lines(record, "account.registered", "invitation.used")
    body = {"name": "Ada Example", "email": admin.email, "password": PASSWORD, "code": code}
    fault(await client.post("/auth/register", json=body), 409, "email_taken")
    assert await _lines(record, "account.registered", "invitation.used") == before


async def test_each_new_password_is_told_and_a_wish_for_one_is_not(
    client: httpx2.AsyncClient, admin: Person, folder: Path, record: Postgres
) -> None:
    user = await made_user(admin, password=PASSWORD)
    one, email = user["id"], user["email"]
    here = await login(client, email)
    change = {"current_password": PASSWORD, "new_password": ANOTHER}
    fault(await here.post("/auth/password", change | {"current_password": "guess"}), 403, "wrong_password")
    data(await here.post("/auth/password", change))
    count = await record.fetch("select count(*) as n from audit_log")
    data(await client.post("/auth/password/forgot", json={"email": email}), 202)
    data(await client.post("/auth/verify/resend", json={"email": email}), 202)
    assert await record.fetch("select count(*) as n from audit_log") == count
    await mail(folder, email, 3)
    messages = [await mail(folder, email, number) for number in (1, 2, 3)]
    links = {action: secret(m) for m in messages for action in ("reset", "verify") if f"#{action}=" in m.get_content()}
    data(await client.post("/auth/verify", json={"token": links["verify"]}))
    data(await client.post("/auth/password/reset", json={"token": links["reset"], "password": PASSWORD}))
    handed = data(await admin.post(f"/api/v1/users/{one}/one-time-password"))
    first = {"email": email, "password": handed["one_time_password"], "new_password": ANOTHER}
    data(await client.post("/auth/login", json=first))
    fault(await admin.post("/api/v1/users/999999/one-time-password"), 404)
    lines = await _lines(
        record, "password.changed", "password.reset", "password.handed_out", "address.verified", subject=one
    )
    assert [(line["action"], line["actor_id"], line["school_id"]) for line in lines] == [
        ("password.changed", one, admin.school_id),
        ("address.verified", one, admin.school_id),
        ("password.reset", one, admin.school_id),
        ("password.handed_out", admin.id, admin.school_id),
        ("password.changed", one, admin.school_id),
    ]
    whole = str(await record.fetch("select * from audit_log"))
    assert not [text for text in (email, handed["one_time_password"], *links.values()) if text in whole]


async def test_a_list_tells_whom_it_made_found_and_enrolled(admin: Person, record: Postgres) -> None:
    room = await admin.make("classrooms", name="8b", subject="Maths")
    rows: list[dict[str, Any]] = [{"name": "Ada", "external_id": "l-1"}, {"name": "Ben", "external_id": "l-2"}]
    rows.append({"name": "Cem", "external_id": "l-3", "classroom_id": room["id"]})
    before = len(await _lines(record, "user.created", "user.read", "enrolment.begun"))
    first = data(await admin.post("/api/v1/users/bulk", rows[:1]))["items"][0]["user_id"]
    found = data(await admin.post("/api/v1/users/bulk", [*rows, {"name": ""}]))
    one, two, three = (item["user_id"] for item in found["items"][:3])
    assert one == first
    lines = (await _lines(record, "user.created", "user.read", "enrolment.begun"))[before:]
    assert [(line["action"], line["subjects"], line["details"].get("refused")) for line in lines] == [
        ("user.created", [one], 0),
        ("user.created", sorted([two, three]), 1),
        ("user.read", [one], None),
        ("enrolment.begun", [three], None),
    ]
    assert {(line["actor_id"], line["school_id"]) for line in lines} == {(admin.id, admin.school_id)}


async def test_whoever_has_a_session_cannot_guess_its_password(client: httpx2.AsyncClient, admin: Person) -> None:
    user = await made_user(admin, password=PASSWORD)
    here = await login(client, user["email"])
    guess = {"current_password": "guess", "new_password": ANOTHER}
    statuses = [(await here.post("/auth/password", guess)).status_code for _ in range(13)]
    assert statuses[:11] == [403] * 11
    assert 429 in statuses[11:]
    fault(await here.post("/auth/password", guess | {"current_password": PASSWORD}), 429, "too_many_tries")
    data(await client.post("/auth/login", json={"email": user["email"], "password": PASSWORD}))


async def test_links_cannot_be_guessed_and_mails_not_be_asked_for_without_end(client: httpx2.AsyncClient) -> None:
    for path, body in (("verify", {"token": "x"}), ("password/reset", {"token": "x", "password": ANOTHER})):
        statuses = [(await client.post(f"/auth/{path}", json=body)).status_code for _ in range(40)]
        assert set(statuses[:30]) == {400}
        assert statuses[-1] == 429, path
    for path in ("password/forgot", "verify/resend"):
        statuses = [(await client.post(f"/auth/{path}", json={"email": address()})).status_code for _ in range(120)]
        assert set(statuses[:90]) == {202}
        assert statuses[-1] == 429, path
