"""A school's own types of events: registered, versioned, deprecated, and no burden to anybody."""

from __future__ import annotations

from typing import Any

import pytest

from core.clock import now
from core.postgres import Postgres
from ingestion.custom import MOST_TYPES
from tests.api.conftest import School, data, fault

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"substance": {"type": "string", "pattern": "^(a+)+$"}, "grams": {"type": "number", "minimum": 0}},
    "required": ["substance"],
    "additionalProperties": False,
}


def _event(**metadata: Any) -> dict[str, Any]:
    return {"event_name": "lab.experiment_started", "metadata": metadata, "timestamp": now().isoformat()}


async def _register(school: School, **wish: Any) -> dict[str, Any]:
    body = {"name": "lab.experiment_started", "schema": SCHEMA, **wish}
    made: dict[str, Any] = data(await school.admin.post("/api/v1/event-types", body), 201)
    return made


async def test_a_schools_own_events_are_checked_by_its_schema(school: School, postgres: Postgres) -> None:
    fault(await school.student.post("/api/v1/events", _event(substance="aaa")), 422, "unknown_event")
    await _register(school)
    items = [_event(substance="aaa", grams=2), _event(grams=1), _event(substance="a", mood=1), _event(substance=1)]
    sent = data(await school.student.post("/api/v1/events", items), 202)["items"]
    assert [(item["status"], item.get("reason"), item.get("field")) for item in sent] == [
        ("accepted", None, None), ("rejected", "missing_field", "metadata"), ("rejected", "unknown_field", "metadata"),
        ("rejected", "invalid_field", "metadata.substance"),
    ]  # fmt: skip
    rows = await postgres.fetch("select props, schema_version from events where event_name = 'lab.experiment_started'")
    assert rows == [{"props": {"substance": "aaa", "grams": 2}, "schema_version": 1}]
    slip = fault(await school.student.post("/api/v1/events", _event() | {"event_name": "lab.experiment_startd"}), 422)
    assert "lab.experiment_started" in slip["message"]
    listed = data(await school.student.get("/api/v1/event-types"))
    assert [each["name"] for each in listed if each["school_id"]] == ["lab.experiment_started"]
    assert "answer_submitted" in {each["name"] for each in listed}


async def test_no_pattern_takes_exponential_time(school: School) -> None:
    await _register(school)
    fault(await school.student.post("/api/v1/events", _event(substance="a" * 8_000 + "!")), 422, "invalid_field")


async def test_a_version_never_changes(school: School) -> None:
    first = await _register(school)
    assert await _register(school) == first
    other = {"name": first["name"], "schema": {"type": "object"}}
    fault(await school.admin.post("/api/v1/event-types", other), 409, "version_taken")
    fault(await school.admin.post("/api/v1/event-types", {**other, "version": 3}), 409, "version_gap")
    data(await school.admin.post("/api/v1/event-types", {**other, "version": 2}), 201)
    free = _event(anything=1) | {"schema_version": 2}
    assert data(await school.student.post("/api/v1/events", [free, _event(anything=1)]), 202)["accepted"] == 1


async def test_a_deprecated_type_takes_only_what_happened_before(school: School) -> None:
    made = await _register(school)
    before = _event(substance="a")
    data(await school.admin.call("DELETE", f"/api/v1/event-types/{made['id']}"))
    after = _event(substance="a")
    sent = data(await school.student.post("/api/v1/events", [before, after]), 202)["items"]
    assert [item.get("reason") for item in sent] == [None, "deprecated_event"]


BAD: list[tuple[str, Any]] = [
    ("a name of ours", {"name": "quiz_started"}),
    ("a name without a dot", {"name": "experiment"}),
    ("capital letters", {"name": "Lab.x"}),
    ("no object", {"schema": {"type": "string"}}),
    ("no schema", {"schema": {"type": "object", "properties": {"a": {"type": "strin"}}}}),
    ("a document elsewhere", {"schema": {"type": "object", "$ref": "https://example.org/s.json"}}),
    ("itself", {"schema": {"type": "object", "properties": {"a": {"$ref": "#"}}}}),
    ("a look-ahead", {"schema": {"type": "object", "properties": {"a": {"pattern": "(?=a)b"}}}}),
    ("too deep", {"schema": {"type": "object", "not": {"not": {"not": {"not": {"not": {"not": {"not": {"not": {"not":
        {"not": {"not": {"not": {"not": {"not": {"not": {"not": {"not": {}}}}}}}}}}}}}}}}}}}),
    ("too large", {"schema": {"type": "object", "description": "x" * 20_000}}),
]  # fmt: skip


@pytest.mark.parametrize("wish", [case[1] for case in BAD], ids=[case[0] for case in BAD])
async def test_what_is_no_type_is_refused(school: School, wish: dict[str, Any]) -> None:
    body = {"name": "lab.x", "schema": {"type": "object"}} | wish
    fault(await school.admin.post("/api/v1/event-types", body), 422)


async def test_ten_thousand_types_are_too_many(school: School, postgres: Postgres) -> None:
    await postgres.fetch(
        """insert into event_types (school_id, name, version, schema)
           select %s, 'lab.t' || n, 1, '{"type": "object"}' from generate_series(1, %s) n""",
        [school.admin.school_id, MOST_TYPES],
    )
    body = {"name": "lab.one_more", "schema": {"type": "object"}}
    told = fault(await school.admin.post("/api/v1/event-types", body), 409, "too_many_types")
    assert told["error"]["details"]["limit"] == MOST_TYPES
    names = [_event() | {"event_name": f"lab.unheard_of_{n}"} for n in range(5_000)]
    for _ in range(2):
        answer = data(await school.student.post("/api/v1/events", names), 202)
        assert {item["reason"] for item in answer["items"]} == {"unknown_event"}
