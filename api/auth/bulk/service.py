"""A list of accounts: each is made, found or refused on its own; the same list again changes nothing.

Who has an address gets a mail to set his password; who has none gets a user name and a one-time password, for paper.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from api.audit.trail import record
from api.auth.bulk import store
from api.auth.bulk.schemas import ListedUser, Outcome, Outcomes
from api.auth.codes import new_username, one_time_password
from api.auth.mail import letters
from api.auth.mail.postman import Postman
from api.auth.passwords import Passwords
from api.auth.recovery.service import ONE_TIME_LIFETIME
from api.directory import store as directory
from api.principal import Identities
from api.scope import Scope
from core.clock import now
from core.errors import NotFound
from core.postgres import Connection, Postgres
from core.telemetry import log

_WELCOME_DAYS = 7
_HASHED_AT_ONCE = 200


class _Refused(Exception):
    """This account cannot be made."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        super().__init__(message)


@dataclass
class _Known:
    """The accounts that are there, by what a list may name them by."""

    by_email: dict[str, dict[str, Any]] = field(default_factory=dict)
    by_external: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, row: dict[str, Any], school_id: int) -> None:
        if row["email"]:
            self.by_email[row["email"]] = row
        if row["external_id"] and row["school_id"] == school_id:
            self.by_external[row["external_id"]] = row

    def find(self, user: ListedUser, school_id: int) -> dict[str, Any] | None:
        """The account that a row means; raises `_Refused` when it contradicts what is there."""
        same_id = self.by_external.get(user.external_id or "")
        same_email = self.by_email.get((user.email or "").lower())
        row = same_id or same_email
        if row is None:
            return None
        if same_email is not None and same_email["school_id"] != school_id:
            raise _Refused("email_taken", "That e-mail address is taken.")
        if same_id is not None and same_email is not None and same_id["id"] != same_email["id"]:
            raise _Refused("conflict", "The address and the external_id belong to two accounts.")
        if row["role"] != user.role:
            raise _Refused("role_differs", f"The account is there as a {row['role']}.")
        return row


@dataclass
class Lists:
    """Accounts by the list."""

    postgres: Postgres
    passwords: Passwords
    identities: Identities
    postman: Postman

    async def bring(self, scope: Scope, wanted_school: int | None, rows: list[Any], mail: bool) -> Outcomes:
        """Make the accounts of a list; `mail` off gives one-time passwords to those with an address too."""
        school_id = scope.school_for(wanted_school)
        if await directory.one(self.postgres, "schools", scope.parameters, school_id) is None:
            raise NotFound("There is no such school.", field="school_id")
        read = [_read(index, row) for index, row in enumerate(rows)]
        users = [user for user in read if isinstance(user, ListedUser)]
        secrets = await self._secrets(school_id, users, mail)
        until = now() + ONE_TIME_LIFETIME
        async with self.postgres.transaction() as connection:
            await store.lock(connection, school_id)
            work = _Work(connection, school_id, secrets, until, await _known(connection, school_id, users))
            work.rooms = await store.classrooms(
                connection, school_id, [u.classroom_id for u in users if u.classroom_id]
            )
            items = [
                await work.bring(index, user) if isinstance(user, ListedUser) else user
                for index, user in enumerate(read)
            ]
            await _record(connection, scope, school_id, items)
        self.identities.forget()
        self.postman.wake()
        return _told(school_id, until, items)

    async def _secrets(self, school_id: int, users: list[ListedUser], mail: bool) -> dict[int, tuple[str, str]]:
        """A one-time password and its hash for each account that will need one, by the identity of its row."""
        async with self.postgres.transaction() as connection:
            known = await _known(connection, school_id, users)
        emails, ids = known.by_email, known.by_external
        needing = [
            user
            for user in users
            if not (mail and user.email) and user.external_id not in ids and (user.email or "") not in emails
        ]
        found: dict[int, tuple[str, str]] = {}
        for start in range(0, len(needing), _HASHED_AT_ONCE):
            some = needing[start : start + _HASHED_AT_ONCE]
            chosen = [one_time_password() for _ in some]
            hashes = await self.passwords.light(chosen)
            found |= {id(user): pair for user, pair in zip(some, zip(chosen, hashes, strict=True), strict=True)}
        return found


@dataclass
class _Work:
    """One list in one transaction."""

    connection: Connection
    school_id: int
    secrets: dict[int, tuple[str, str]]
    until: datetime
    known: _Known
    rooms: set[int] = field(default_factory=set)

    async def bring(self, index: int, user: ListedUser) -> Outcome:
        """Make or find one account."""
        try:
            self._check_room(user)
            row = self.known.find(user, self.school_id)
            outcome = Outcome(index=index, status="exists") if row else Outcome(index=index, status="created")
            if row is None:
                row = await self._made(user, outcome)
                self.known.add(row, self.school_id)
        except _Refused as refusal:
            return Outcome(index=index, status="refused", code=refusal.code, message=str(refusal))
        outcome.user_id, outcome.login = row["id"], row["login"]
        if user.classroom_id is not None:
            outcome.enrolled = await store.enrol(
                self.connection,
                school_id=self.school_id,
                classroom_id=user.classroom_id,
                user_id=row["id"],
                role=user.role,
            )
        return outcome

    def _check_room(self, user: ListedUser) -> None:
        if user.classroom_id is not None and (user.role == "admin" or user.classroom_id not in self.rooms):
            raise _Refused("no_such_classroom", "The school has no such classroom for it.")

    async def _made(self, user: ListedUser, outcome: Outcome) -> dict[str, Any]:
        password, hashed = self.secrets.get(id(user), (None, None))
        values = user.model_dump(exclude={"classroom_id"}) | {
            "school_id": self.school_id,
            "password_hash": hashed,
            "one_time_until": self.until if hashed else None,
        }
        for _ in range(3):
            values["username"] = None if user.email else new_username(user.name)
            row = await store.insert(self.connection, **values)
            if row is not None:
                break
            if user.email:
                raise _Refused("email_taken", "That e-mail address is taken.")
        else:
            raise _Refused("conflict", "No free user name was found; send it again.")
        outcome.one_time_password = password
        if password is None and user.email:
            await letters.write(self.connection, "welcome", user.email, user.language, days=_WELCOME_DAYS)
            outcome.mailed = True
        return row


async def _known(connection: Connection, school_id: int, users: list[ListedUser]) -> _Known:
    emails = [user.email.lower() for user in users if user.email]
    ids = [user.external_id for user in users if user.external_id]
    known = _Known()
    for row in await store.known(connection, school_id, emails, ids):
        known.add(row, school_id)
    return known


def _read(index: int, row: Any) -> ListedUser | Outcome:
    try:
        return ListedUser.model_validate(row)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        message = f"{'.'.join(map(str, first['loc'])) or 'row'}: {first['msg']}"
        return Outcome(index=index, status="refused", code="invalid_field", message=message)


async def _record(connection: Connection, scope: Scope, school_id: int, items: list[Outcome]) -> None:
    """Who was made and who was only found."""
    made, found = (
        [item.user_id for item in items if item.status == status and item.user_id] for status in ("created", "exists")
    )
    told = {"subjects": sorted({*made, *found}), "school_id": school_id}
    await record(connection, scope.principal, "users.brought", **told, created=len(made), existing=len(found))


def _told(school_id: int, until: datetime, items: list[Outcome]) -> Outcomes:
    counts = {status: sum(item.status == status for item in items) for status in ("created", "exists", "refused")}
    log.info("accounts_brought", school_id=school_id, **counts)
    return Outcomes(
        created=counts["created"],
        existing=counts["exists"],
        refused=counts["refused"],
        one_time_until=until,
        items=items,
    )
