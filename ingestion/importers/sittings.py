"""One classroom sits one quiz: who is there, who chooses what (2PL), how long it takes (lognormal times)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ingestion.importers.items import Item
from ingestion.importers.people import Students

Ints: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]
_PRACTICE = 0.35
_RETAKE = 0.4
_BREAK = 120.0
_LEAST, _MOST = 2.0, 150.0


@dataclass(frozen=True)
class Round:
    """One attempt. `shown`: seconds after the start at which each question appears. The rest has one value an answer:
    places of student and item, chosen option, seconds from the question to the answer."""

    attempt: int
    shown: Floats
    student: Ints
    item: Ints
    choice: Ints
    seconds: Floats


@dataclass(frozen=True)
class Sitting:
    """All attempts; `present`: places of the students who came; `length`: seconds from start to end."""

    present: Ints
    rounds: tuple[Round, ...]
    length: float


def sit(rng: np.random.Generator, students: Students, items: Sequence[Item], weeks: float) -> Sitting:
    """A teacher shows one question after another; who got less than half right may try again."""
    present = np.flatnonzero(rng.random(len(students.ability)) >= students.absence)
    ability = students.ability + students.growth * weeks
    first, length = _round(rng, students, items, ability, present, 1, 0.0)
    again = _retakers(rng, first, items, present)
    if not len(again):
        return Sitting(present, (first,), length)
    second, length = _round(rng, students, items, ability + _PRACTICE, again, 2, length + _BREAK)
    return Sitting(present, (first, second), length)


def _round(
    rng: np.random.Generator,
    students: Students,
    items: Sequence[Item],
    ability: Floats,
    who: Ints,
    attempt: int,
    start: float,
) -> tuple[Round, float]:
    shape = (len(who), len(items))
    distance = ability[who][:, None] - np.array([item.difficulty for item in items])
    right = rng.random(shape) < 1 / (1 + np.exp(-np.array([item.discrimination for item in items]) * distance))
    choice = np.where(right, np.array([item.right for item in items]), _mistakes(rng, distance, items))
    usual = np.log([item.seconds for item in items]) + students.pace[who][:, None] - 0.15 * distance
    seconds = np.clip(np.exp(usual + rng.normal(0, 0.35, shape)), _LEAST, _MOST).round(1)
    answered = rng.random(shape) < students.engagement
    longest = seconds.max(axis=0, initial=_LEAST) + 5
    shown = start + np.concatenate(([0.0], np.cumsum(longest)[:-1]))
    student, item = np.nonzero(answered)
    done = Round(attempt, shown, who[student], item, choice[answered], seconds[answered])
    return done, float(start + longest.sum())


def _mistakes(rng: np.random.Generator, distance: Floats, items: Sequence[Item]) -> Ints:
    """A wrong option each: the attractive one more often than the two others together, most of all among the weak."""
    others = np.array([[place for place in range(4) if place not in (i.right, i.attractive)] for i in items])
    attracted = rng.random(distance.shape) < np.clip(0.6 - 0.08 * distance, 0.45, 0.85)
    which = rng.integers(0, 2, distance.shape)
    other = np.where(which == 0, others[:, 0], others[:, 1])
    return np.where(attracted, np.array([item.attractive for item in items]), other)


def _retakers(rng: np.random.Generator, first: Round, items: Sequence[Item], present: Ints) -> Ints:
    keys = np.array([item.recorded for item in items])
    correct = first.choice == keys[first.item]
    points = np.bincount(first.student[correct], minlength=int(present.max(initial=0)) + 1)[present]
    return present[(points < len(items) / 2) & (rng.random(len(present)) < _RETAKE)]
