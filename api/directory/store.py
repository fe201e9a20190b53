"""The directory's SQL: every statement takes the caller's scope (`Scope.parameters`) and shows only what he may see."""

from __future__ import annotations

from typing import Any

from api.fields import Paging
from api.privacy.grants import ANALYST_SCHOOLS
from api.sql import counted
from core.postgres import Postgres

SEES_SCHOOL = f"(%(operator)s or id = %(my_school)s or %(my_role)s = 'analyst' and id in ({ANALYST_SCHOOLS}))"
SEES_CLASSROOM = """(%(operator)s or school_id = %(my_school)s and (%(whole)s or id = any(%(my_classrooms)s)))"""
SEES_USER = """
(%(operator)s or id = %(my_user)s or school_id = %(my_school)s and (%(whole)s or id = any(%(my_students)s)))
"""
SEES_ENROLMENT = """(%(operator)s or school_id = %(my_school)s and (%(whole)s or user_id = %(my_user)s
    or %(my_role)s = 'teacher' and classroom_id = any(%(my_classrooms)s)))"""

_TABLES = {
    "schools": (
        "id, name, time_zone, external_id, consent_basis, share_with_network, retention_months, created_at",
        SEES_SCHOOL,
        "true",
    ),
    "classrooms": (
        "id, school_id, teacher_id, name, subject, external_id, created_at",
        SEES_CLASSROOM,
        "(%(school_id)s::bigint is null or school_id = %(school_id)s)",
    ),
    "users": (
        "id, school_id, role, name, email, username, external_id, consent, created_at",
        SEES_USER,
        """(%(school_id)s::bigint is null or school_id = %(school_id)s) and (%(role)s::text is null or role = %(role)s)
        and (%(email)s::text is null or lower(email) = lower(%(email)s)) and (%(id)s::bigint is null or id = %(id)s)
        and (%(classroom_id)s::bigint is null or id in (select user_id from enrolments
             where classroom_id = %(classroom_id)s and valid_from <= now()
               and (valid_to is null or valid_to > now())))""",
    ),
    "enrolments": (
        "id, school_id, classroom_id, user_id, role, valid_from, valid_to",
        SEES_ENROLMENT,
        """(%(classroom_id)s::bigint is null or classroom_id = %(classroom_id)s)
        and (%(user_id)s::bigint is null or user_id = %(user_id)s)
        and (%(open)s::boolean is null or (valid_to is null or valid_to > now()) = %(open)s)""",
    ),
}
INSERT_SCHOOL = """
insert into schools (name, time_zone, external_id) values (%(name)s, %(time_zone)s, %(external_id)s) returning *"""
UPDATE_SCHOOL = """
update schools set name = coalesce(%(name)s, name), time_zone = coalesce(%(time_zone)s, time_zone),
    consent_basis = coalesce(%(consent_basis)s, consent_basis),
    share_with_network = coalesce(%(share_with_network)s, share_with_network),
    retention_months = case when %(has_retention_months)s then %(retention_months)s else retention_months end
where id = %(id)s returning *"""
INSERT_CLASSROOM = """
insert into classrooms (school_id, teacher_id, name, subject, external_id)
values (%(school_id)s, %(teacher_id)s, %(name)s, %(subject)s, %(external_id)s) returning *"""
UPDATE_CLASSROOM = """
update classrooms set name = coalesce(%(name)s, name),
    subject = case when %(has_subject)s then %(subject)s else subject end,
    teacher_id = case when %(has_teacher_id)s then %(teacher_id)s else teacher_id end
where id = %(id)s returning *"""
UPDATE_USER = """
update users set name = coalesce(%(name)s, name), email = coalesce(%(email)s, email), role = coalesce(%(role)s, role),
    password_hash = coalesce(%(password_hash)s, password_hash),
    one_time_until = case when %(password_hash)s::text is null then one_time_until end,
    email_verified_at = case when %(email)s::text is null or email = %(email)s then email_verified_at end,
    email_source = case when %(email)s::text is null or email = %(email)s then email_source else 'school' end,
    disabled_at = case when %(disabled)s then coalesce(disabled_at, now()) when not %(disabled)s then null
                       else disabled_at end,
    consent = case when %(has_consent)s then %(consent)s else consent end
where id = %(id)s returning id, school_id, role, name, email, username, external_id, consent, created_at"""
INSERT_ENROLMENT = """
insert into enrolments (school_id, classroom_id, user_id, role, valid_from)
values (%(school_id)s, %(classroom_id)s, %(user_id)s, %(role)s, coalesce(%(valid_from)s, now())) returning *"""
END_ENROLMENT = """
update enrolments set valid_to = greatest(coalesce(%(valid_to)s, now()), valid_from + interval '1 microsecond')
where id = %(id)s returning *"""
STUDENT_CLASSROOMS = """
select classroom_id from enrolments where user_id = %(user_id)s and role = 'student'
  and valid_from <= now() and (valid_to is null or valid_to > now()) order by valid_from desc"""


async def page(
    postgres: Postgres, table: str, scope: dict[str, Any], paging: Paging, **wanted: Any
) -> tuple[list[dict[str, Any]], int]:
    """One page of a table's rows that the caller may see, by id, and how many there are in all."""
    columns, sees, matches = _TABLES[table]
    values = scope | paging.limit | wanted
    rows = await postgres.fetch(
        f"select {columns} from {table} where {sees} and {matches} order by id limit %(limit)s offset %(offset)s",
        values,
    )
    return rows, await counted(postgres, f"select count(*) as n from {table} where {sees} and {matches}", values)


async def one(postgres: Postgres, table: str, scope: dict[str, Any], row_id: int) -> dict[str, Any] | None:
    """A row that the caller may see."""
    columns, sees, _ = _TABLES[table]
    return await postgres.fetch_one(
        f"select {columns} from {table} where id = %(id)s and {sees}", scope | {"id": row_id}
    )
