"""A small folder in the import format that tests may spoil."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import psycopg
import pytest

from core.postgres import connect

Rows: TypeAlias = list[dict[str, Any]]
SMALL = {
    "schools": "school_id,name,external_id,attrs\n1,Süd,x,{}\n2,Nord,,\n",
    "users": "user_id,role,school_id,name,external_id,attrs\n"
    '1,student,1,Łucja,,"{""a"":1}"\n2,student,1,美玲,,\n3,teacher,1,Ms T,,\n4,student,2,Far,,\n',
    "classrooms": "classroom_id,school_id,teacher_id,name,subject,external_id\n1,1,3,5a,maths,\n2,2,,6b,,\n",
    "enrollments": "classroom_id,user_id,role\n1,1,student\n1,2,student\n",
    "questions": "question_id,title,qtype,options,correct_answer,max_score,skills,external_id\n"
    '1,Q1,single_choice,"[""A"",""B""]",A,2,"[""add""]",\n2,Q2,numeric,,7,,,\n',
    "quizzes": "quiz_id,title,subject,created_by,external_id,attrs\n1,Quiz,maths,3,,\n",
    "quiz_questions": "quiz_id,position,question_id\n1,1,1\n1,2,2\n",
    "sessions": "session_id,quiz_id,classroom_id,started_at,ended_at\n1,1,1,2024-03-01T08:00:00Z,\n2,1,1,,\n3,1,2,,\n",
    "responses": "response_id,session_id,quiz_id,classroom_id,question_id,student_id,attempt_number,answer,correct,"
    "score,time_spent,submitted_at\n"
    "1,1,1,1,1,1,1,A,1,2,12.5,2024-03-01T08:01:00Z\n"
    "2,1,1,1,1,2,1,B,0,0,,2024-03-01T09:01:00+01:00\n"
    "3,2,1,1,2,1,1,,,,0,2024-04-01T08:01:00Z\n",
    "quiz_results": "result_id,session_id,quiz_id,classroom_id,student_id,attempt_number,score,max_score,submitted_at\n"
    "1,1,1,1,1,1,2,3,\n",
    "events": "event_id,event_name,app,user_id,quiz_id,classroom_id,metadata,timestamp\n"
    '1,content_viewed,notebook,1,,1,"{""page"": 3}",2024-03-01T08:00:00.123+00:00\n',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The small folder."""
    path = tmp_path / "small"
    path.mkdir()
    for name, text in SMALL.items():
        data = text.encode()
        if name in ("users", "events"):
            (path / f"{name}.csv.gz").write_bytes(gzip.compress(data))
        else:
            (path / f"{name}.csv").write_bytes(data)
    return path


@pytest.fixture
def ask(postgres_url: str) -> Callable[..., Rows]:
    """Rows of one statement."""

    def run(sql: str, *parameters: Any) -> Rows:
        with connect(postgres_url) as connection:
            return connection.execute(sql, parameters).fetchall()

    return run


@pytest.fixture
def everything(postgres_url: str) -> Callable[[], dict[str, Any]]:
    """Every row of every table that an import may touch, and the number of noted changes."""
    tables = "schools users classrooms enrolments quizzes questions quiz_questions quiz_sessions quiz_results responses"
    order = {"responses": "response_id", "events": "event_id", "import_ids": "source, entity, source_id"}

    def take() -> dict[str, Any]:
        with psycopg.connect(postgres_url) as connection:
            return {
                table: connection.execute(f"select * from {table} order by {order.get(table, 'id')}").fetchall()
                for table in [*tables.split(), "events", "import_ids"]
            } | {"row_changes": connection.execute("select count(*) from row_changes").fetchone()}

    return take
