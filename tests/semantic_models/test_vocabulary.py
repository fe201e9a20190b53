"""The models as a teacher and a careful reader would want them: everything explained, everything guarded."""

from __future__ import annotations

import pytest

from api.reports.definitions import load_reports
from engine import Catalog, SecurityContext
from engine.model.catalog import Cube, Member
from engine.model.lint import policy_leaves
from engine.query.access import may_ask
from tests.semantic_models.installations import MODELS

ROLES = {"student", "teacher", "admin", "analyst", "operator"}
CUBES = sorted(path.stem for path in (MODELS / "cubes").glob("*.yml"))
NAMES = {"students.name", "students.external_id", "teachers.name", "teachers.external_id"}


def members_of(cube: Cube) -> list[Member]:
    """Dimensions, measures and segments."""
    return [*cube.dimensions.values(), *cube.measures.values(), *cube.segments.values()]


@pytest.mark.parametrize("name", CUBES)
def test_every_member_of_a_cube_has_a_title_and_a_description(catalog: Catalog, name: str) -> None:
    cube = catalog.cubes[name]
    bare = [each.full_name for each in members_of(cube) if not (each.shown.title and each.shown.description)]
    assert not bare
    assert cube.shown.description


@pytest.mark.parametrize("name", CUBES)
def test_a_description_is_a_sentence_and_explains_more_than_its_title(catalog: Catalog, name: str) -> None:
    cube = catalog.cubes[name]
    for member in members_of(cube):
        text = member.shown.description or ""
        assert text.endswith("."), member.full_name
        assert text.rstrip(".") != member.shown.short_title, member.full_name


@pytest.mark.parametrize("name", CUBES)
def test_every_cube_has_a_key_and_a_policy_for_the_operator(catalog: Catalog, name: str) -> None:
    cube = catalog.cubes[name]
    assert cube.primary_key
    assert cube.policies
    assert any("operator" in policy.groups for policy in cube.policies)
    assert set().union(*(policy.groups for policy in cube.policies)) <= ROLES


@pytest.mark.parametrize("name", CUBES)
def test_nobody_but_the_operator_reads_rows_of_other_schools(catalog: Catalog, name: str) -> None:
    assert catalog.cubes[name].tenant is not None
    for policy in catalog.cubes[name].policies:
        assert policy.allow_all is (set(policy.groups) == {"operator"})


@pytest.mark.parametrize("name", CUBES)
def test_students_and_teachers_have_row_filters_within_their_school(catalog: Catalog, name: str) -> None:
    shared = catalog.cubes[name].tenant.shared  # type: ignore[union-attr]
    for policy in catalog.cubes[name].policies:
        if "student" in policy.groups or ("teacher" in policy.groups and not shared):
            assert list(policy_leaves(policy.row_filters))


def test_what_names_a_person_is_personal_and_kept_from_analysts(catalog: Catalog) -> None:
    context = SecurityContext(frozenset({"analyst"}), {"school_ids": [1]})
    personal = {each.full_name for cube in catalog.cubes.values() for each in cube.dimensions.values() if each.personal}
    assert personal >= NAMES | {"students.id", "teachers.id", "responses.student_id", "events.user_id"}
    shown = {
        each.alias_member
        for view in catalog.views.values()
        for each in view.dimensions.values()
        if may_ask(catalog, context, each.full_name)
    }
    assert not personal & (shown | {name for name in personal if may_ask(catalog, context, name)})
    assert may_ask(catalog, context, "learning.student_pseudonym")
    for role in ("student", "teacher", "admin"):
        someone = SecurityContext(frozenset({role}))
        assert not may_ask(catalog, someone, "students.pseudonym")
        assert not may_ask(catalog, someone, "learning.student_pseudonym")
        assert not may_ask(catalog, someone, "student_performance.student_pseudonym")


def test_what_changes_is_read_in_its_newest_version(catalog: Catalog) -> None:
    facts = {"responses", "events", "audit_log"}
    for cube in catalog.cubes.values():
        text = cube.sql.text if cube.sql is not None else ""
        reads_dimension = cube.table is not None and cube.table not in facts
        assert cube.final is reads_dimension, cube.name
        for table in ("users", "quizzes", "questions", "quiz_questions", "quiz_results"):
            assert f"FROM {table}" not in text.replace(f"FROM {table} FINAL", ""), cube.name


def test_rates_are_shown_as_per_cent(catalog: Catalog) -> None:
    for cube in catalog.cubes.values():
        for measure in cube.measures.values():
            if measure.name.endswith(("_rate", "accuracy", "_share")):
                assert measure.shown.format == "percent", measure.full_name


def test_joins_go_from_facts_to_dimensions(catalog: Catalog) -> None:
    joins = [join for cube in catalog.cubes.values() for join in cube.joins.values()]
    many = {f"{join.cube}>{join.name}" for join in joins if join.relationship != "many_to_one"}
    assert many == {"questions>question_skills", "quizzes>quiz_questions"}


def test_no_view_gives_away_the_right_answer(catalog: Catalog) -> None:
    for view in catalog.views.values():
        assert view.policies, view.name
        for name in (*view.dimensions, *view.measures):
            assert catalog.primitive(f"{view.name}.{name}").full_name != "questions.answer_key", view.name


def test_analysts_read_no_names(catalog: Catalog) -> None:
    for view in ("learning", "content_effectiveness", "classroom_engagement"):
        shown = {catalog.primitive(f"{view}.{name}").full_name for name in catalog.views[view].dimensions}
        assert not shown & NAMES


def test_every_member_of_a_view_stands_in_one_folder_or_in_none(catalog: Catalog) -> None:
    for view in catalog.views.values():
        members = {*view.dimensions, *view.measures, *view.segments}
        listed = [name for folder in view.folders for name in folder.members]
        assert listed or not members
        assert len(listed) == len(set(listed)), view.name
        assert set(listed) <= members, view.name


def test_every_member_can_be_planned(catalog: Catalog) -> None:
    assert not catalog.faults
    for cube in catalog.cubes.values():
        for member in members_of(cube):
            assert catalog.expanded[member.full_name].unsupported is None, member.full_name


def test_reports_name_members_that_exist(catalog: Catalog) -> None:
    reports = load_reports(MODELS / "reports")
    assert {report.path for report in reports.values()} == {
        "student-performance",
        "classroom-engagement",
        "content-effectiveness",
    }
    for report in reports.values():
        for section in report.sections:
            for kind in ("measures", "dimensions", "segments"):
                for name in section.query.get(kind, ()):
                    assert catalog.member(name).shown.title
