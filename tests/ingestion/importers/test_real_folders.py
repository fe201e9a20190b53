"""Real data of four sources, compared with plain Python over the raw CSV."""

from __future__ import annotations

import csv
import gzip
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from core.clock import epoch_ms
from core.ids import derived_id, derived_id_ms
from ingestion.importers import import_folder
from tests.shared import shared

Ask = Callable[..., list[dict[str, Any]]]


def _raw(folder: Path, table: str) -> list[dict[str, str]]:
    path = folder / f"{table}.csv.gz"
    if not path.exists():
        return []
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("name", ["timss11", "credential", "coursekata", "refs"])
def test_a_real_folder_comes_in_completely_and_a_second_time_changes_nothing(
    name: str, postgres_url: str, ask: Ask, tmp_path: Path
) -> None:
    folder, rejects = shared("data", name), tmp_path / "rejects.csv"
    report = import_folder(postgres_url, folder, rejects=rejects)
    assert (report.rejected, report.samples, rejects.exists()) == (0, [], False)
    targets = {"enrollments": "enrolments", "sessions": "quiz_sessions"}
    for table, numbers in report.tables.items():
        raw = _raw(folder, table)
        (row,) = ask(f"select count(*) from {targets.get(table, table)}")
        assert row["count"] == len(raw) == numbers.read == numbers.inserted
    _compare_responses(folder, ask)
    _compare_results(folder, ask)
    changes = ask("select count(*), max(seq) from row_changes")
    again = import_folder(postgres_url, folder)
    assert (again.inserted, again.updated, again.rejected) == (0, 0, 0)
    assert ask("select count(*), max(seq) from row_changes") == changes


def _compare_responses(folder: Path, ask: Ask) -> None:
    """Per student: how many answers, right ones, points, seconds; and how often each choice was taken."""
    expected: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0, 0])
    choices: Counter[str | None] = Counter()
    for row in _raw(folder, "responses"):
        sums = expected[row["student_id"]]
        sums[0] += 1
        sums[1] += row["correct"] == "1"
        sums[2] += float(row["score"])
        sums[3] += float(row["time_spent"] or 0)
        choices[row["answer"] or None] += 1
    stored = ask(
        "select m.source_id, count(*), count(*) filter (where correct) as correct, sum(score) as score, "
        "coalesce(sum(time_spent_ms), 0) / 1000.0 as seconds from responses r "
        "join import_ids m on m.entity = 'users' and m.id = r.student_id group by 1"
    )
    found = {row["source_id"]: [row["count"], row["correct"], row["score"], float(row["seconds"])] for row in stored}
    assert found == expected
    rows = ask("select choice, count(*) from responses group by 1")
    assert {row["choice"]: row["count"] for row in rows} == choices


def _compare_results(folder: Path, ask: Ask) -> None:
    raw = _raw(folder, "quiz_results")
    (row,) = ask(
        "select count(*), coalesce(sum(score), 0) as score, coalesce(sum(max_score), 0) as most from quiz_results"
    )
    sums = [sum(float(each[name]) for each in raw) for name in ("score", "max_score")]
    assert [row["count"], row["score"], row["most"]] == [len(raw), *sums]


def test_ids_are_those_that_the_contract_names(postgres_url: str, ask: Ask) -> None:
    import_folder(postgres_url, shared("data", "timss11"))
    import_folder(postgres_url, shared("data", "coursekata"))
    for row in ask(
        "select r.*, s.opened_at, s.started_at from responses r join quiz_sessions s on s.id = r.session_id "
        "order by response_id limit 500"
    ):
        parts = [row[name] for name in ("session_id", "question_id", "student_id", "attempt_number")]
        assert row["opened_at"] == row["started_at"]
        assert row["response_id"] == derived_id_ms(epoch_ms(row["opened_at"]), "\x1f".join(map(str, parts)))
    raw = {row["event_id"]: row for row in _raw(shared("data", "coursekata"), "events")}
    for row in ask("select * from events"):
        source = raw[row["client_id"].removeprefix("coursekata:")]
        assert row["occurred_at"] == datetime.fromisoformat(source["timestamp"])
        assert row["props"] == json.loads(source["metadata"])
        assert row["event_id"] == derived_id(row["occurred_at"], row["school_id"], row["client_id"])
        assert isinstance(row["event_id"], UUID)


def test_two_folders_with_the_same_ids_do_not_collide(postgres_url: str, ask: Ask) -> None:
    folder = shared("data", "coursekata")
    first = import_folder(postgres_url, folder, source="spring")
    second = import_folder(postgres_url, folder, source="autumn")
    assert (
        second.inserted
        == first.inserted
        == first.tables["users"].read + sum(numbers.read for table, numbers in first.tables.items() if table != "users")
    )
    (row,) = ask("select count(*), count(distinct school_id) as schools from users")
    assert (row["count"], row["schools"]) == (2 * 1725, 2 * 11)


def test_what_is_not_of_the_format_is_named(postgres_url: str) -> None:
    report = import_folder(postgres_url, shared("data", "coursekata"))
    assert report.ignored == [
        "page_activity.csv.gz is not part of the format",
        "pulse_survey.csv.gz is not part of the format",
        "quiz_results.csv.gz, column n_submitted is not part of the format",
    ]
