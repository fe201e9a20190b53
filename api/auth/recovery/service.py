"""The rules of passwords after the first. A new password ends the other log-ins, and the owner is told by mail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from api.audit.trail import record
from api.auth import store
from api.auth.codes import new_username, one_time_password
from api.auth.mail import letters, tokens
from api.auth.mail.letters import Kind
from api.auth.mail.postman import Postman
from api.auth.passwords import Passwords
from api.auth.policy import check_password
from api.auth.recovery.schemas import OneTimePassword
from api.auth.revocations import Revocations, end_sessions, end_user
from api.directory import store as directory
from api.principal import Principal
from api.scope import Scope
from core.clock import now
from core.errors import BadInput, Forbidden, NotFound
from core.postgres import Connection, Postgres
from core.settings import Settings
from core.telemetry import log

ONE_TIME_LIFETIME = timedelta(days=14)
_SET_ONE_TIME = """
update users set password_hash = %(hash)s, one_time_until = %(until)s,
    username = case when email is null then coalesce(username, %(username)s) else username end
where id = %(id)s returning coalesce(email, username) as login
"""


@dataclass
class Recovery:
    """Changes of passwords, and proofs of addresses."""

    settings: Settings
    postgres: Postgres
    passwords: Passwords
    revocations: Revocations
    postman: Postman

    async def change(self, principal: Principal, current: str, new: str) -> None:
        """Another password for the caller; his other log-ins end."""
        user = await self._account(principal)
        if not await self.passwords.matches(current, user["password_hash"]):
            raise Forbidden("The current password is wrong.", code="wrong_password")
        hashed = await self._hashed(new, user)
        async with self.postgres.transaction() as connection:
            await self._replace(connection, user, hashed, "password changed")
            await end_sessions(connection, user["id"], "another password", but=principal.session_id)
            await record(connection, principal, "password.changed", subjects=[user["id"]])
        await self._changed()

    async def _account(self, principal: Principal) -> dict[str, Any]:
        if principal.user_id is not None:
            async with self.postgres.transaction() as connection:
                user = await store.user_by_id(connection, principal.user_id)
            if user is not None:
                return user
        raise NotFound("This token belongs to a service.")

    async def _hashed(self, password: str, user: dict[str, Any]) -> str:
        least = self.settings.password_min_length
        check_password(password, least, name=user["name"], email=user["email"])
        return await self.passwords.hash(password)

    async def _replace(self, connection: Connection, user: dict[str, Any], hashed: str, reason: str) -> None:
        await store.keep_hash(connection, user["id"], hashed)
        await tokens.end(connection, user["id"], "reset_password")
        if user["email"]:
            await letters.write(connection, "password_changed", user["email"])
        log.info("password_replaced", user_id=user["id"], reason=reason)

    async def _changed(self) -> None:
        self.postman.wake()
        await self.revocations.announce()

    async def wish(self, kind: Kind, email: str, language: str | None) -> None:
        """Note that an address wants a mail: the same work and the same answer whether it has an account."""
        async with self.postgres.transaction() as connection:
            await letters.write(connection, kind, email, language)
        self.postman.wake()

    async def reset(self, token: str, password: str) -> None:
        """Another password by the token of a mail; all that he holds ends, and the address is proved."""
        async with self.postgres.transaction() as connection:
            user = await tokens.find(connection, token, "reset_password")
        if user is None:
            raise _spent()
        hashed = await self._hashed(password, user)
        async with self.postgres.transaction() as connection:
            if await tokens.take(connection, token, "reset_password") is None:
                raise _spent()
            await self._replace(connection, user, hashed, "reset by mail")
            await store.prove_address(connection, user["id"])
            await end_user(connection, user["id"], "password reset")
            await record(connection, _owner(user), "password.reset", subjects=[user["id"]])
        await self._changed()

    async def verify(self, token: str) -> None:
        """The address is the account's owner's."""
        async with self.postgres.transaction() as connection:
            user = await tokens.take(connection, token, "verify_email")
            if user is None:
                raise _spent()
            await store.prove_address(connection, user["id"])
            await tokens.end(connection, user["id"], "verify_email")
            await record(connection, _owner(user), "address.verified", subjects=[user["id"]])
        log.info("address_verified", user_id=user["id"])

    async def hand_out(self, scope: Scope, user_id: int) -> OneTimePassword:
        """A one-time password for somebody of the admin's school; all that he holds ends."""
        user = await directory.one(self.postgres, "users", scope.parameters, user_id)
        if user is None:
            raise NotFound("There is no such user.")
        if user["role"] in {"operator", "analyst"} and not scope.principal.is_operator:
            raise Forbidden("Only an operator does that.")
        if user_id == scope.principal.user_id:
            raise Forbidden("Change your own password by POST /auth/password.", code="own_password")
        password, until = one_time_password(), now() + ONE_TIME_LIFETIME
        values = {"id": user_id, "until": until, "username": new_username(user["name"])}
        values["hash"] = (await self.passwords.light([password]))[0]
        async with self.postgres.transaction() as connection:
            cursor = await connection.execute(_SET_ONE_TIME, values)
            row = (await cursor.fetchall())[0]
            await tokens.end(connection, user_id, "reset_password")
            await end_user(connection, user_id, "one-time password")
            told = {"subjects": [user_id], "school_id": user["school_id"]}
            await record(connection, scope.principal, "password.handed_out", **told)
        await self._changed()
        log.info("one_time_password_made", user_id=user_id, by=scope.principal.user_id)
        return OneTimePassword(user_id=user_id, login=row["login"], one_time_password=password, good_until=until)


def _owner(user: dict[str, Any]) -> Principal:
    """Whoever holds the token of a mail acts as the account's owner."""
    return Principal(user["role"], user["id"], user["school_id"])


def _spent() -> BadInput:
    return BadInput("The link is not good any more: used or out of date.", code="bad_token")
