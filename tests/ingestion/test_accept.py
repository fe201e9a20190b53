"""A batch of events: each gets its own answer, after the commit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from core.clock import now
from core.errors import Forbidden
from core.ids import new_id
from core.postgres import Postgres
from core.settings import Settings
from ingestion.accept import Acceptor, count
from ingestion.scope import Caller
from ingestion.writer import Writer
from tests.ingestion.rows import make_school


@pytest.fixture
async def acceptor(postgres: Postgres, settings: Settings) -> AsyncIterator[Acceptor]:
    """The door for events."""
    async with Writer(postgres, settings) as writer:
        yield Acceptor(postgres, writer)


@pytest.fixture
async def school(postgres: Postgres) -> dict[str, int]:
    """A small school."""
    return await make_school(postgres)


def ann(school: dict[str, int]) -> Caller:
    """A student."""
    return Caller(school["ann"], school["school"], "student")


def teacher(school: dict[str, int]) -> Caller:
    """A teacher."""
    return Caller(school["teacher"], school["school"], "teacher")


def viewed(**more: Any) -> dict[str, Any]:
    """An event that anybody may send."""
    return {"event_name": "content_viewed", "metadata": {"content_id": "video-1"}, **more}


async def test_the_body_of_the_design_is_accepted(
    postgres: Postgres, school: dict[str, int], acceptor: Acceptor
) -> None:
    body = {
        "event_name": "quiz_created", "app": "whiteboard", "user_id": school["teacher"], "quiz_id": school["quiz"],
        "classroom_id": school["classroom"], "metadata": {"title": "Math Quiz", "question_count": 10},
    }  # fmt: skip
    (outcome,) = await acceptor.accept([body], teacher(school))
    (row,) = await postgres.fetch("select * from events")
    assert (outcome.status, outcome.id) == ("accepted", row["event_id"])
    assert (row["school_id"], row["user_id"], row["quiz_id"]) == (school["school"], school["teacher"], school["quiz"])
    assert row["props"] == {"title": "Math Quiz", "question_count": 10}


async def test_one_bad_item_does_not_harm_its_neighbours(
    postgres: Postgres, school: dict[str, int], acceptor: Acceptor
) -> None:
    outcomes = await acceptor.accept([viewed(), {"event_name": "quiz_startd"}, 7, viewed()], ann(school))
    assert [outcome.status for outcome in outcomes] == ["accepted", "rejected", "rejected", "accepted"]
    assert (outcomes[1].reason, outcomes[1].field) == ("unknown_event", "event_name")
    assert "quiz_started" in str(outcomes[1].message)
    assert count(outcomes) == {"accepted": 2, "duplicate": 0, "rejected": 2}
    letters = await postgres.fetch("select school_id, stage, reason, payload from dead_letters order by id")
    assert [letter["payload"] for letter in letters] == [{"event_name": "quiz_startd"}, 7]
    assert {(letter["school_id"], letter["stage"]) for letter in letters} == {(school["school"], "accept")}
    assert letters[0]["reason"].startswith("unknown_event: ")


async def test_what_no_database_can_hold_is_still_buried(
    postgres: Postgres, school: dict[str, int], acceptor: Acceptor
) -> None:
    items = [viewed(client_id="a\x00b"), viewed(client_id="\ud800"), viewed(n=float("nan")), viewed(x="y" * 100_000)]
    outcomes = await acceptor.accept(items, ann(school))
    assert [outcome.reason for outcome in outcomes] == ["bad_text", "bad_text", "not_a_number", "too_large"]
    assert (await postgres.fetch("select count(*) as n from dead_letters"))[0]["n"] == 4


async def test_a_retry_is_a_duplicate_with_the_same_id(
    postgres: Postgres, school: dict[str, int], acceptor: Acceptor
) -> None:
    item = viewed(client_id="tablet-7/42", timestamp=now().isoformat())
    (first,) = await acceptor.accept([item], ann(school))
    again = await acceptor.accept([item, item], ann(school))
    assert [(outcome.status, outcome.id) for outcome in again] == [("duplicate", first.id)] * 2
    assert (await postgres.fetch("select count(*) as n from events"))[0]["n"] == 1


async def test_a_repetition_within_one_batch(school: dict[str, int], acceptor: Acceptor) -> None:
    item = viewed(client_id="k", timestamp=now().isoformat())
    outcomes = await acceptor.accept([item, item, viewed()], ann(school))
    assert [outcome.status for outcome in outcomes] == ["accepted", "duplicate", "accepted"]
    assert outcomes[0].id == outcomes[1].id


async def test_a_client_id_used_for_something_else_is_told(school: dict[str, int], acceptor: Acceptor) -> None:
    item = viewed(client_id="k", timestamp=now().isoformat())
    other = {**item, "metadata": {"content_id": "video-2"}}
    outcomes = await acceptor.accept([item, other], ann(school)) + await acceptor.accept([other], ann(school))
    assert [(outcome.status, outcome.reason) for outcome in outcomes] == [
        ("accepted", None), ("rejected", "conflict"), ("rejected", "conflict"),
    ]  # fmt: skip


async def test_the_same_client_id_in_two_schools_is_two_events(
    postgres: Postgres, school: dict[str, int], acceptor: Acceptor
) -> None:
    other = await make_school(postgres, "Lake School")
    item = viewed(client_id="k", timestamp=now().isoformat())
    (here,) = await acceptor.accept([item], ann(school))
    (there,) = await acceptor.accept([item], ann(other))
    assert (here.status, there.status) == ("accepted", "accepted")
    assert here.id != there.id


async def test_a_client_id_needs_a_time_or_is_one(school: dict[str, int], acceptor: Acceptor) -> None:
    item = viewed(client_id=str(new_id()))
    outcomes = await acceptor.accept([viewed(client_id="k"), item, item], ann(school))
    assert [outcome.status for outcome in outcomes] == ["rejected", "accepted", "duplicate"]
    assert outcomes[0].field == "timestamp"


@pytest.mark.parametrize(
    ("shift", "status"),
    [
        (timedelta(days=-34), "accepted"),
        (timedelta(days=-36), "rejected"),
        (timedelta(minutes=4), "accepted"),
        (timedelta(minutes=6), "rejected"),
    ],
)
async def test_clocks_may_be_wrong_within_bounds(
    shift: timedelta, status: str, postgres: Postgres, school: dict[str, int], acceptor: Acceptor
) -> None:
    moment = now() + shift
    (outcome,) = await acceptor.accept([viewed(timestamp=moment.isoformat())], ann(school))
    assert outcome.status == status
    assert outcome.reason == (None if status == "accepted" else "clock")
    rows = await postgres.fetch("select occurred_at from events")
    assert [abs(row["occurred_at"] - moment) < timedelta(milliseconds=1) for row in rows] == [True] * len(rows)
    assert len(rows) == (status == "accepted")


async def test_a_student_reports_only_himself_and_no_teachers_work(school: dict[str, int], acceptor: Acceptor) -> None:
    items = [
        viewed(user_id=school["ann"]), viewed(user_id=school["ben"]),
        {"event_name": "quiz_ended", "quiz_id": school["quiz"]},
    ]  # fmt: skip
    outcomes = await acceptor.accept(items, ann(school))
    assert [(outcome.status, outcome.field) for outcome in outcomes] == [
        ("accepted", None), ("rejected", "user_id"), ("rejected", "event_name"),
    ]  # fmt: skip


async def test_ids_of_another_school_and_unknown_ids_look_the_same(
    postgres: Postgres, school: dict[str, int], acceptor: Acceptor
) -> None:
    other = await make_school(postgres, "Lake School")
    shared = (await postgres.fetch("insert into quizzes (title) values ('for all') returning id"))[0]["id"]
    items = [
        viewed(quiz_id=school["quiz"]), viewed(quiz_id=shared), viewed(quiz_id=other["quiz"]), viewed(quiz_id=999_999),
        viewed(classroom_id=other["classroom"]), viewed(question_id=other["single"]), viewed(user_id=other["ann"]),
    ]  # fmt: skip
    outcomes = await acceptor.accept(items, teacher(school))
    assert [outcome.status for outcome in outcomes] == ["accepted"] * 2 + ["rejected"] * 5
    assert {outcome.reason for outcome in outcomes[2:]} == {"unknown_id"}


async def test_what_was_made_a_moment_ago_is_known(
    postgres: Postgres, school: dict[str, int], acceptor: Acceptor
) -> None:
    number = (await postgres.fetch("select max(id) + 1 as n from quizzes"))[0]["n"]
    (early,) = await acceptor.accept([viewed(quiz_id=number)], teacher(school))
    await postgres.fetch(
        "insert into quizzes (id, school_id, title, created_by) values (%s, %s, 'new', %s)",
        (number, school["school"], school["teacher"]),
    )
    (late,) = await acceptor.accept([viewed(quiz_id=number)], teacher(school))
    assert (early.status, late.status) == ("rejected", "accepted")


async def test_who_has_no_school_sends_no_events(school: dict[str, int], acceptor: Acceptor) -> None:
    with pytest.raises(Forbidden):
        await acceptor.accept([viewed()], Caller(school["ann"], None, "operator"))


async def test_ids_are_ordered_by_time(school: dict[str, int], acceptor: Acceptor) -> None:
    moments = [now() - timedelta(days=days) for days in (30, 3, 0)]
    outcomes = await acceptor.accept([viewed(timestamp=moment.isoformat()) for moment in moments], ann(school))
    identifiers = [outcome.id for outcome in outcomes]
    assert all(isinstance(identifier, UUID) and identifier.version == 7 for identifier in identifiers)
    assert identifiers == sorted(identifiers, key=str)
