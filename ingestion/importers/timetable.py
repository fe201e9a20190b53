"""When a made-up classroom sits a quiz: school mornings of its time zone, with holidays and slow days."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from ingestion.importers.people import generator

HOLIDAY_WEEKS = frozenset({1, 8, 15, 44, 52, 53})
"""ISO weeks without school; no long summer break, so that a demo in July has something to show."""
_FIRST_HOUR, _HOURS = 8, 5
_SLOW_DAYS = 0.06
_SLOW, _USUAL = 0.6, 0.03


@dataclass(frozen=True)
class Lesson:
    """A classroom's quiz lesson: its start (UTC), day and slot of the week."""

    start: datetime
    day: date
    slot: int

    @property
    def week(self) -> str:
        """The ISO week, like 2026-W07."""
        year, week, _ = self.day.isocalendar()
        return f"{year}-W{week:02}"

    @property
    def weeks_of_school(self) -> float:
        """How long the school year, which begins with September, has lasted."""
        year = self.day.year if self.day.month >= 9 else self.day.year - 1
        return (self.day - date(year, 9, 1)).days / 7


def lessons(seed: int, place: tuple[int, int], zone: ZoneInfo, days: range, per_week: int) -> Iterator[Lesson]:
    """The lessons of a classroom on the days (ordinals); each day's chance depends on the seed and the date alone."""
    rng = generator(seed, "timetable", *place)
    weekdays = sorted(rng.choice(5, per_week, replace=False).tolist())
    hours = rng.integers(_FIRST_HOUR, _FIRST_HOUR + _HOURS, per_week).tolist()
    for ordinal in days:
        day = date.fromordinal(ordinal)
        if (
            day.weekday() in weekdays
            and day.isocalendar().week not in HOLIDAY_WEEKS
            and not _left_out(seed, place, day)
        ):
            slot = weekdays.index(day.weekday())
            late = int(generator(seed, "bell", *place, ordinal).integers(0, 600))
            local = datetime.combine(day, time(hours[slot]), zone) + timedelta(seconds=late)
            yield Lesson(local.astimezone(UTC), day, slot)


def _left_out(seed: int, place: tuple[int, int], day: date) -> bool:
    slow = generator(seed, "slow", day.toordinal()).random() < _SLOW_DAYS
    return bool(generator(seed, "left", *place, day.toordinal()).random() < (_SLOW if slow else _USUAL))
