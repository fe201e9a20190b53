"""What each name of the models means, said in Python: the oracle's own dictionary, written from the descriptions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from math import floor
from typing import Any

from tests.oracle.arithmetic import correlation, deviation, mean, quantile, ratio, variance
from tests.oracle.derived import CLASS_FLOOR

Rows = Sequence[Any]
Zone = tzinfo

LINKS: dict[str, dict[str, str]] = {
    "schools": {},
    "teachers": {"schools": "school"},
    "students": {"schools": "school"},
    "classrooms": {"schools": "school", "teachers": "teacher"},
    "enrolments": {"schools": "school", "classrooms": "classroom", "students": "student"},
    "quizzes": {},
    "questions": {},
    "quiz_questions": {"questions": "question"},
    "sessions": {"schools": "school", "classrooms": "classroom", "quizzes": "quiz"},
    "responses": {
        "schools": "school",
        "classrooms": "classroom",
        "students": "student",
        "quizzes": "quiz",
        "questions": "question",
        "sessions": "session",
    },
    "participations": {
        "schools": "school",
        "classrooms": "classroom",
        "students": "student",
        "quizzes": "quiz",
        "sessions": "session",
    },
    "item_scores": {"schools": "school", "classrooms": "classroom", "quizzes": "quiz", "questions": "question"},
    "activity": {
        "schools": "school",
        "classrooms": "classroom",
        "students": "student",
        "quizzes": "quiz",
        "sessions": "session",
    },
    "quiz_results": {
        "schools": "school",
        "classrooms": "classroom",
        "students": "student",
        "quizzes": "quiz",
        "sessions": "session",
    },
    "events": {"schools": "school", "classrooms": "classroom", "students": "student", "quizzes": "quiz"},
}

_BANDS = [10, 20, 30, 60, 120, 300]
_BAND_NAMES = ["under 10 s", "10–20 s", "20–30 s", "30–60 s", "1–2 min", "2–5 min", "5 min and more"]


def _id(record: Any) -> int | None:
    return None if record is None else int(record.id)


def _seconds(answer: Any) -> float | None:
    return None if answer.time_ms is None else answer.time_ms / 1000


def _band(answer: Any) -> int | None:
    seconds = _seconds(answer)
    return None if seconds is None else sum(seconds >= bound for bound in _BANDS)


def _band_start(answer: Any) -> int | None:
    band = _band(answer)
    return None if band is None else [0, *_BANDS][band]


def _band_name(answer: Any) -> str:
    band = _band(answer)
    return "not measured" if band is None else _BAND_NAMES[band]


def _tenth(share: float | None) -> float | None:
    return None if share is None else min(floor(share * 10) * 10, 90)


def _length(session: Any) -> float | None:
    if session.started_at is None or session.ended_at is None:
        return None
    return float((session.ended_at - session.started_at).total_seconds())


DIMENSIONS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "schools": {
        "id": _id,
        "name": lambda row: row.name,
        "time_zone": lambda row: row.time_zone,
        "external_id": lambda row: row.external_id,
    },
    "teachers": {"id": _id, "name": lambda row: row.name, "school_id": lambda row: row.school.id},
    "students": {
        "id": _id,
        "name": lambda row: row.name,
        "school_id": lambda row: row.school.id,
        "external_id": lambda row: row.external_id,
    },
    "classrooms": {
        "id": _id,
        "name": lambda row: row.name,
        "subject": lambda row: row.subject,
        "external_id": lambda row: row.external_id,
        "school_id": lambda row: row.school.id,
        "teacher_id": lambda row: _id(row.teacher),
    },
    "enrolments": {
        "role": lambda row: row.role,
        "classroom_id": lambda row: row.classroom.id,
        "user_id": lambda row: row.person.id,
        "school_id": lambda row: row.school.id,
        "valid_from": lambda row: row.valid_from,
        "valid_to": lambda row: row.valid_to,
        "is_current": lambda row: row.valid_to is None,
    },
    "quizzes": {
        "id": _id,
        "title": lambda row: row.title,
        "subject": lambda row: row.subject,
        "external_id": lambda row: row.external_id,
        "is_shared": lambda row: row.school is None,
        "school_id": lambda row: _id(row.school),
    },
    "questions": {
        "id": _id,
        "title": lambda row: row.title,
        "qtype": lambda row: row.qtype,
        "answer_key": lambda row: row.answer_key,
        "max_score": lambda row: row.max_score,
        "skills": lambda row: ", ".join(row.skills),
        "external_id": lambda row: row.external_id,
        "school_id": lambda row: _id(row.school),
    },
    "question_skills": {"skill": lambda row: row.name, "question_id": lambda row: row.question.id},
    "quiz_questions": {
        "position": lambda row: row.position,
        "quiz_id": lambda row: row.quiz.id,
        "question_id": lambda row: row.question.id,
        "school_id": lambda row: _id(row.quiz.school),
    },
    "sessions": {
        "id": _id,
        "mode": lambda row: row.mode,
        "quiz_id": lambda row: row.quiz.id,
        "classroom_id": lambda row: _id(row.classroom),
        "school_id": lambda row: row.school.id,
        "started_at": lambda row: row.started_at,
        "ended_at": lambda row: row.ended_at,
        "is_ended": lambda row: row.ended_at is not None,
        "duration_seconds": _length,
    },
    "responses": {
        "school_id": lambda row: row.school.id,
        "classroom_id": lambda row: _id(row.classroom),
        "session_id": lambda row: row.session.id,
        "quiz_id": lambda row: row.quiz.id,
        "question_id": lambda row: row.question.id,
        "student_id": lambda row: row.student.id,
        "attempt_number": lambda row: row.attempt,
        "choice": lambda row: row.choice,
        "correct": lambda row: row.correct,
        "score": lambda row: row.score,
        "time_spent_seconds": _seconds,
        "time_band_seconds": _band_start,
        "time_band": _band_name,
        "submitted_at": lambda row: row.submitted_at,
    },
    "participations": {
        "session_id": lambda row: row.session.id,
        "student_id": lambda row: row.student.id,
        "quiz_id": lambda row: row.quiz.id,
        "classroom_id": lambda row: _id(row.classroom),
        "school_id": lambda row: row.school.id,
        "started_at": lambda row: row.started_at,
        "finished_at": lambda row: row.finished_at,
        "attempts": lambda row: max(answer.attempt for answer in row.answers),
        "questions_answered": lambda row: row.questions_answered,
        "question_count": lambda row: row.question_count,
        "completed": lambda row: row.completed,
        "score": lambda row: row.score,
        "score_share": lambda row: row.score_share,
        "score_band": lambda row: _tenth(row.score_share),
        "duration_seconds": lambda row: row.duration,
        "time_on_task_seconds": lambda row: row.time_on_task,
    },
    "item_scores": {
        "quiz_id": lambda row: row.quiz.id,
        "question_id": lambda row: row.question.id,
        "student_id": lambda row: row.answer.student.id,
        "classroom_id": lambda row: _id(row.classroom),
        "school_id": lambda row: row.school.id,
        "submitted_at": lambda row: row.answer.submitted_at,
        "points": lambda row: row.points,
        "rest_points": lambda row: row.rest,
    },
    "activity": {
        "kind": lambda row: row.kind,
        "at": lambda row: row.at,
        "school_id": lambda row: row.school.id,
        "classroom_id": lambda row: _id(row.classroom),
        "session_id": lambda row: row.session.id,
        "quiz_id": lambda row: row.quiz.id,
        "student_id": lambda row: row.student.id,
    },
    "quiz_results": {
        "attempt_number": lambda row: row.attempt,
        "score": lambda row: row.score,
        "max_score": lambda row: row.max_score,
        "score_share": lambda row: row.score / row.max_score,
        "score_band": lambda row: _tenth(row.score / row.max_score),
        "submitted_at": lambda row: row.submitted_at,
        "school_id": lambda row: row.school.id,
        "classroom_id": lambda row: _id(row.classroom),
        "session_id": lambda row: row.session.id,
        "quiz_id": lambda row: row.quiz.id,
        "student_id": lambda row: row.student.id,
    },
    "events": {
        "event_name": lambda row: row.name,
        "app": lambda row: row.app,
        "occurred_at": lambda row: row.occurred_at,
        "user_id": lambda row: _id(row.person),
        "classroom_id": lambda row: _id(row.classroom),
        "school_id": lambda row: row.school.id,
        "quiz_id": lambda row: _id(row.quiz),
    },
}

SEGMENTS: dict[str, Callable[[Any], bool | None]] = {
    "enrolments.current": lambda row: row.valid_to is None,
    "enrolments.as_student": lambda row: row.role == "student",
    "quizzes.current": lambda row: True,
    "sessions.live": lambda row: row.mode == "live",
    "sessions.ended": lambda row: row.ended_at is not None,
    "responses.first_attempts": lambda row: row.attempt == 1,
    "responses.graded": lambda row: row.correct is not None,
    "responses.correct_answers": lambda row: row.correct is True,
    "responses.wrong_answers": lambda row: row.correct is False,
    "responses.timed": lambda row: row.time_ms is not None,
    "participations.complete": lambda row: row.completed,
    "events.content_views": lambda row: row.name == "content_viewed",
}


def _known(values: Sequence[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _times(rows: Rows) -> list[float]:
    return _known([_seconds(row) for row in rows])


def _shares(rows: Rows) -> list[float]:
    return _known([row.score for row in rows])


def _distinct(rows: Rows, key: Callable[[Any], Any]) -> int:
    return len({key(row) for row in rows} - {None})


def _days(moments: Sequence[datetime | None], zone: Zone) -> int:
    return len({moment.astimezone(zone).date() for moment in moments if moment is not None})


def _right(rows: Rows) -> int:
    return sum(row.correct is True for row in rows)


def _wrong(rows: Rows) -> int:
    return sum(row.correct is False for row in rows)


def _marked(rows: Rows) -> int:
    return sum(row.correct is not None for row in rows)


def _first(rows: Rows) -> list[Any]:
    return [row for row in rows if row.attempt == 1]


def _met(rows: Rows) -> int:
    return len({(row.session.id, row.student.id, row.question.id) for row in rows})


def _worst(rows: Rows) -> tuple[str, int] | None:
    counts = Counter(row.choice for row in rows if row.correct is False and row.choice is not None)
    return min(counts.items(), key=lambda item: (-item[1], item[0])) if counts else None


def _worst_name(rows: Rows) -> str | None:
    worst = _worst(rows)
    return worst[0] if worst else None


def _worst_count(rows: Rows) -> int | None:
    worst = _worst(rows)
    return worst[1] if worst else None


def _monday(moment: datetime) -> datetime:
    day = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=day.weekday())


def _weeks(rows: Rows) -> int:
    if not rows:
        return 0
    starts = [row.started_at for row in rows]
    return (_monday(max(starts)) - _monday(min(starts))).days // 7 + 1


def _scores(rows: Rows) -> list[float]:
    return _known([row.score for row in rows])


def _group_accuracy(rows: Rows) -> float | None:
    right = marked = 0
    for row in rows:
        if row.class_size >= CLASS_FLOOR:
            right += row.class_right
            marked += row.class_marked
    return ratio(right, marked)


def _people(rows: Rows, role: str) -> int:
    return len({row.person.id for row in rows if row.role == role})


MEASURES: dict[str, dict[str, Callable[[Rows, Zone], Any]]] = {
    "schools": {"count": lambda rows, _: len(rows)},
    "teachers": {"count": lambda rows, _: len(rows)},
    "students": {"count": lambda rows, _: len(rows)},
    "classrooms": {"count": lambda rows, _: len(rows)},
    "quizzes": {"count": lambda rows, _: len(rows)},
    "questions": {
        "count": lambda rows, _: len(rows),
        "points": lambda rows, _: sum(row.max_score for row in rows) if rows else None,
    },
    "question_skills": {
        "count": lambda rows, _: len(rows),
        "skills": lambda rows, _: _distinct(rows, lambda row: row.name),
    },
    "quiz_questions": {
        "count": lambda rows, _: len(rows),
        "distinct_questions": lambda rows, _: _distinct(rows, lambda row: row.question.id),
    },
    "enrolments": {
        "count": lambda rows, _: len(rows),
        "enrolled_students": lambda rows, _: _people(rows, "student"),
        "current_students": lambda rows, _: _people([row for row in rows if row.valid_to is None], "student"),
        "enrolled_teachers": lambda rows, _: _people(rows, "teacher"),
    },
    "sessions": {
        "count": lambda rows, _: len(rows),
        "ended_count": lambda rows, _: sum(row.ended_at is not None for row in rows),
        "quizzes_taken": lambda rows, _: _distinct(rows, lambda row: row.quiz.id),
        "active_classrooms": lambda rows, _: _distinct(rows, lambda row: _id(row.classroom)),
        "average_duration_seconds": lambda rows, _: mean(_known([_length(row) for row in rows])),
    },
    "responses": {
        "count": lambda rows, _: len(rows),
        "graded_count": lambda rows, _: _marked(rows),
        "correct_count": lambda rows, _: _right(rows),
        "wrong_count": lambda rows, _: _wrong(rows),
        "accuracy": lambda rows, _: ratio(_right(rows), _marked(rows)),
        "difficulty": lambda rows, _: ratio(_wrong(rows), _marked(rows)),
        "first_attempt_count": lambda rows, _: len(_first(rows)),
        "first_attempt_graded_count": lambda rows, _: _marked(_first(rows)),
        "first_attempt_correct_count": lambda rows, _: _right(_first(rows)),
        "first_attempt_accuracy": lambda rows, _: ratio(_right(_first(rows)), _marked(_first(rows))),
        "average_score": lambda rows, _: mean(_shares(rows)),
        "participants": lambda rows, _: _distinct(rows, lambda row: row.student.id),
        "questions_attempted": lambda rows, _: _distinct(rows, lambda row: row.question.id),
        "quizzes_taken": lambda rows, _: _distinct(rows, lambda row: row.quiz.id),
        "encounters": lambda rows, _: _met(rows),
        "attempts_per_question": lambda rows, _: ratio(len(rows), _met(rows)),
        "questions_per_student": lambda rows, _: ratio(_met(rows), _distinct(rows, lambda row: row.student.id)),
        "active_days": lambda rows, zone: _days([row.submitted_at for row in rows], zone),
        "first_answer_at": lambda rows, _: min((row.submitted_at for row in rows), default=None),
        "last_answer_at": lambda rows, _: max((row.submitted_at for row in rows), default=None),
        "timed_count": lambda rows, _: len(_times(rows)),
        "total_time_seconds": lambda rows, _: sum(_times(rows)) if _times(rows) else None,
        "average_time_seconds": lambda rows, _: mean(_times(rows)),
        "median_time_seconds": lambda rows, _: quantile(_times(rows), 0.5),
        "p90_time_seconds": lambda rows, _: quantile(_times(rows), 0.9),
        "blank_count": lambda rows, _: sum(row.choice is None for row in rows),
        "most_common_wrong_answer": lambda rows, _: _worst_name(rows),
        "most_common_wrong_count": lambda rows, _: _worst_count(rows),
        "most_common_wrong_share": lambda rows, _: ratio(_worst_count(rows), _wrong(rows)),
    },
    "participations": {
        "count": lambda rows, _: len(rows),
        "participants": lambda rows, _: _distinct(rows, lambda row: row.student.id),
        "sessions_attended": lambda rows, _: _distinct(rows, lambda row: row.session.id),
        "known_count": lambda rows, _: sum(row.completed is not None for row in rows),
        "completed_count": lambda rows, _: sum(row.completed is True for row in rows),
        "completion_rate": lambda rows, _: ratio(
            sum(row.completed is True for row in rows), sum(row.completed is not None for row in rows)
        ),
        "average_questions_answered": lambda rows, _: mean([row.questions_answered for row in rows]),
        "average_score": lambda rows, _: mean(_scores(rows)),
        "score_deviation": lambda rows, _: deviation(_scores(rows)),
        "score_variance": lambda rows, _: variance(_scores(rows)),
        "median_score": lambda rows, _: quantile(_scores(rows), 0.5),
        "average_score_share": lambda rows, _: mean(_known([row.score_share for row in rows])),
        "average_duration_seconds": lambda rows, _: mean([row.duration for row in rows]),
        "median_duration_seconds": lambda rows, _: quantile([row.duration for row in rows], 0.5),
        "average_time_on_task_seconds": lambda rows, _: mean(_known([row.time_on_task for row in rows])),
        "participations_per_student": lambda rows, _: ratio(len(rows), _distinct(rows, lambda row: row.student.id)),
        "active_weeks": lambda rows, _: _weeks(rows),
        "participation_frequency": lambda rows, _: ratio(
            ratio(len(rows), _distinct(rows, lambda row: row.student.id)), _weeks(rows)
        ),
        "class_accuracy": lambda rows, _: _group_accuracy(rows),
    },
    "item_scores": {
        "count": lambda rows, _: len(rows),
        "facility": lambda rows, _: mean([row.share for row in rows]),
        "score_variance": lambda rows, _: variance([row.points for row in rows]),
        "score_deviation": lambda rows, _: deviation([row.points for row in rows]),
        "discrimination": lambda rows, _: correlation([(row.points, row.rest) for row in rows]),
    },
    "activity": {
        "count": lambda rows, _: len(rows),
        "active_students": lambda rows, _: _distinct(rows, lambda row: row.student.id),
        "sessions_attended": lambda rows, _: _distinct(rows, lambda row: row.session.id),
        "active_days": lambda rows, zone: _days([row.at for row in rows], zone),
        "last_active_at": lambda rows, _: max((row.at for row in rows if row.at is not None), default=None),
    },
    "quiz_results": {
        "count": lambda rows, _: len(rows),
        "participants": lambda rows, _: _distinct(rows, lambda row: row.student.id),
        "total_score": lambda rows, _: sum(row.score for row in rows) if rows else None,
        "total_max_score": lambda rows, _: sum(row.max_score for row in rows) if rows else None,
        "score_rate": lambda rows, _: ratio(sum(row.score for row in rows), sum(row.max_score for row in rows)),
        "average_score_share": lambda rows, _: mean([row.score / row.max_score for row in rows]),
        "median_score_share": lambda rows, _: quantile([row.score / row.max_score for row in rows], 0.5),
    },
    "events": {
        "count": lambda rows, _: len(rows),
        "active_users": lambda rows, _: _distinct(rows, lambda row: _id(row.person)),
        "events_per_user": lambda rows, _: ratio(len(rows), _distinct(rows, lambda row: _id(row.person))),
        "active_days": lambda rows, zone: _days([row.occurred_at for row in rows], zone),
        "help_count": lambda rows, _: sum(row.name == "help_requested" for row in rows),
        "content_view_count": lambda rows, _: sum(row.name == "content_viewed" for row in rows),
        "last_event_at": lambda rows, _: max((row.occurred_at for row in rows), default=None),
    },
}

REACHED: dict[str, str] = {"events.active_students": "students"}
"""Measures that count the different records of another cube which the caller sees."""

RATES: dict[str, tuple[str, str]] = {
    "enrolments.engagement_rate": ("activity.active_students", "enrolments.enrolled_students")
}
