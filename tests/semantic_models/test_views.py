"""A view is only another name: what it answers is what its cubes answer."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import AccessDenied
from engine import SecurityContext
from tests.engine.asking import same_rows
from tests.semantic_models.installations import Installation

PAIRS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"measures": ["student_performance.accuracy"], "dimensions": ["student_performance.student"]},
        {"measures": ["responses.accuracy"], "dimensions": ["students.name"]},
    ),
    (
        {
            "measures": ["learning.count", "learning.median_time_seconds"],
            "dimensions": ["learning.school", "learning.subject", "learning.session_mode"],
            "segments": ["learning.first_attempts"],
        },
        {
            "measures": ["responses.count", "responses.median_time_seconds"],
            "dimensions": ["schools.name", "quizzes.subject", "sessions.mode"],
            "segments": ["responses.first_attempts"],
        },
    ),
    (
        {
            "measures": [
                "classroom_engagement.enrolled_students",
                "classroom_engagement.active_students",
                "classroom_engagement.engagement_rate",
                "classroom_engagement.completion_rate",
                "classroom_engagement.events",
            ],
            "dimensions": ["classroom_engagement.classroom"],
        },
        {
            "measures": [
                "enrolments.enrolled_students",
                "activity.active_students",
                "enrolments.engagement_rate",
                "participations.completion_rate",
                "events.count",
            ],
            "dimensions": ["classrooms.name"],
        },
    ),
    (
        {
            "measures": ["content_effectiveness.difficulty", "content_effectiveness.most_common_wrong_answer"],
            "dimensions": ["content_effectiveness.question"],
            "filters": [{"member": "content_effectiveness.subject", "operator": "equals", "values": ["history"]}],
        },
        {
            "measures": ["responses.difficulty", "responses.most_common_wrong_answer"],
            "dimensions": ["questions.title"],
            "filters": [{"member": "quizzes.subject", "operator": "equals", "values": ["history"]}],
        },
    ),
]


@pytest.mark.parametrize(("through", "direct"), PAIRS, ids=[str(pair[0]["measures"][0]) for pair in PAIRS])
def test_a_view_answers_as_its_cubes_do(through: dict[str, Any], direct: dict[str, Any], made_up: Installation) -> None:
    left, right = made_up.ask(through)[0], made_up.ask(direct)[0]
    assert left
    names = [[*query.get("dimensions", ()), *query["measures"]] for query in (through, direct)]
    rows = [[[row[name] for name in each] for row in found] for each, found in zip(names, (left, right), strict=True)]
    assert same_rows(*rows, ordered=False)


def test_item_statistics_stand_beside_answers_of_a_question(made_up: Installation) -> None:
    """Two facts of one view, over the question that they share."""
    through, _ = made_up.ask(
        {
            "measures": ["content_effectiveness.discrimination", "content_effectiveness.count"],
            "dimensions": ["content_effectiveness.question_id"],
        }
    )
    direct, _ = made_up.ask(
        {"measures": ["item_scores.discrimination", "responses.count"], "dimensions": ["questions.id"]}
    )
    assert same_rows([list(row.values()) for row in through], [list(row.values()) for row in direct], ordered=False)


@pytest.mark.parametrize("view", ["learning", "classroom_engagement", "content_effectiveness"])
def test_a_student_gets_no_view_over_others(view: str, made_up: Installation) -> None:
    measure = next(iter(made_up.catalog.views[view].measures))
    with pytest.raises(AccessDenied):
        made_up.ask({"measures": [f"{view}.{measure}"]}, SecurityContext(frozenset({"student"}), {"user_id": 1}))
