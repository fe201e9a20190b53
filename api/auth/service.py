"""Registration and log-in: the rules."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.audit.trail import record
from api.auth import store
from api.auth.passwords import Passwords
from api.auth.schemas import LoggedIn, Registration, TokenPair, User
from api.auth.sessions import Sessions
from api.principal import Identities, Principal
from core.errors import Forbidden, InvalidField, NotFound, Unauthenticated
from core.postgres import Connection, Postgres
from core.settings import Settings
from core.telemetry import log

_REFUSED = "The e-mail address or the password is wrong."


@dataclass
class Accounts:
    """Accounts over the record."""

    settings: Settings
    postgres: Postgres
    identities: Identities
    passwords: Passwords
    sessions: Sessions

    async def register(self, wish: Registration) -> User:
        """A new account; raises `Forbidden`, `NotFound`, `Conflict` or `InvalidField`."""
        if not self.settings.open_registration:
            raise Forbidden("Registration is closed; an admin makes the accounts.", code="registration_closed")
        _check_place(wish)
        hashed = await self.passwords.hash(wish.password)
        async with self.postgres.transaction() as connection:
            school_id = await _school(connection, wish)
            row = await store.insert_user(
                connection,
                school_id=school_id,
                role=wish.role,
                name=wish.name,
                email=wish.email,
                password_hash=hashed,
            )
            maker = Principal(wish.role, row["id"], school_id)
            await record(connection, maker, "account.registered", subjects=[row["id"]], role=wish.role)
        log.info("user_registered", user_id=row["id"], school_id=school_id, role=wish.role)
        return User(**row)

    async def login(self, email: str, password: str, client: str | None = None) -> LoggedIn:
        """Tokens for an address and its password; raises `Unauthenticated`, the same for every reason."""
        async with self.postgres.transaction() as connection:
            user = await store.user_by_email(connection, email)
        kept = user["password_hash"] if user else None
        if not await self.passwords.matches(password, kept) or user is None:
            await self._note_refused(user)
            raise Unauthenticated(_REFUSED, code="bad_credentials")
        renewed = await self.passwords.hash(password) if self.passwords.outdated(user.pop("password_hash")) else None
        async with self.postgres.transaction() as connection:
            if renewed:
                await store.keep_hash(connection, user["id"], renewed)
            pair = await self._open(connection, user, client)
            caller = Principal(user["role"], user["id"], user["school_id"])
            await record(connection, caller, "login.password", subjects=[user["id"]])
        return LoggedIn(user=User(**user), **pair.model_dump())

    async def _note_refused(self, user: dict[str, Any] | None) -> None:
        """One line in any case, so that the answer takes the same time."""
        known = {"subjects": [user["id"]], "school_id": user["school_id"]} if user else {}
        async with self.postgres.transaction() as connection:
            await record(connection, None, "login.password", outcome="refused", **known)
        log.info("login_refused", user_id=user["id"] if user else None)

    async def _open(
        self, connection: Connection, user: dict[str, Any], client: str | None = None, method: str = "password"
    ) -> TokenPair:
        return await self.sessions.open(connection, user["id"], client, method)


def _check_place(wish: Registration) -> None:
    if (wish.school_id is None) == (wish.school_name is None):
        raise InvalidField(
            "Name either school_id (a school that is here) or school_name (a new school, whose admin you become).",
            field="school_id",
        )
    if wish.school_name is not None and wish.role != "admin":
        raise InvalidField("Whoever founds a school is its admin: role must be «admin».", field="role")
    if wish.school_id is not None and wish.role == "admin":
        raise Forbidden(
            "An admin of a school is made by another admin: POST /api/v1/users.", code="admin_by_invitation"
        )


async def _school(connection: Connection, wish: Registration) -> int:
    if wish.school_name is not None:
        return await store.insert_school(connection, wish.school_name, wish.time_zone)
    if wish.school_id is None or not await store.school_exists(connection, wish.school_id):
        raise NotFound("There is no such school.", field="school_id")
    return wish.school_id
