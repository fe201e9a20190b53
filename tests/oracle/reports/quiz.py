"""Content effectiveness by hand."""

from __future__ import annotations

from datetime import datetime

from tests.oracle.arithmetic import correlation, deviation, mean, quantile, ratio
from tests.oracle.derived import ItemScore, Participation, item_scores, participations
from tests.oracle.reports.common import (
    Period,
    Row,
    Sections,
    accuracy,
    first_accuracy,
    grouped,
    right_count,
    times,
    tries,
    wrong_count,
)
from tests.oracle.world import Answer, World


def content_effectiveness(world: World, quiz: int, period: Period, classroom: int | None = None) -> Sections:
    """How well the questions of one quiz work."""

    def wanted(row: Answer | Participation, moment: datetime) -> bool:
        room = row.classroom.id if row.classroom else None
        return row.quiz.id == quiz and classroom in (None, room) and period.holds(moment)

    rows = [row for row in world.answers if wanted(row, row.submitted_at)]
    takings = [row for row in participations(world) if wanted(row, row.started_at)]
    items = [row for row in item_scores(world) if wanted(row.answer, row.answer.submitted_at)]
    return {
        "summary": [_quiz_summary(rows)],
        "scores": [_quiz_scores(takings)],
        "questions": [_quiz_question(group) for group in grouped(rows, lambda row: row.question.id).values()],
        "discrimination": [_quiz_item(group) for group in grouped(items, lambda row: row.question.id).values()],
        "wrong_answers": _wrong_answers(rows),
        "time": _time_bands(rows),
    }


def _quiz_summary(rows: list[Answer]) -> Row:
    return {
        "responses.count": len(rows),
        "responses.participants": len({row.student.id for row in rows}),
        "responses.questions_attempted": len({row.question.id for row in rows}),
        "responses.accuracy": accuracy(rows),
        "responses.difficulty": ratio(wrong_count(rows), right_count(rows) + wrong_count(rows)),
        "responses.first_attempt_accuracy": first_accuracy(rows),
        "responses.attempts_per_question": tries(rows),
        "responses.average_time_seconds": mean(times(rows)),
        "responses.median_time_seconds": quantile(times(rows), 0.5),
    }


def _quiz_scores(rows: list[Participation]) -> Row:
    scores = [row.score for row in rows if row.score is not None]
    known = [row for row in rows if row.completed is not None]
    return {
        "participations.count": len(rows),
        "participations.completion_rate": ratio(len([row for row in known if row.completed]), len(known)),
        "participations.average_score": mean(scores),
        "participations.median_score": quantile(scores, 0.5),
        "participations.score_deviation": deviation(scores),
        "participations.average_score_share": mean([row.score_share for row in rows if row.score_share is not None]),
        "participations.average_duration_seconds": mean([row.duration for row in rows]),
    }


def _quiz_question(rows: list[Answer]) -> Row:
    question = rows[0].question
    choices = grouped([row for row in rows if row.correct is False and row.choice is not None], lambda row: row.choice)
    worst = sorted(choices, key=lambda choice: (-len(choices[choice]), choice))
    most = len(choices[worst[0]]) if worst else None
    return {
        "questions.id": question.id,
        "questions.title": question.title,
        "questions.qtype": question.qtype,
        "questions.skills": ", ".join(question.skills),
        "responses.count": len(rows),
        "responses.participants": len({row.student.id for row in rows}),
        "responses.difficulty": ratio(wrong_count(rows), right_count(rows) + wrong_count(rows)),
        "responses.accuracy": accuracy(rows),
        "responses.first_attempt_accuracy": first_accuracy(rows),
        "responses.attempts_per_question": tries(rows),
        "responses.blank_count": len([row for row in rows if row.choice is None]),
        "responses.most_common_wrong_answer": worst[0] if worst else None,
        "responses.most_common_wrong_count": most,
        "responses.most_common_wrong_share": ratio(most, wrong_count(rows)),
        "responses.average_time_seconds": mean(times(rows)),
        "responses.median_time_seconds": quantile(times(rows), 0.5),
        "responses.p90_time_seconds": quantile(times(rows), 0.9),
    }


def _quiz_item(rows: list[ItemScore]) -> Row:
    question = rows[0].question
    return {
        "questions.id": question.id,
        "questions.title": question.title,
        "item_scores.count": len(rows),
        "item_scores.facility": mean([row.share for row in rows]),
        "item_scores.score_deviation": deviation([row.points for row in rows]),
        "item_scores.discrimination": correlation([(row.points, row.rest) for row in rows]),
    }


def _wrong_answers(rows: list[Answer]) -> list[Row]:
    wrong = [row for row in rows if row.correct is False]
    of_question = grouped(wrong, lambda row: row.question.id)
    return [
        {
            "questions.id": question,
            "questions.title": group[0].question.title,
            "responses.choice": choice,
            "responses.count": len(group),
            "responses.choice_share": len(group) / len(of_question[question]),
        }
        for (question, choice), group in grouped(wrong, lambda row: (row.question.id, row.choice)).items()
    ]


_BOUNDS = [(0, "under 10 s"), (10, "10–20 s"), (20, "20–30 s"), (30, "30–60 s"), (60, "1–2 min"), (120, "2–5 min")]


def _band(row: Answer) -> tuple[int, str]:
    assert row.time_ms is not None
    name = (300, "5 min and more")
    return name if row.time_ms >= 300_000 else [each for each in _BOUNDS if row.time_ms >= each[0] * 1000][-1]


def _time_bands(rows: list[Answer]) -> list[Row]:
    timed = [row for row in rows if row.time_ms is not None]
    return [
        {
            "questions.id": question,
            "responses.time_band_seconds": band[0],
            "responses.time_band": band[1],
            "responses.count": len(group),
            "responses.accuracy": accuracy(group),
        }
        for (question, band), group in grouped(timed, lambda row: (row.question.id, _band(row))).items()
    ]
