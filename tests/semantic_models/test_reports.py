"""The three reports, section by section, against the ones written out by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api.reports.definitions import Report, load_reports
from api.reports.filling import fill
from engine import SecurityContext
from tests.engine.asking import comparable, same_rows
from tests.oracle.reports import Period, Sections, classroom_engagement, content_effectiveness, student_performance
from tests.oracle.scope import caller
from tests.oracle.world import World
from tests.semantic_models.installations import MODELS, OPERATOR, Installation

REPORTS = load_reports(MODELS / "reports")
TODAY = date(2026, 1, 1)
VIENNA, NEW_YORK = "Europe/Vienna", "America/New_York"
BY_HAND: dict[str, Callable[..., Sections]] = {
    "student_performance": student_performance,
    "classroom_engagement": classroom_engagement,
    "content_effectiveness": content_effectiveness,
}


@dataclass(frozen=True)
class Run:
    """One report with its parameters."""

    report: str
    values: dict[str, Any]
    zone: str = "UTC"

    def expected(self, world: World) -> Sections:
        """The sections by hand."""
        rest = {key: value for key, value in self.values.items() if key not in ("from", "to")}
        about = rest.pop(next(iter(rest)))
        period = Period(self.values.get("from"), self.values.get("to"), ZoneInfo(self.zone))
        return BY_HAND[self.report](
            world, about, period, **{key.removesuffix("_id"): value for key, value in rest.items()}
        )

    def answered(self, installation: Installation, context: SecurityContext = OPERATOR) -> Sections:
        """The sections from the engine."""
        report = REPORTS[self.report]
        values = {parameter.name: self.values.get(parameter.name) for parameter in report.parameters}
        return {
            section.name: installation.ask({**fill(section.query, values, TODAY), "timezone": self.zone}, context)[0]
            for section in report.sections
        }


def compare(run: Run, installation: Installation, context: SecurityContext = OPERATOR) -> None:
    """Every section equals; a section that must have rows has them."""
    expected, got = run.expected(installation.oracle.world), run.answered(installation, context)
    assert set(got) == set(expected)
    for name, rows in expected.items():
        columns = list(rows[0]) if rows else []
        assert len(got[name]) == len(rows), f"{run} {name}"
        left = [[row[column] for column in columns] for row in got[name]]
        right = [[comparable(row[column]) for column in columns] for row in rows]
        missing = [row for row in right if row not in left][:3]
        assert same_rows(left, right, ordered=False), f"{run} {name} {columns}\nexpected {missing}\ngot {left[:3]}"


def made_up_runs(world: World) -> list[Run]:
    """Every student, classroom and quiz; some with a period, a subject, a classroom."""
    runs = [
        Run("student_performance", {"student_id": key})
        for key in sorted({row.student.id for row in world.answers})[::2]
    ]
    runs += [Run("classroom_engagement", {"classroom_id": key}, VIENNA) for key in world.classrooms]
    runs += [Run("content_effectiveness", {"quiz_id": key}, NEW_YORK) for key in world.quizzes]
    period = {"from": date(2025, 10, 26), "to": date(2025, 11, 9)}
    narrowed = [Run(run.report, {**run.values, **period}, NEW_YORK) for run in runs[::3]]
    subject = {"subject": "history", "to": date(2025, 11, 12)}
    narrowed += [
        Run(run.report, {**run.values, **subject}) for run in runs[::4] if run.report != "content_effectiveness"
    ]
    room = {"classroom_id": next(row.classroom.id for row in world.answers if row.classroom)}
    narrowed += [Run(run.report, {**run.values, **room}) for run in runs if run.report == "content_effectiveness"]
    return runs + narrowed


@pytest.mark.parametrize("report", sorted(BY_HAND))
def test_a_report_over_the_made_up_district(report: str, made_up: Installation) -> None:
    runs = [run for run in made_up_runs(made_up.oracle.world) if run.report == report]
    assert len(runs) > 7
    for run in runs:
        compare(run, made_up)


@pytest.mark.parametrize("report", sorted(BY_HAND))
def test_a_report_over_imported_data(report: str, imported: Installation) -> None:
    for run in imported_runs(imported.oracle.world, report):
        compare(run, imported)


def imported_runs(world: World, report: str) -> list[Run]:
    """Two of each folder."""
    random = Random(7)
    everybody = [row.student.id for row in world.answers[::997]] + [row.student.id for row in world.results[::997]]
    rooms = [row.classroom.id for row in world.answers[::9973] if row.classroom] + [
        row.classroom.id for row in world.results[::997] if row.classroom
    ]
    period = {"from": date(2011, 5, 5), "to": date(2014, 3, 12)}
    runs = {
        "student_performance": [Run(report, {"student_id": key}, VIENNA) for key in random.sample(everybody, 12)],
        "classroom_engagement": [Run(report, {"classroom_id": key}, NEW_YORK) for key in random.sample(rooms, 10)],
        "content_effectiveness": [Run(report, {"quiz_id": key}) for key in random.sample(sorted(world.quizzes), 8)],
    }[report]
    return runs + [Run(run.report, {**run.values, **period}, run.zone) for run in runs[:3]]


def test_a_student_reads_his_own_report_and_nothing_in_that_of_another(made_up: Installation) -> None:
    world = made_up.oracle.world
    answer = next(row for row in world.answers if row.classroom and row.classroom.teacher)
    run = Run("student_performance", {"student_id": answer.student.id})
    himself = caller(world, answer.student, "student")
    compare(run, made_up, SecurityContext(frozenset({"student"}), himself.attributes))
    someone = next(row.student for row in world.answers if row.student is not answer.student)
    other = caller(world, someone, "student")
    sections = run.answered(made_up, SecurityContext(frozenset({"student"}), other.attributes))
    assert sections["summary"][0]["responses.count"] == 0
    assert sections["participation"][0]["participations.class_accuracy"] is None
    assert not sections["by_quiz"]


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
def test_a_report_names_what_it_is_about(report: Report, made_up: Installation) -> None:
    world = made_up.oracle.world
    known = {"student_id": world.answers[0].student.id, "classroom_id": next(iter(world.classrooms))}
    known["quiz_id"] = next(iter(world.quizzes))
    name = report.parameters[0].name
    assert report.subject is not None
    for value, count in [(known[name], 1), (-7, 0)]:
        values = {parameter.name: value if parameter.name == name else None for parameter in report.parameters}
        assert len(made_up.ask(fill(report.subject.query, values, TODAY))[0]) == count
