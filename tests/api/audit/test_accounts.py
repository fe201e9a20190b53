"""How accounts come to be and get their passwords, line by line."""

from __future__ import annotations

import httpx2

from tests.api.audit.people import Small, lines
from tests.api.conftest import data


async def test_accounts_and_their_passwords_leave_lines(small: Small, client: httpx2.AsyncClient) -> None:
    made = data(await small.admin.post("/api/v1/invitations", {"role": "teacher"}), 201)
    unused = data(await small.admin.post("/api/v1/invitations", {"role": "student"}), 201)
    data(await small.admin.call("DELETE", f"/api/v1/invitations/{unused['id']}"))
    data(await small.admin.get("/api/v1/invitations"))
    wish = {"name": "Eda", "email": "eda@example.org", "password": "a wholly new one 7", "code": made["code"]}
    eda = data(await client.post("/auth/register", json=wish), 201)["id"]
    brought = data(await small.admin.post("/api/v1/users/bulk", [{"name": "Finn"}, {"name": ""}]))
    finn = brought["items"][0]["user_id"]
    paper = data(await small.admin.post(f"/api/v1/users/{finn}/one-time-password"))
    secret = {"email": paper["login"], "password": paper["one_time_password"], "new_password": "yet another new one 8"}
    token = data(await client.post("/auth/login", json=secret))["access_token"]
    change = {"current_password": "yet another new one 8", "new_password": "the third new one 9"}
    data(await client.post("/auth/password", json=change, headers={"Authorization": f"Bearer {token}"}))
    found = [(line["action"], line["actor_id"], line["subjects"]) for line in await lines(small.admin)]
    admin = small.admin.id
    wanted = [
        ("password.changed", finn, [finn]),
        ("password.handed_out", admin, [finn]),
        ("users.brought", admin, [finn]),
        ("account.registered", eda, [eda]),
        ("invitation.listed", admin, []),
        ("invitation.revoked", admin, []),
        ("invitation.made", admin, []),
    ]
    assert [line for line in found if line in wanted] == [*wanted, wanted[-1]]
    text = str(await lines(small.admin)).lower()
    assert not [secret for secret in ("eda@", "finn", made["code"].lower(), paper["login"].lower()) if secret in text]
