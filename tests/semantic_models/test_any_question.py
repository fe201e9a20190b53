"""Questions that nobody thought of: random measures, groupings and filters over the made-up district."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.oracle.members import DIMENSIONS, LINKS, MEASURES, SEGMENTS
from tests.semantic_models.installations import Installation
from tests.semantic_models.test_numbers import check

FACTS = ["responses", "participations", "item_scores", "activity", "quiz_results", "events", "enrolments", "sessions"]
TIMES = {
    "responses": "responses.submitted_at",
    "participations": "participations.started_at",
    "item_scores": "item_scores.submitted_at",
    "activity": "activity.at",
    "quiz_results": "quiz_results.submitted_at",
    "events": "events.occurred_at",
    "enrolments": "enrolments.valid_from",
    "sessions": "sessions.started_at",
}
ZONES = ["UTC", "Europe/Vienna", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
UNSORTABLE = {"submitted_at", "started_at", "finished_at", "ended_at", "at", "occurred_at", "valid_from", "valid_to"}
DAYS = ["2025-10-20", "2025-10-26", "2025-11-02", "2025-11-20"]


def groupable(fact: str) -> list[str]:
    """What a fact can be grouped by over many-to-one joins."""
    cubes = [fact, *LINKS[fact]]
    return [f"{cube}.{name}" for cube in cubes for name in DIMENSIONS[cube] if name not in UNSORTABLE]


@st.composite
def filters(draw: st.DrawFn, fact: str) -> list[dict[str, Any]]:
    """Up to two conditions of different kinds."""
    texts = [
        name for name in groupable(fact) if name.endswith((".name", ".title", ".subject", ".choice", ".role", ".mode"))
    ]
    text = st.fixed_dictionaries(
        {
            "member": st.sampled_from(texts or ["schools.name"]),
            "operator": st.sampled_from(
                ["equals", "notEquals", "contains", "notContains", "startsWith", "endsWith", "set", "notSet"]
            ),
            "values": st.lists(
                st.sampled_from(["A", "history", "Quiz 1", "student", "%", "_", "'", "School"]), min_size=1, max_size=2
            ),
        }
    )
    moment = st.fixed_dictionaries(
        {
            "member": st.just(TIMES[fact]),
            "operator": st.sampled_from(["beforeDate", "afterDate", "beforeOrOnDate", "afterOrOnDate"]),
            "values": st.lists(st.sampled_from(DAYS), min_size=1, max_size=1),
        }
    )
    groups = st.lists(text, min_size=1, max_size=2).map(lambda parts: {"or": parts})
    return draw(st.lists(st.one_of(text, moment, groups), max_size=2))


@st.composite
def questions(draw: st.DrawFn) -> dict[str, Any]:
    """A query over one fact."""
    fact = draw(st.sampled_from(FACTS))
    members = [f"{fact}.{name}" for name in MEASURES[fact]]
    query: dict[str, Any] = {
        "measures": draw(st.lists(st.sampled_from(members), min_size=1, max_size=4, unique=True)),
        "dimensions": draw(st.lists(st.sampled_from(groupable(fact)), max_size=3, unique=True)),
        "filters": draw(filters(fact)),
        "timezone": draw(st.sampled_from(ZONES)),
        "order": [],
    }
    if draw(st.booleans()):
        time: dict[str, Any] = {"dimension": TIMES[fact]}
        time["granularity"] = draw(st.sampled_from(["hour", "day", "week", "month", "quarter", "year"]))
        if draw(st.booleans()):
            time["dateRange"] = sorted(draw(st.lists(st.sampled_from(DAYS), min_size=2, max_size=2)))
        query["timeDimensions"] = [time]
    own = [name for name in SEGMENTS if name.startswith(f"{fact}.")]
    if own:
        query["segments"] = draw(st.lists(st.sampled_from(own), max_size=1))
    return query


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(query=questions())
def test_any_question_is_answered_as_plain_python_answers_it(query: dict[str, Any], made_up: Installation) -> None:
    rows, _ = made_up.ask(query)
    check(rows, made_up.oracle.ask(query), ordered=False)
