"""The made-up district: the same for the same seed, and believable by the numbers that a teacher would look at."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import groupby, pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from core.errors import InvalidField
from ingestion.importers import import_source
from ingestion.importers.district import Account, District
from ingestion.importers.items import LETTERS, bank
from ingestion.importers.people import generator, students
from ingestion.importers.rejects import Rejects
from ingestion.importers.sittings import sit
from ingestion.importers.tables import TABLES
from ingestion.importers.timetable import HOLIDAY_WEEKS

END = datetime(2026, 5, 22, 18, tzinfo=UTC)
DISTRICT = District(schools=3, classrooms_per_school=5, students_per_classroom=25, days=90, seed=7, until=END)
Row = dict[str, Any]


def _rows(district: District, table: str) -> list[Row]:
    names = [column.name for column in TABLES[table].columns]
    chunks = district.chunks(table, 1000, Rejects(None))
    return [dict(zip(names, row, strict=True)) for chunk in chunks for row in chunk.rows]


@pytest.fixture(scope="module")
def responses() -> list[Row]:
    return _rows(DISTRICT, "responses")


def test_the_same_seed_gives_the_same_district_and_another_seed_another() -> None:
    small = District(days=21, until=END)
    for table in TABLES:
        if small.columns(table):
            assert _rows(small, table) == _rows(District(days=21, until=END), table)
    assert _rows(small, "responses") != _rows(District(days=21, until=END, seed=2), "responses")


def test_a_later_run_repeats_the_old_days_and_adds_the_new_ones() -> None:
    early = District(days=30, until=END - timedelta(days=10))
    late = District(days=40, until=END)
    for table in ("users", "sessions", "events"):
        key = TABLES[table].key[0]
        old, new = ({row[key]: row for row in _rows(each, table)} for each in (early, late))
        assert all(new[name] == row for name, row in old.items())
    assert len(_rows(late, "sessions")) > len(_rows(early, "sessions"))


def test_lessons_are_on_school_mornings_of_the_time_zone_on_both_sides_of_the_clock_change(
    responses: list[Row],
) -> None:
    zone = ZoneInfo(DISTRICT.time_zone)
    local = [row["submitted_at"].astimezone(zone) for row in responses]
    assert {moment.weekday() for moment in local} <= set(range(5))
    assert min(moment.hour for moment in local) >= 8
    assert max(moment.hour for moment in local) <= 13
    assert not {moment.isocalendar().week for moment in local} & HOLIDAY_WEEKS
    offsets = {moment.utcoffset() for moment in local}
    assert offsets == {timedelta(hours=1), timedelta(hours=2)}
    starts = defaultdict(set)
    for row in _rows(DISTRICT, "sessions"):
        at = row["started_at"].astimezone(zone)
        starts[row["classroom_id"], at.weekday()].add(at.hour)
    assert all(len(hours) == 1 for hours in starts.values())
    assert max(local) <= END < max(local) + timedelta(days=3)


def test_answers_follow_the_two_parameter_model() -> None:
    items = bank(7)["science"]
    group = students(7, 1, 1, 4000)
    sitting = sit(generator(7, "check"), group, items, weeks=10)
    first = sitting.rounds[0]
    ability = group.ability + group.growth * 10
    for place, item in enumerate(items):
        mine = first.item == place
        chance = 1 / (1 + np.exp(-item.discrimination * (ability[first.student[mine]] - item.difficulty)))
        right = first.choice[mine] == item.right
        error = np.sqrt(np.sum(chance * (1 - chance))) / len(chance)
        assert abs(right.mean() - chance.mean()) < 4.5 * error
        strong = chance > np.median(chance)
        assert right[strong].mean() > right[~strong].mean() + 0.05
    assert 0.02 < 1 - len(sitting.present) / 4000 < 0.12
    times = np.log(first.seconds)
    assert abs(np.mean(((times - times.mean()) / times.std()) ** 3)) < 0.5


def test_wrong_answers_go_mostly_to_the_attractive_option() -> None:
    items = bank(7)["geography"]
    first = sit(generator(7, "check"), students(7, 1, 1, 4000), items, weeks=0).rounds[0]
    for place, item in enumerate(items):
        wrong = first.choice[(first.item == place) & (first.choice != item.right)]
        share = (wrong == item.attractive).mean()
        assert 0.45 < share < 0.85
        assert all(
            (wrong == other).mean() < share / 1.5 for other in range(4) if other not in (item.right, item.attractive)
        )


def test_one_item_is_keyed_wrongly_and_shows_it(responses: list[Row]) -> None:
    questions = {row["question_id"]: row for row in _rows(DISTRICT, "questions")}
    keys = {item.key: LETTERS[item.right] for items in bank(7).values() for item in items}
    assert [name for name, row in questions.items() if row["correct_answer"] != keys[name]] == ["mathematics-7"]
    for row in responses:
        assert row["correct"] == (row["answer"] == questions[row["question_id"]]["correct_answer"])
        assert row["score"] == float(row["correct"])
    totals: dict[str, list[int]] = defaultdict(list)
    for row in responses:
        if row["question_id"] != "mathematics-7":
            totals[row["student_id"]].append(row["correct"])
    suspect = [row for row in responses if row["question_id"] == "mathematics-7" and row["attempt_number"] == 1]
    able = np.array([np.mean(totals[row["student_id"]]) for row in suspect])
    correct = np.array([row["correct"] for row in suspect])
    assert np.corrcoef(able, correct)[0, 1] < 0


def test_classes_differ_some_students_struggle_and_second_tries_are_better(responses: list[Row]) -> None:
    first = [row for row in responses if row["attempt_number"] == 1]
    by_class: dict[str, list[bool]] = defaultdict(list)
    by_student: dict[str, list[bool]] = defaultdict(list)
    for row in first:
        by_class[row["classroom_id"]].append(row["correct"])
        by_student[row["student_id"]].append(row["correct"])
    means = [np.mean(each) for each in by_class.values()]
    assert max(means) - min(means) > 0.1
    assert sum(np.mean(each) < 0.3 for each in by_student.values()) >= 3
    assert 0.5 < np.mean([row["correct"] for row in first]) < 0.75
    again = {(row["session_id"], row["student_id"]) for row in responses if row["attempt_number"] == 2}
    pairs = {key: [0, 0] for key in again}
    for row in responses:
        if (key := (row["session_id"], row["student_id"])) in pairs:
            pairs[key][row["attempt_number"] - 1] += row["correct"]
    assert len(pairs) > 30
    assert np.mean([second - one for one, second in pairs.values()]) > 0.3


def test_names_are_many_and_of_several_scripts() -> None:
    users = _rows(District(classrooms_per_school=10, students_per_classroom=30, until=END), "users")
    assert Counter(row["role"] for row in users) == {"student": 300, "teacher": 10, "admin": 1}
    names = [row["name"] for row in users]
    assert len(set(names)) > 200
    assert all(
        any(low <= letter <= high for name in names for letter in name)
        for low, high in (("А", "я"), ("Α", "ω"), ("ء", "ي"), ("क", "ह"), ("一", "鿿"), ("あ", "ん"))
    )


def test_every_answer_is_an_event_too_and_sessions_have_their_five_kinds(responses: list[Row]) -> None:
    events = _rows(DISTRICT, "events")
    kinds = Counter(row["event_name"] for row in events)
    sessions = _rows(DISTRICT, "sessions")
    assert kinds["quiz_started"] == kinds["quiz_ended"] == len(sessions)
    assert {"quiz_created", "question_displayed", "student_login", "help_requested"} <= kinds.keys()
    told = Counter(
        (row["session_id"], row["question_id"], row["user_id"], json.loads(row["metadata"])["answer"], row["timestamp"])
        for row in events
        if row["event_name"] == "answer_submitted"
    )
    assert told == Counter(
        (row["session_id"], row["question_id"], row["student_id"], row["answer"], row["submitted_at"])
        for row in responses
    )
    assert len({row["event_id"] for row in events}) == len(events)
    ends = {row["session_id"]: row for row in sessions}
    for row in responses:
        session = ends[row["session_id"]]
        assert session["started_at"] < row["submitted_at"] <= session["ended_at"]


def test_a_district_is_loaded_by_the_same_path_and_twice_is_once(
    postgres_url: str, everything: Callable[[], dict[str, Any]], ask: Callable[..., list[Row]]
) -> None:
    accounts = {role: Account(f"{role}@example.org", "hash") for role in ("teacher", "admin", "student")}
    district = District(days=21, until=END, accounts=accounts)
    report = import_source(postgres_url, district)
    assert report.rejected == 0
    assert report.tables["responses"].inserted == len(_rows(district, "responses"))
    assert report.tables["events"].inserted == len(_rows(district, "events"))
    before = everything()
    assert import_source(postgres_url, district).inserted == 0
    assert everything() == before
    assert ask("select role, email, password_hash from users where email is not null order by role") == [
        {"role": role, "email": f"{role}@example.org", "password_hash": "hash"}
        for role in ("admin", "student", "teacher")
    ]
    taught = ask("select count(*) from classrooms c join users u on u.id = c.teacher_id where u.email is not null")
    assert taught == [{"count": 1}]
    again = District(days=21, until=END, accounts={"teacher": Account("other@example.org", "other")})
    assert import_source(postgres_url, again).updated == 0
    assert ask("select time_zone from schools") == [{"time_zone": "Europe/Vienna"}]


def test_chunks_are_bounded_and_tell_how_much_is_left() -> None:
    chunks = list(DISTRICT.chunks("responses", 1000, Rejects(None)))
    assert all(len(chunk.rows) < 1000 + 25 * 12 * 2 for chunk in chunks)
    totals = [chunk.total for chunk in chunks]
    assert totals[-1] == sum(len(chunk.rows) for chunk in chunks)
    assert all(total and abs(total / totals[-1] - 1) < 0.35 for total in totals[len(totals) // 2 :] if totals[-1])


def test_weekdays_without_lessons_are_holidays_or_slow_days_not_gaps() -> None:
    days = sorted({row["started_at"].date() for row in _rows(DISTRICT, "sessions")})
    gaps = [later - earlier for earlier, later in pairwise(days)]
    assert max(gaps) <= timedelta(days=13)
    weeks = [week for week, _ in groupby(day.isocalendar().week for day in days)]
    expected = {(date(2026, 2, 22) + timedelta(days=n)).isocalendar().week for n in range(90)} - HOLIDAY_WEEKS
    assert set(weeks) <= expected
    assert len(weeks) >= 11


@pytest.mark.parametrize(
    "wrong", [{"schools": 0}, {"days": 0}, {"quizzes_per_week": 6}, {"questions_per_quiz": 13}, {"seed": -1}]
)
def test_impossible_sizes_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidField):
        District(**wrong)  # type: ignore[arg-type]
