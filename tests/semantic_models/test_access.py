"""Each role gets the numbers of its own rows and no others, in every question of queries.yml."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import AccessDenied
from engine import SecurityContext
from tests.oracle.scope import Caller, caller
from tests.oracle.world import Person, World
from tests.semantic_models.installations import Installation
from tests.semantic_models.test_numbers import CASES, check

ROLES = ["student", "teacher", "admin"]
MADE_UP = [case for case in CASES if case.get("world") != "imported"]


def context(who: Caller) -> SecurityContext:
    """What the engine is told of the caller."""
    return SecurityContext(frozenset({who.role}), who.attributes)


def somebody(world: World, role: str) -> Person:
    """The student with most answers, a teacher who leads a class with answers; anybody of that school as admin."""
    if role == "student":
        return max((row.student for row in world.answers), key=lambda one: sum(a.student is one for a in world.answers))
    return next(row.classroom.teacher for row in world.answers if row.classroom and row.classroom.teacher)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("case", MADE_UP, ids=[case["name"] for case in MADE_UP])
def test_a_role_is_answered_from_its_own_rows(case: dict[str, Any], role: str, made_up: Installation) -> None:
    world = made_up.oracle.world
    who = caller(world, somebody(world, role), role)
    if role == "student" and "teachers." in str(case["query"]):
        with pytest.raises(AccessDenied, match="teachers"):
            made_up.ask(case["query"], context(who))
        return
    rows, total = made_up.ask(case["query"], context(who))
    expected = made_up.oracle.ask(case["query"], who.scope)
    check(rows, expected, ordered=case.get("ordered", False))
    if "total" in case["query"]:
        assert total == expected.total


def test_a_role_sees_less_than_the_operator(made_up: Installation) -> None:
    world, query = made_up.oracle.world, {"measures": ["responses.count"]}
    counts = [made_up.oracle.ask(query, caller(world, somebody(world, role), role).scope).rows[0] for role in ROLES]
    numbers = [row["responses.count"] for row in counts]
    assert 0 < numbers[0] < numbers[1] < numbers[2] < len(world.answers)


KEY = "questions.answer_key"
ASKING_FOR_THE_KEY: list[dict[str, Any]] = [
    {"dimensions": [KEY]},
    {"measures": ["questions.count"], "filters": [{"member": KEY, "operator": "equals", "values": ["A"]}]},
    {"measures": ["responses.count"], "filters": [{"or": [{"member": KEY, "operator": "set"}]}]},
]


@pytest.mark.parametrize("query", ASKING_FOR_THE_KEY)
def test_only_teachers_read_the_right_answer(query: dict[str, Any], made_up: Installation) -> None:
    world = made_up.oracle.world
    rows, _ = made_up.ask(query, context(caller(world, somebody(world, "teacher"), "teacher")))
    assert rows
    with pytest.raises(AccessDenied):
        made_up.ask(query, context(caller(world, somebody(world, "student"), "student")))


def test_without_a_role_nothing_is_answered(made_up: Installation) -> None:
    for cube in made_up.catalog.cubes.values():
        with pytest.raises(AccessDenied):
            made_up.ask({"measures": [next(iter(cube.measures.values())).full_name]}, SecurityContext())


@pytest.mark.parametrize("role", ROLES)
def test_a_role_without_attributes_gets_no_row(role: str, made_up: Installation) -> None:
    for cube in ("responses", "events", "enrolments", "sessions", "classrooms", "students", "schools"):
        rows, _ = made_up.ask({"measures": [f"{cube}.count"]}, SecurityContext(frozenset({role})))
        assert rows == [{f"{cube}.count": 0}]
