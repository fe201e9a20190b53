"""A small random district as rows of ClickHouse's tables: several schools, everything at their borders."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

Row = dict[str, Any]
Tables = dict[str, list[Row]]
_START = datetime(2025, 10, 20, 6, 0, tzinfo=UTC)
_DDL = Path(__file__).resolve().parents[3] / "migrations" / "warehouse"


def tables_ddl() -> list[str]:
    """The product's tables, without what only matters on disks."""
    texts = [text for file in sorted(_DDL.glob("*.sql")) for text in file.read_text().split(";\n")]
    settings = "SETTINGS allow_nullable_key = 1"
    return [re.sub(r"SETTINGS.*", settings, text, flags=re.S) for text in texts if "CREATE" in text or "ALTER" in text]


def draw_district(seed: int) -> Tables:
    """Three schools with two classrooms each, pupils who changed class, shared and own quizzes, open sessions."""
    return _Drawer(Random(seed)).tables


class _Drawer:
    def __init__(self, random: Random) -> None:
        self.random, self.number = random, 0
        self.tables: Tables = {}
        for school in range(1, 4):
            self._add(
                "schools",
                id=school,
                name=f"School {school}",
                time_zone="UTC",
                external_id=None,
                attrs="{}",
                shared=True,
            )
            for _ in range(2):
                self._classroom(school)
        for owner in (None, None, 1, 2, 3):
            self._quiz(owner)
        for _ in range(14):
            self._session()
        for _ in range(25):
            self._event()

    def _id(self) -> int:
        self.number += 1
        return self.number + 100

    def _add(self, table: str, **values: Any) -> Row:
        facts = table in ("responses", "events")
        row = values | ({"batch": 1} if facts else {"version": 1, "is_deleted": 0})
        if not facts and table not in ("enrolments", "quiz_questions", "quiz_sessions", "quiz_results"):
            row["created_at"] = _START
        self.tables.setdefault(table, []).append(row)
        return row

    def _user(self, role: str, school: int) -> Row:
        key = self._id()
        return self._add(
            "users",
            id=key,
            school_id=school,
            role=role,
            name=f"{role} {key}",
            external_id=f"x{key}",
            shared=self.random.random() < 0.7,
            attrs="{}",
        )

    def _classroom(self, school: int) -> None:
        teacher, key = self._user("teacher", school), self._id()
        subject = self.random.choice(["history", "biology", None])
        self._add(
            "classrooms",
            id=key,
            school_id=school,
            teacher_id=teacher["id"],
            name=f"Class {key}",
            subject=subject,
            external_id=None,
        )
        for _ in range(self.random.randint(2, 4)):
            self._enrol(school, key, self._user("student", school), None)
        left = self._user("student", school)
        self._enrol(school, key, left, _START + timedelta(days=20))
        pupils = [each for each in self.tables["users"] if each["school_id"] == school and each["role"] == "student"]
        self._enrol(school, key, self.random.choice(pupils), None)

    def _enrol(self, school: int, classroom: int, user: Row, until: datetime | None) -> None:
        since = _START - timedelta(days=self.random.randint(1, 60))
        self._add(
            "enrolments",
            id=self._id(),
            school_id=school,
            classroom_id=classroom,
            user_id=user["id"],
            role=user["role"],
            valid_from=since,
            valid_to=until,
        )

    def _quiz(self, school: int | None) -> None:
        key = self._id()
        self._add(
            "quizzes",
            id=key,
            school_id=school,
            classroom_id=None,
            title=f"Quiz {key}",
            external_id=None,
            subject=self.random.choice(["history", None]),
            created_by=None,
            quiz_version=2,
            deleted_at=None,
        )
        for position in range(1, self.random.randint(3, 4)):
            question = self._id()
            skills = self.random.sample(["recall", "reason"], self.random.randint(0, 2))
            self._add(
                "questions",
                id=question,
                school_id=school,
                title=f"Q{question}?",
                qtype="single_choice",
                options="[]",
                answer_key="A",
                max_score=self.random.choice([1.0, 2.0]),
                skills=skills,
                external_id=None,
            )
            for version in self.random.choice([(1, 2), (2,), (1, 2)]):
                self._add(
                    "quiz_questions",
                    id=self._id(),
                    quiz_id=key,
                    quiz_version=version,
                    position=position,
                    question_id=question,
                )

    def _session(self) -> None:
        classroom = self.random.choice(self.tables["classrooms"])
        school = classroom["school_id"]
        quiz = self.random.choice([each for each in self.tables["quizzes"] if each["school_id"] in (None, school)])
        opened = _START + timedelta(minutes=self.random.randint(0, 40_000))
        ended = opened + timedelta(minutes=40) if self.random.random() < 0.6 else None
        room = classroom["id"] if self.random.random() < 0.85 else None
        version = self.random.choice([1, 2])
        session = self._add(
            "quiz_sessions",
            id=self._id(),
            school_id=school,
            classroom_id=room,
            quiz_id=quiz["id"],
            quiz_version=version,
            mode=self.random.choice(["live", "self_paced"]),
            opened_at=opened,
            started_at=opened,
            ended_at=ended,
        )
        items = [
            each["question_id"]
            for each in self.tables["quiz_questions"]
            if each["quiz_id"] == quiz["id"] and each["quiz_version"] == version
        ]
        for enrolment in [each for each in self.tables["enrolments"] if each["classroom_id"] == classroom["id"]]:
            if self.random.random() < 0.6:
                self._taking(session, enrolment["user_id"], items, opened)

    def _taking(self, session: Row, student: int, items: list[int], moment: datetime) -> None:
        keys = {name: session[name] for name in ("school_id", "classroom_id", "quiz_id")} | {
            "session_id": session["id"]
        }
        if self.random.random() < 0.3:
            self._add(
                "quiz_results",
                id=self._id(),
                **keys,
                student_id=student,
                attempt_number=1,
                score=self.random.randint(0, 20) / 2,
                max_score=10.0,
                submitted_at=moment,
            )
        for question in self.random.sample(items, self.random.randint(0, len(items))):
            moment += timedelta(seconds=self.random.randint(1, 4000))
            correct = self.random.choice([True, False, None])
            self._add(
                "responses",
                response_id=UUID(int=self._id()),
                **keys,
                quiz_version=session["quiz_version"],
                question_id=question,
                student_id=student,
                attempt_number=self.random.choice([1, 1, 2]),
                choice=self.random.choice(["A", "B", None]),
                correct=correct,
                score=None if correct is None else float(correct),
                submitted_at=moment,
                received_at=moment,
                time_spent_ms=self.random.choice([None, 4000, 15_000]),
            )

    def _event(self) -> None:
        enrolment = self.random.choice(self.tables["enrolments"])
        moment = _START + timedelta(minutes=self.random.randint(0, 40_000))
        user = self.random.choice([enrolment["user_id"], enrolment["user_id"], None])
        self._add(
            "events",
            event_id=UUID(int=self._id()),
            school_id=enrolment["school_id"],
            user_id=user,
            classroom_id=self.random.choice([enrolment["classroom_id"], None]),
            quiz_id=None,
            session_id=None,
            question_id=None,
            event_name=self.random.choice(["help_requested", "content_viewed"]),
            schema_version=1,
            app=None,
            occurred_at=moment,
            received_at=moment,
            props="{}",
        )
