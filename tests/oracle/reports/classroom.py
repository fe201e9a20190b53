"""Classroom engagement by hand."""

from __future__ import annotations

from datetime import UTC

from tests.oracle.arithmetic import mean, quantile, ratio
from tests.oracle.conditions import bucket, local_text
from tests.oracle.derived import Participation, Trace, participations
from tests.oracle.reports.common import (
    Period,
    Row,
    Sections,
    accuracy,
    first_accuracy,
    grouped,
    times,
    weeks_between,
)
from tests.oracle.world import Answer, Result, World


def classroom_engagement(world: World, classroom: int, period: Period, subject: str | None = None) -> Sections:
    """Whether a classroom takes part."""
    of_class = [row for row in world.answers if row.classroom and row.classroom.id == classroom]
    results = [row for row in world.results if row.classroom and row.classroom.id == classroom]
    traces = [Trace("answer", row.submitted_at, row.session, row.student) for row in of_class]
    traces += [Trace("result", row.submitted_at, row.session, row.student) for row in results]
    traces = [row for row in traces if period.holds(row.at)]
    answers = [row for row in of_class if period.holds(row.submitted_at) and subject in (None, row.quiz.subject)]
    takings = [
        row
        for row in participations(world)
        if row.classroom
        and row.classroom.id == classroom
        and period.holds(row.started_at)
        and subject in (None, row.quiz.subject)
    ]
    handed_in = [row for row in results if period.holds(row.submitted_at) and subject in (None, row.quiz.subject)]
    return {
        "enrolment": [_enrolment(world, classroom, traces, period)],
        "participation": [_class_participation(takings)],
        "answers": [_class_answers(answers)],
        "events": _class_events(world, classroom, period),
        "by_day": _class_trend(answers, "day", period),
        "by_week": _class_trend(answers, "week", period),
        "students": _class_students(world, classroom, traces, period),
        "quizzes": [_class_quiz(group) for group in grouped(takings, lambda row: row.quiz.id).values()],
        "results": [_class_result(group) for group in grouped(handed_in, lambda row: row.quiz.id).values()],
    }


def _last(traces: list[Trace], period: Period) -> str | None:
    moments = [row.at for row in traces if row.at is not None]
    return local_text(max(moments), period.zone) if moments else None


def _trace_days(traces: list[Trace], period: Period) -> int:
    return len({row.at.astimezone(period.zone).date() for row in traces if row.at is not None})


def _enrolment(world: World, classroom: int, traces: list[Trace], period: Period) -> Row:
    members = [row for row in world.enrolments if row.classroom.id == classroom and row.role == "student"]
    enrolled, active = {row.person.id for row in members}, {row.student.id for row in traces}
    return {
        "enrolments.enrolled_students": len(enrolled),
        "enrolments.current_students": len({row.person.id for row in members if row.valid_to is None}),
        "activity.active_students": len(active),
        "enrolments.engagement_rate": ratio(len(active), len(enrolled)),
        "activity.active_days": _trace_days(traces, period),
        "activity.last_active_at": _last(traces, period),
    }


def _class_participation(rows: list[Participation]) -> Row:
    known = [row for row in rows if row.completed is not None]
    people = len({row.student.id for row in rows})
    weeks = weeks_between(sorted({bucket(row.started_at, "week", UTC) or "" for row in rows}))
    per_student = ratio(len(rows), people)
    return {
        "participations.count": len(rows),
        "participations.participants": people,
        "participations.sessions_attended": len({row.session.id for row in rows}),
        "participations.completed_count": len([row for row in rows if row.completed]),
        "participations.completion_rate": ratio(len([row for row in known if row.completed]), len(known)),
        "participations.participations_per_student": per_student,
        "participations.participation_frequency": ratio(per_student, weeks),
        "participations.average_duration_seconds": mean([row.duration for row in rows]),
        "participations.average_time_on_task_seconds": mean(
            [row.time_on_task for row in rows if row.time_on_task is not None]
        ),
        "participations.average_score_share": mean([row.score_share for row in rows if row.score_share is not None]),
    }


def _class_answers(rows: list[Answer]) -> Row:
    met = len({(row.session.id, row.student.id, row.question.id) for row in rows})
    return {
        "responses.count": len(rows),
        "responses.questions_per_student": ratio(met, len({row.student.id for row in rows})),
        "responses.accuracy": accuracy(rows),
        "responses.first_attempt_accuracy": first_accuracy(rows),
        "responses.average_time_seconds": mean(times(rows)),
        "responses.median_time_seconds": quantile(times(rows), 0.5),
    }


def _class_events(world: World, classroom: int, period: Period) -> list[Row]:
    events = [
        row for row in world.events if row.classroom and row.classroom.id == classroom and period.holds(row.occurred_at)
    ]
    return [
        {
            "events.event_name": name,
            "events.count": len(group),
            "events.active_students": len({row.student.id for row in group if row.student}),
            "events.last_event_at": local_text(max(row.occurred_at for row in group), period.zone),
        }
        for name, group in grouped(events, lambda row: row.name).items()
    ]


def _class_trend(rows: list[Answer], granularity: str, period: Period) -> list[Row]:
    buckets = grouped(rows, lambda row: bucket(row.submitted_at, granularity, period.zone))
    return [
        {
            f"responses.submitted_at.{granularity}": start,
            "responses.participants": len({row.student.id for row in group}),
            "responses.count": len(group),
            "responses.accuracy": accuracy(group),
            "responses.average_time_seconds": mean(times(group)),
        }
        for start, group in sorted(buckets.items())
    ]


def _class_students(world: World, classroom: int, traces: list[Trace], period: Period) -> list[Row]:
    people = {
        row.person.id: row.person
        for row in world.enrolments
        if row.classroom.id == classroom and row.person.role == "student"
    }
    enrolled = set(people)
    people.update({row.student.id: row.student for row in traces})
    by_student = grouped(traces, lambda row: row.student.id)
    return [
        {
            "students.id": key,
            "students.name": person.name,
            "enrolments.enrolled_students": 1 if key in enrolled else 0,
            "activity.count": len(by_student[key]),
            "activity.sessions_attended": len({row.session.id for row in by_student[key]}),
            "activity.active_days": _trace_days(by_student[key], period),
            "activity.last_active_at": _last(by_student[key], period),
        }
        for key, person in people.items()
    ]


def _class_quiz(rows: list[Participation]) -> Row:
    known = [row for row in rows if row.completed is not None]
    quiz = rows[0].quiz
    return {
        "quizzes.id": quiz.id,
        "quizzes.title": quiz.title,
        "quizzes.subject": quiz.subject,
        "participations.participants": len({row.student.id for row in rows}),
        "participations.completed_count": len([row for row in rows if row.completed]),
        "participations.completion_rate": ratio(len([row for row in known if row.completed]), len(known)),
        "participations.average_score_share": mean([row.score_share for row in rows if row.score_share is not None]),
        "participations.average_duration_seconds": mean([row.duration for row in rows]),
    }


def _class_result(rows: list[Result]) -> Row:
    quiz, shares = rows[0].quiz, [row.score / row.max_score for row in rows]
    return {
        "quizzes.id": quiz.id,
        "quizzes.title": quiz.title,
        "quizzes.subject": quiz.subject,
        "quiz_results.participants": len({row.student.id for row in rows}),
        "quiz_results.average_score_share": mean(shares),
        "quiz_results.median_score_share": quantile(shares, 0.5),
    }
