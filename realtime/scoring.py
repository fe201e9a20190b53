"""Points and ranks, pure: a function of the log (rounds) and of the answers in the record, so all nodes agree.

points = round(1000 · score · (1 − ½ · t / T)), t the pupil's time, T the whole time of the question (extensions
included, pauses not). Without a time limit, or where `speed` is off: round(1000 · score). An answer without a
score (no key) gives none. t = server's receive time − opens_at − pauses − min(½ · minRTT, 150 ms): minRTT is measured
by the server over the whole visit (`roundtrips`), so late pongs gain 150 ms at the most, and a client's clock nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from realtime.protocol import Place, Rules
from realtime.state import State

MOST = 1000
"""The points of a right answer given at once."""
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Scored:
    """One answer as it stands in the record: `run` of the question, score 0 to 1 or None, time in ms."""

    student_id: int
    question_id: int
    run: int
    score: float | None
    time_ms: int
    correct: bool | None = None


def points(score: float | None, time_ms: int, limit_ms: int | None) -> int:
    """The points of one answer."""
    if not score:
        return 0
    slow = 0.0 if not limit_ms else min(1.0, max(0, time_ms) / limit_ms) / 2
    return round(MOST * score * (1 - slow))


def counted(state: State, answer: Scored, rules: Rules) -> int:
    """The points that an answer gives in this quiz: those to a former run or to a dropped question give none."""
    if rules.mode == "self_paced":
        limit = None if rules.seconds is None else round(rules.seconds * 1000)
        return points(answer.score, answer.time_ms, limit if rules.speed else None)
    asked = state.rounds.get(answer.question_id)
    if asked is None or not asked.counts or asked.run != answer.run:
        return 0
    return points(answer.score, answer.time_ms, asked.limit_ms if rules.speed else None)


def totals(state: State, answers: Iterable[Scored], rules: Rules) -> dict[int, int]:
    """Student → sum of points; whoever has answered anything is in it."""
    sums: defaultdict[int, int] = defaultdict(int)
    for answer in answers:
        sums[answer.student_id] += counted(state, answer, rules)
    return dict(sums)


def ranks(sums: Mapping[int, int]) -> dict[int, int]:
    """Student → rank from 1; equal points share one (1, 2, 2, 4)."""
    found: dict[int, int] = {}
    rank, before = 0, None
    for number, (student, total) in enumerate(sorted(sums.items(), key=lambda item: -item[1]), start=1):
        if total != before:
            rank, before = number, total
        found[student] = rank
    return found


def places(sums: Mapping[int, int], names: Mapping[int, str]) -> tuple[Place, ...]:
    """The best, by points and then by name."""
    order = sorted(sums, key=lambda student: (-sums[student], names.get(student, "")))[:SHOWN]
    ranked = ranks(sums)
    return tuple(Place(ranked[student], names.get(student, ""), sums[student]) for student in order)
