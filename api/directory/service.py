"""The directory's rules: who may make and change what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.errors import ExclusionViolation, UniqueViolation

from api.audit.trail import Trail
from api.auth import store as account_store
from api.auth.passwords import Passwords
from api.auth.policy import check_password
from api.auth.revocations import Revocations, end_sessions, end_user
from api.auth.schemas import User
from api.directory import store
from api.directory.schemas import (
    Classroom,
    ClassroomChange,
    Enrolment,
    EnrolmentEnd,
    NewClassroom,
    NewEnrolment,
    NewSchool,
    NewUser,
    School,
    SchoolChange,
    UserChange,
    changed,
)
from api.principal import Identities
from api.scope import Scope
from api.sql import written
from core.errors import Conflict, Forbidden, InvalidField, NotFound
from core.postgres import Connection, Postgres
from core.settings import Settings

_OWN_FIELDS = {"name"}
_FLAGS = {"consent_basis", "share_with_network", "retention_months"}
_SCHOOLLESS = {"analyst", "operator"}


@dataclass
class Directory:
    """Schools, classrooms, users and enrolments."""

    postgres: Postgres
    identities: Identities
    passwords: Passwords
    revocations: Revocations
    settings: Settings

    async def find(self, table: str, noun: str, scope: Scope, row_id: int) -> dict[str, Any]:
        """A row that the caller may see; not visible and not there are the same `NotFound`."""
        row = await store.one(self.postgres, table, scope.parameters, row_id)
        if row is None:
            raise NotFound(f"There is no such {noun}.")
        return row

    async def create_school(self, trail: Trail, wish: NewSchool) -> School:
        """A new school, by an operator."""
        async with self.postgres.transaction() as connection:
            row = await written(connection, store.INSERT_SCHOOL, wish.model_dump())
            await trail.record(connection, school_id=row["id"], target=f"school_id={row['id']}")
        return School(**row)

    async def change_school(self, scope: Scope, trail: Trail, school_id: int, change: SchoolChange) -> School:
        """Another name or time zone, or what may be done with its data."""
        before = await self.find("schools", "school", scope, school_id)
        flags: dict[str, Any] = {
            name: [before[name], getattr(change, name)] for name in _FLAGS & change.model_fields_set
        }
        async with self.postgres.transaction() as connection:
            row = await written(connection, store.UPDATE_SCHOOL, {"id": school_id, **changed(change)})
            await trail.record(connection, school_id=school_id, fields=sorted(change.model_fields_set), **flags)
        self.identities.forget()
        return School(**row)

    async def create_classroom(self, scope: Scope, trail: Trail, wish: NewClassroom) -> Classroom:
        """A new classroom of a school."""
        school_id = scope.school_for(wish.school_id)
        await self.find("schools", "school", scope, school_id)
        await self._check_teacher(scope, school_id, wish.teacher_id)
        async with self.postgres.transaction() as connection:
            row = await written(connection, store.INSERT_CLASSROOM, wish.model_dump() | {"school_id": school_id})
            await trail.record(connection, _teacher(row), school_id=school_id, target=f"classroom_id={row['id']}")
        self.identities.forget()
        return Classroom(**row)

    async def change_classroom(
        self, scope: Scope, trail: Trail, classroom_id: int, change: ClassroomChange
    ) -> Classroom:
        """Another name, subject or teacher."""
        before = await self.find("classrooms", "classroom", scope, classroom_id)
        await self._check_teacher(scope, before["school_id"], change.teacher_id)
        async with self.postgres.transaction() as connection:
            row = await written(connection, store.UPDATE_CLASSROOM, {"id": classroom_id, **changed(change)})
            people = _teacher(before) | _teacher(row) if "teacher_id" in change.model_fields_set else set()
            fields = sorted(change.model_fields_set)
            await trail.record(connection, people, school_id=row["school_id"], fields=fields)
        self.identities.forget()
        return Classroom(**row)

    async def _check_teacher(self, scope: Scope, school_id: int, teacher_id: int | None) -> None:
        if teacher_id is None:
            return
        teacher = await store.one(self.postgres, "users", scope.parameters, teacher_id)
        if teacher is None or teacher["school_id"] != school_id or teacher["role"] != "teacher":
            raise InvalidField("This school has no such teacher.", field="teacher_id")

    async def create_user(self, scope: Scope, trail: Trail, wish: NewUser) -> User:
        """A new account, by an admin for his school, or by an operator."""
        if wish.role in _SCHOOLLESS and not scope.principal.is_operator:
            raise Forbidden(f"Only an operator makes an {wish.role}.")
        school_id = None if wish.role in _SCHOOLLESS else scope.school_for(wish.school_id)
        if school_id is not None:
            await self.find("schools", "school", scope, school_id)
        if wish.password:
            self._check_password(wish.password, wish.name, wish.email)
        hashed = await self.passwords.hash(wish.password) if wish.password else None
        async with self.postgres.transaction() as connection:
            row = await account_store.insert_user(
                connection,
                school_id=school_id,
                role=wish.role,
                name=wish.name,
                email=wish.email,
                password_hash=hashed,
                external_id=wish.external_id,
                consent=wish.consent,
            )
            target = f"user_id={row['id']}"
            await trail.record(connection, [row["id"]], school_id=school_id, target=target, role=wish.role)
        return User(**row)

    async def change_user(self, scope: Scope, trail: Trail, user_id: int, change: UserChange) -> User:
        """By its owner (name) or an admin; a new password or role ends the account's log-ins."""
        user = await self.find("users", "user", scope, user_id)
        self._check_change(scope, user, change)
        values = changed(change) | {"id": user_id, "password_hash": None}
        if change.password:
            self._check_password(change.password, change.name or user["name"], change.email or user["email"])
            values["password_hash"] = await self.passwords.hash(change.password)
        try:
            async with self.postgres.transaction() as connection:
                row = await written(connection, store.UPDATE_USER, values)
                await _end_logins(connection, user, change)
                await _record_change(trail, connection, user, change)
        except UniqueViolation:
            raise Conflict("That e-mail address is taken.", code="email_taken") from None
        self.identities.forget()
        await self.revocations.announce()
        return User(**row)

    def _check_password(self, password: str, name: str, email: str | None) -> None:
        check_password(password, self.settings.password_min_length, name=name, email=email)

    def _check_change(self, scope: Scope, user: dict[str, Any], change: UserChange) -> None:
        own = user["id"] == scope.principal.user_id
        if not scope.whole_school and not (own and change.model_fields_set <= _OWN_FIELDS):
            raise Forbidden("You may change your own name; an admin changes the rest.")
        if own and change.password:
            raise Forbidden("Change your own password by POST /auth/password.", code="own_password")
        if own and change.email not in (None, user["email"]):
            raise Forbidden("You cannot change your own address; another admin can.", code="own_email")
        if own and change.disabled:
            raise Forbidden("You cannot disable your own account; another admin can.")
        if _SCHOOLLESS & {change.role, user["role"]} and change.role not in (None, user["role"]):
            raise Forbidden("An operator or an analyst is no member of a school; make another account.")

    async def enrol(self, scope: Scope, trail: Trail, wish: NewEnrolment) -> Enrolment:
        """Begin a membership; `Conflict` when one is open already."""
        classroom = await self.find("classrooms", "classroom", scope, wish.classroom_id)
        user = await self.find("users", "user", scope, wish.user_id)
        if user["school_id"] != classroom["school_id"]:
            raise NotFound("There is no such user.")
        if user["role"] != wish.role:
            raise InvalidField(f"This user is a {user['role']}.", field="role")
        values = wish.model_dump() | {"school_id": classroom["school_id"]}
        try:
            async with self.postgres.transaction() as connection:
                row = await written(connection, store.INSERT_ENROLMENT, values)
                await _record_enrolment(trail, connection, row)
        except (UniqueViolation, ExclusionViolation):
            raise Conflict("This user is in that classroom already.", code="enrolled") from None
        self.identities.forget()
        return Enrolment(**row)

    async def end_enrolment(self, scope: Scope, trail: Trail, enrolment_id: int, change: EnrolmentEnd) -> Enrolment:
        """End a membership; what was answered before stays with the classroom."""
        row = await self.find("enrolments", "enrolment", scope, enrolment_id)
        if change.valid_to is not None and change.valid_to <= row["valid_from"]:
            raise InvalidField("It ends before it begins.", field="valid_to")
        async with self.postgres.transaction() as connection:
            row = await written(connection, store.END_ENROLMENT, {"id": enrolment_id, **changed(change)})
            await _record_enrolment(trail, connection, row)
        self.identities.forget()
        return Enrolment(**row)


async def _end_logins(connection: Connection, user: dict[str, Any], change: UserChange) -> None:
    if change.disabled or change.role not in (None, user["role"]):
        await end_user(connection, user["id"], "disabled" if change.disabled else "another role")
    elif change.password:
        await end_sessions(connection, user["id"], "another password")


def _teacher(classroom: dict[str, Any]) -> set[int]:
    return set() if classroom["teacher_id"] is None else {classroom["teacher_id"]}


async def _record_enrolment(trail: Trail, connection: Connection, row: dict[str, Any]) -> None:
    target = f"enrolment_id={row['id']} classroom_id={row['classroom_id']}"
    await trail.record(connection, [row["user_id"]], school_id=row["school_id"], target=target, role=row["role"])


async def _record_change(trail: Trail, connection: Connection, user: dict[str, Any], change: UserChange) -> None:
    """A new password and a new role are lines of their own: they are what one looks for."""
    subjects, school_id = [user["id"]], user["school_id"]
    rest = sorted(change.model_fields_set - {"password", "role"})
    if change.password:
        await trail.record(connection, subjects, school_id=school_id, action="password.changed")
    if change.role not in (None, user["role"]):
        roles = {"before": user["role"], "after": change.role}
        await trail.record(connection, subjects, school_id=school_id, action="role.changed", **roles)
    if rest:
        consent: dict[str, Any] = {"consent": [user["consent"], change.consent]} if "consent" in rest else {}
        await trail.record(connection, subjects, school_id=school_id, fields=rest, **consent)
