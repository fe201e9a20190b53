"""Student performance by hand."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC

from tests.oracle.arithmetic import mean, quantile, ratio
from tests.oracle.conditions import bucket, local_text
from tests.oracle.derived import CLASS_FLOOR, Participation, participations
from tests.oracle.reports.common import (
    Period,
    Row,
    Sections,
    accuracy,
    days,
    first_accuracy,
    grouped,
    right_count,
    times,
    tries,
    weeks_between,
    wrong_count,
)
from tests.oracle.world import Answer, Result, World


def student_performance(world: World, student: int, period: Period, subject: str | None = None) -> Sections:
    """How one student does."""
    rows = [
        row
        for row in world.answers
        if row.student.id == student and period.holds(row.submitted_at) and subject in (None, row.quiz.subject)
    ]
    takings = [
        row
        for row in participations(world)
        if row.student.id == student and period.holds(row.started_at) and subject in (None, row.quiz.subject)
    ]
    results = [
        row
        for row in world.results
        if row.student.id == student and period.holds(row.submitted_at) and subject in (None, row.quiz.subject)
    ]
    return {
        "summary": [_student_summary(rows, period)],
        "participation": [_student_participation(takings)],
        "by_quiz": [_student_quiz(group, period) for group in grouped(rows, lambda row: row.quiz.id).values()],
        "by_result": [_student_result(group) for group in grouped(results, lambda row: row.quiz.id).values()],
        "by_skill": _student_skills(rows),
        "trend": _student_trend(rows, period),
        "weakest_questions": _weakest(rows),
    }


def _student_summary(rows: list[Answer], period: Period) -> Row:
    moments = [row.submitted_at for row in rows]
    return {
        "responses.count": len(rows),
        "responses.questions_attempted": len({row.question.id for row in rows}),
        "responses.quizzes_taken": len({row.quiz.id for row in rows}),
        "responses.graded_count": right_count(rows) + wrong_count(rows),
        "responses.correct_count": right_count(rows),
        "responses.accuracy": accuracy(rows),
        "responses.first_attempt_accuracy": first_accuracy(rows),
        "responses.average_score": mean([row.score for row in rows if row.score is not None]),
        "responses.attempts_per_question": tries(rows),
        "responses.average_time_seconds": mean(times(rows)),
        "responses.median_time_seconds": quantile(times(rows), 0.5),
        "responses.total_time_seconds": sum(times(rows)) if times(rows) else None,
        "responses.active_days": days(rows, period.zone),
        "responses.first_answer_at": local_text(min(moments), period.zone) if moments else None,
        "responses.last_answer_at": local_text(max(moments), period.zone) if moments else None,
    }


def _student_participation(rows: list[Participation]) -> Row:
    known = [row for row in rows if row.completed is not None]
    visible = [row for row in rows if row.class_size >= CLASS_FLOOR]
    weeks = {bucket(row.started_at, "week", UTC) for row in rows}
    span = weeks_between(sorted(week for week in weeks if week))
    return {
        "participations.count": len(rows),
        "participations.completed_count": len([row for row in rows if row.completed]),
        "participations.completion_rate": ratio(len([row for row in known if row.completed]), len(known)),
        "participations.average_duration_seconds": mean([row.duration for row in rows]),
        "participations.participation_frequency": ratio(len(rows), span),
        "participations.average_score_share": mean([row.score_share for row in rows if row.score_share is not None]),
        "participations.class_accuracy": accuracy([answer for row in visible for answer in row.mates]),
    }


def _student_quiz(rows: list[Answer], period: Period) -> Row:
    quiz = rows[0].quiz
    return {
        "quizzes.id": quiz.id,
        "quizzes.title": quiz.title,
        "quizzes.subject": quiz.subject,
        "responses.questions_attempted": len({row.question.id for row in rows}),
        "responses.correct_count": right_count(rows),
        "responses.accuracy": accuracy(rows),
        "responses.first_attempt_accuracy": first_accuracy(rows),
        "responses.average_time_seconds": mean(times(rows)),
        "responses.last_answer_at": local_text(max(row.submitted_at for row in rows), period.zone),
    }


def _student_result(rows: list[Result]) -> Row:
    quiz = rows[0].quiz
    won, possible = sum(row.score for row in rows), sum(row.max_score for row in rows)
    return {
        "quizzes.id": quiz.id,
        "quizzes.title": quiz.title,
        "quizzes.subject": quiz.subject,
        "quiz_results.count": len(rows),
        "quiz_results.total_score": won,
        "quiz_results.total_max_score": possible,
        "quiz_results.score_rate": won / possible,
    }


def _student_skills(rows: list[Answer]) -> list[Row]:
    by_skill: dict[str | None, list[Answer]] = defaultdict(list)
    for row in rows:
        for skill in {*row.question.skills} or [None]:
            by_skill[skill].append(row)
    return [
        {
            "question_skills.skill": skill,
            "responses.questions_attempted": len({row.question.id for row in group}),
            "responses.correct_count": right_count(group),
            "responses.graded_count": right_count(group) + wrong_count(group),
            "responses.accuracy": accuracy(group),
        }
        for skill, group in by_skill.items()
    ]


def _student_trend(rows: list[Answer], period: Period) -> list[Row]:
    weeks = grouped(rows, lambda row: bucket(row.submitted_at, "week", period.zone))
    return [
        {
            "responses.submitted_at.week": week,
            "responses.count": len(group),
            "responses.correct_count": right_count(group),
            "responses.accuracy": accuracy(group),
            "responses.active_days": days(group, period.zone),
        }
        for week, group in sorted(weeks.items())
    ]


def _weakest(rows: list[Answer]) -> list[Row]:
    return [
        {
            "questions.id": group[0].question.id,
            "questions.title": group[0].question.title,
            "questions.skills": ", ".join(group[0].question.skills),
            "responses.count": len(group),
            "responses.wrong_count": wrong_count(group),
            "responses.accuracy": accuracy(group),
            "responses.average_time_seconds": mean(times(group)),
        }
        for group in grouped(rows, lambda row: row.question.id).values()
        if wrong_count(group) > 0
    ]
