"""How somebody makes his own account: with a code, or where registration is open without one.

A code is looked at before anything else, so that only who has a good one learns that an address is taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from api.audit.trail import record
from api.auth import store
from api.auth.codes import code_hash
from api.auth.invitations import store as invitations
from api.auth.mail import letters
from api.auth.mail.postman import Postman
from api.auth.passwords import Passwords
from api.auth.policy import check_password
from api.auth.schemas import Registration, User
from api.principal import Principal
from core.clock import now
from core.errors import Forbidden, InvalidField, NotFound
from core.postgres import Connection, Postgres
from core.settings import Settings
from core.telemetry import log

_PLACE = {"role", "school_id", "school_name"}


@dataclass
class Registrations:
    """New accounts by their owners."""

    settings: Settings
    postgres: Postgres
    passwords: Passwords
    postman: Postman
    secret: bytes

    async def register(self, wish: Registration) -> User:
        """A new account; raises `Forbidden`, `NotFound`, `Conflict` or `InvalidField`."""
        code = code_hash(self.secret, wish.code) if wish.code else None
        await self._check(wish, code)
        check_password(wish.password, self.settings.password_min_length, name=wish.name, email=wish.email)
        hashed = await self.passwords.hash(wish.password)
        async with self.postgres.transaction() as connection:
            user = await (_invited(connection, wish, code, hashed) if code else _founded(connection, wish, hashed))
            if user["email_verified_at"] is None:
                await letters.write(connection, "verify_email", wish.email, wish.language)
            maker = Principal(user["role"], user["id"], user["school_id"])
            await record(connection, maker, "account.registered", subjects=[user["id"]], role=user["role"])
        self.postman.wake()
        log.info("user_registered", user_id=user["id"], school_id=user["school_id"], role=user["role"])
        return User(**user)

    async def _check(self, wish: Registration, code: bytes | None) -> None:
        if code is None:
            if not self.settings.open_registration:
                raise Forbidden("Registration needs the code of an invitation.", code="registration_closed")
            _check_place(wish)
            return
        if given := wish.model_fields_set & _PLACE:
            raise InvalidField("The code says where and as what.", field=min(given))
        if not await invitations.is_usable(self.postgres, code, wish.email):
            raise _bad_code()


def _bad_code() -> Forbidden:
    return Forbidden("The code is not good: mistyped, used up, out of date or taken back.", code="bad_code")


async def _invited(connection: Connection, wish: Registration, code: bytes, hashed: str) -> dict[str, Any]:
    invitation = await invitations.take(connection, code, wish.email)
    if invitation is None:  # somebody was quicker
        raise _bad_code()
    proved = now() if invitation["email"] else None  # the code came to that address
    user = await _insert(connection, wish, hashed, invitation["school_id"], invitation["role"], proved)
    if invitation["classroom_id"] is not None:
        await invitations.enrol(connection, invitation, user["id"])
    return user


async def _founded(connection: Connection, wish: Registration, hashed: str) -> dict[str, Any]:
    return await _insert(connection, wish, hashed, await _school(connection, wish), wish.role)


async def _insert(
    connection: Connection, wish: Registration, hashed: str, school_id: int, role: str, proved: Any = None
) -> dict[str, Any]:
    user = await store.insert_user(
        connection,
        school_id=school_id,
        role=role,
        name=wish.name,
        email=wish.email,
        password_hash=hashed,
        email_source="person",
        email_verified_at=proved,
        language=wish.language,
    )
    return user | {"email_verified_at": proved}


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
            "An admin of a school is invited by another: POST /api/v1/invitations.", code="admin_by_invitation"
        )


async def _school(connection: Connection, wish: Registration) -> int:
    if wish.school_name is not None:
        return await store.insert_school(connection, wish.school_name, wish.time_zone)
    if wish.school_id is None or not await store.school_exists(connection, wish.school_id):
        raise NotFound("There is no such school.", field="school_id")
    return wish.school_id
