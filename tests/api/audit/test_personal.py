"""Which members of our own cubes are about a person: each column of people's numbers and names is known as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from api.audit.personal import numbers, personal_kind
from engine import Catalog, load_catalog

_MODELS = Path(__file__).resolve().parents[3] / "semantic_models"
_NUMBERS = ("student_id", "user_id", "teacher_id", "actor_id", "created_by")


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    """The product's own models."""
    return load_catalog(_MODELS)


def test_every_persons_number_and_name_is_known_as_such(catalog: Catalog) -> None:
    for cube in catalog.cubes.values():
        for each in cube.dimensions.values():
            if each.name in _NUMBERS or each.full_name in {"students.id", "teachers.id"}:
                assert personal_kind(catalog, each.full_name) == "subject", each.full_name
    for name in ("students.name", "students.external_id", "teachers.name", "responses.id", "enrolments.id"):
        assert personal_kind(catalog, name) == "person", name


def test_members_of_views_count_as_what_they_stand_for(catalog: Catalog) -> None:
    for view in catalog.views.values():
        for each in view.dimensions.values():
            assert personal_kind(catalog, each.full_name) == personal_kind(catalog, each.alias_member)


@pytest.mark.parametrize(
    "name", ["schools.name", "classrooms.id", "quizzes.title", "responses.count", "sessions.id", "students.created_at"]
)
def test_what_is_about_nobody(catalog: Catalog, name: str) -> None:
    assert personal_kind(catalog, name) is None


def test_a_pseudonym_is_no_number() -> None:
    assert numbers(["7", None, "p4f1e", "8", "7", "-1"]) == {7, 8}
