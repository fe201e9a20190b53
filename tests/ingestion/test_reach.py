"""Who may write about what: a table (reach.yml) against a real record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.clock import now
from core.postgres import Connection, Postgres
from ingestion.reach import Known, Reach
from ingestion.scope import Caller, Scope

_TABLE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("reach.yml").read_text())
_THEN = timedelta(hours=-2)


class Record:
    """Rows by their names."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.ids: dict[str, int] = {}
        self.school = 0

    async def put(self, table: str, name: str, /, **values: Any) -> int:
        """A row of the school, remembered as `name`."""
        values = {"school_id": self.school} | values if table != "schools" else values
        columns, marks = ", ".join(values), ", ".join(f"%({column})s" for column in values)
        sql = f"insert into {table} ({columns}) values ({marks}) returning id"
        ((self.ids[name],),) = [row.values() for row in await (await self._connection.execute(sql, values)).fetchall()]
        return self.ids[name]

    async def enrol(self, room: str, person: str, **more: Any) -> None:
        """Somebody into a classroom."""
        place = {"classroom_id": self.ids[room], "user_id": self.ids[person]}
        await self.put("enrolments", f"{person} in {room}", **place, **more)

    async def ask(self, quiz: str, question: str) -> None:
        """A question into a quiz."""
        values = {"quiz": self.ids[quiz], "question": self.ids[question]}
        sql = """insert into quiz_questions (quiz_id, quiz_version, position, question_id)
                 select %(quiz)s, 1, 1 + count(*), %(question)s from quiz_questions where quiz_id = %(quiz)s"""
        await self._connection.execute(sql, values)


@pytest.fixture
async def record(postgres: Postgres) -> Record:
    """The school of the table, and another one."""
    async with postgres.transaction() as connection:
        record = Record(connection)
        for school, roles in {"elsewhere": ["admin_elsewhere"], "here": _PEOPLE}.items():
            record.school = await record.put("schools", school, name=school)
            for name in roles:
                role = {"pupil": "student", "left": "student", "admin": "admin"}.get(name.split("_")[0], "teacher")
                await record.put("users", f"user_id {name}", role=role, name=name)
        await _fill(record)
    return record


_PEOPLE = ["pupil_a", "pupil_b", "left_a", "teacher_a", "helper_a", "teacher_b", "idle", "admin"]


async def _fill(record: Record) -> None:
    ids = record.ids
    for room in "ab":
        teacher = ids[f"user_id teacher_{room}"]
        await record.put("classrooms", f"classroom_id room_{room}", name=room, teacher_id=teacher)
        await record.enrol(f"classroom_id room_{room}", f"user_id pupil_{room}")
    await record.enrol("classroom_id room_a", "user_id helper_a", role="teacher")
    stay = {"valid_from": now() + 2 * _THEN, "valid_to": now() + _THEN / 2}
    await record.enrol("classroom_id room_a", "user_id left_a", **stay)
    room_a, room_b = ids["classroom_id room_a"], ids["classroom_id room_b"]
    quizzes: dict[str, dict[str, int | None]] = {
        "of_room_a": {"classroom_id": room_a},
        "of_room_b": {"classroom_id": room_b},
        "by_teacher_a_for_his_rooms": {"created_by": ids["user_id teacher_a"]},
        "by_admin_for_all": {"created_by": ids["user_id admin"]},
        "by_idle": {"created_by": ids["user_id idle"]},
        "by_nobody": {},
        "by_nobody_played_in_room_a": {},
        "shared": {"school_id": None},
    }
    for name, values in quizzes.items():
        await record.put("quizzes", f"quiz_id {name}", title=name, **values)
    for name in ("of_room_a", "of_rooms_a_and_b", "of_no_quiz"):
        await record.put("questions", f"question_id {name}", title=name, qtype="free_text")
    await record.put("questions", "question_id shared", title="shared", qtype="free_text", school_id=None)
    await record.ask("quiz_id of_room_a", "question_id of_room_a")
    await record.ask("quiz_id of_room_a", "question_id of_rooms_a_and_b")
    await record.ask("quiz_id of_room_b", "question_id of_rooms_a_and_b")
    await record.ask("quiz_id shared", "question_id shared")
    sittings: list[tuple[str, str, int | None]] = [
        ("in_room_a", "by_nobody_played_in_room_a", room_a),
        ("of_shared_quiz_in_room_a", "shared", room_a),
        ("of_room_a_without_room", "of_room_a", None),
        ("of_shared_quiz_without_room", "shared", None),
    ]
    for sitting, quiz, place in sittings:
        await record.put("quiz_sessions", f"session_id {sitting}", quiz_id=ids[f"quiz_id {quiz}"], classroom_id=place)


def _caller(record: Record, sender: str) -> Caller:
    name = sender.removesuffix("_then")
    school = record.ids["elsewhere" if name == "admin_elsewhere" else "here"]
    role: Any = {"pupil": "student", "left": "student", "admin": "admin"}.get(name.split("_")[0], "teacher")
    return Caller(record.ids[f"user_id {name}"], school, role)


async def test_each_sender_reaches_what_is_his(record: Record, postgres: Postgres) -> None:
    scope = Scope(postgres)
    told: dict[tuple[str, str], str] = {}
    for sender in _TABLE["senders"]:
        moment = now() + (_THEN if sender.endswith("_then") else timedelta())
        things = {name: (name.split()[0], record.ids[name]) for name in _TABLE["things"]}
        caller = _caller(record, sender)
        foreign = await scope.foreign(caller, caller.school_id or 0, [(thing, moment) for thing in things.values()])
        told |= {(name, sender): "n" if (thing, moment) in foreign else "y" for name, thing in things.items()}
    assert {name: " ".join(told[name, sender] for sender in _TABLE["senders"]) for name in _TABLE["things"]} == _TABLE[
        "things"
    ]


async def test_a_new_pupil_is_known_at_once_and_one_who_left_within_a_second(
    record: Record, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    scope, moment = Scope(postgres), now()
    newcomer, thing = _caller(record, "pupil_b"), ("quiz_id", record.ids["quiz_id of_room_a"])
    wish = (newcomer, newcomer.school_id or 0, [(thing, moment)])
    assert await scope.foreign(*wish)
    place: Mapping[str, Any] = {
        "school": newcomer.school_id,
        "room": record.ids["classroom_id room_a"],
        "user": newcomer.user_id,
    }
    await postgres.fetch(
        "insert into enrolments (school_id, classroom_id, user_id, valid_from)"
        " values (%(school)s, %(room)s, %(user)s, now() - interval '3 days')",
        place,
    )
    assert not await scope.foreign(*wish)
    await postgres.fetch(
        "update enrolments set valid_to = now() - interval '1 day' where user_id = %(user)s"
        " and classroom_id = %(room)s",
        place,
    )
    monkeypatch.setattr("ingestion.scope._SENDER_SECONDS", 0.0)
    assert await scope.foreign(*wish)


def test_a_thing_of_no_school_is_shared_only_if_it_is_content() -> None:
    reach, moment = Reach(1, 1, whole=True), datetime.now().astimezone()
    assert reach.covers(("quiz_id", 1), Known(None), moment)
    assert not reach.covers(("user_id", 2), Known(None), moment)
