"""What the policies of the model are told of each kind of caller."""

from __future__ import annotations

import re
from typing import Any

import pytest
from fastapi import FastAPI

from api.principal import Principal
from core.errors import Unauthenticated
from core.postgres import Postgres
from tests.api.conftest import School


async def _told(application: FastAPI, principal: Principal) -> dict[str, Any]:
    context = await application.state.services.identities.context(principal)
    assert context.groups == {principal.role}
    told = dict(context.attributes)
    assert re.fullmatch("[0-9a-f]{32}", told.pop("pseudonym_key"))
    return told


async def test_people_of_a_school(application: FastAPI, school: School) -> None:
    own, room = school.admin.school_id, school.classroom["id"]
    for person, role, rooms, students in (
        (school.admin, "admin", [], []),
        (school.teacher, "teacher", [room], [school.student.id]),
        (school.student, "student", [room], [school.student.id]),
    ):
        assert await _told(application, Principal(role, person.id, own)) == {
            "user_id": person.id,
            "school_id": own,
            "school_ids": [own],
            "classroom_ids": rooms,
            "student_ids": students,
        }


async def test_a_teacher_without_a_class_has_no_school(application: FastAPI, school: School) -> None:
    made = await school.admin.make("users", name="New", role="teacher")
    told = await _told(application, Principal("teacher", made["id"], school.admin.school_id))
    assert (told["school_id"], told["school_ids"], told["student_ids"]) == (None, [], [])


async def test_an_analyst_has_the_schools_that_are_granted_and_shared(
    application: FastAPI, school: School, postgres: Postgres
) -> None:
    rows = await postgres.fetch("insert into schools (name) values ('Shared'), ('Not'), ('Other') returning id")
    shared, closed, _ = (row["id"] for row in rows)
    (user,) = await postgres.fetch("insert into users (role, name) values ('analyst', 'A') returning id")
    for place in (shared, closed):
        await postgres.fetch("insert into analyst_schools (user_id, school_id) values (%s, %s)", [user["id"], place])
    await postgres.fetch("update schools set share_with_network = false where id = %s", [closed])
    assert await _told(application, Principal("analyst", user["id"])) == {
        "user_id": user["id"],
        "school_id": None,
        "school_ids": [shared],
        "classroom_ids": [],
        "student_ids": [],
    }


async def test_a_token_that_the_record_contradicts_is_refused(application: FastAPI, school: School) -> None:
    for principal in (
        Principal("teacher", school.student.id, school.admin.school_id),
        Principal("student", school.student.id, school.admin.school_id + 1),
        Principal("analyst", school.student.id),
        Principal("student", 10**9, school.admin.school_id),
    ):
        with pytest.raises(Unauthenticated):
            await application.state.services.identities.context(principal)


async def test_a_service_of_the_command_line_cannot_choose_the_pseudonyms(application: FastAPI) -> None:
    identities = application.state.services.identities
    own = (await identities.context(Principal("operator"))).attributes["pseudonym_key"]
    chosen = Principal("analyst", attributes={"pseudonym_key": "0" * 32, "school_ids": [1]})
    told = (await identities.context(chosen)).attributes
    assert (told["pseudonym_key"], told["school_ids"]) == (own, [1])
