"""A half-known moment of free text: which parts were said, which are only implied, and how two of them join."""

from __future__ import annotations

import math
from calendar import monthrange
from dataclasses import dataclass, field
from datetime import datetime, timedelta

DATE_PARTS = ("year", "month", "day")
CLOCK_PARTS = ("hour", "minute", "second", "millisecond")
NOON = 12


@dataclass
class Moment:
    """Parts that the text said (`known`) over parts that the clock implies (`implied`)."""

    known: dict[str, int] = field(default_factory=dict)
    implied: dict[str, int] = field(default_factory=dict)

    @classmethod
    def near(cls, now: datetime, **known: int) -> Moment:
        """The parts in `known`; the rest is today at noon."""
        return cls(known, {"year": now.year, "month": now.month, "day": now.day, "hour": NOON})

    def __getitem__(self, part: str) -> int:
        return self.known.get(part, self.implied.get(part, 0))

    def says(self, *parts: str) -> bool:
        """Whether the text named any of the parts."""
        return any(part in self.known for part in parts)

    def assign(self, **parts: int) -> Moment:
        """Take the parts as said."""
        self.known.update(parts)
        return self

    def imply(self, **parts: int) -> Moment:
        """Take the parts where the text says nothing."""
        self.implied.update(parts)
        return self

    def copy(self) -> Moment:
        """Another moment with the same parts."""
        return Moment(dict(self.known), dict(self.implied))

    def local(self) -> datetime:
        """The local time; ValueError or OverflowError where there is no such time."""
        year, month, day, hour, minute, second, millisecond = (self[part] for part in DATE_PARTS + CLOCK_PARTS)
        return datetime(year, month, day, hour, minute, second, millisecond * 1000)  # noqa: DTZ001

    @property
    def only_date(self) -> bool:
        """A day without an hour."""
        return not self.says("hour", "minute", "second")

    @property
    def only_time(self) -> bool:
        """An hour without a day."""
        return not self.says("weekday", "day", "month")

    @property
    def only_weekday(self) -> bool:
        """«monday» and nothing more."""
        return self.says("weekday") and not self.says("day", "month")


@dataclass
class Phrase:
    """A stretch of the text that names a moment or a range of two."""

    index: int
    text: str
    start: Moment
    end: Moment | None = None

    @property
    def stop(self) -> int:
        """Where the stretch ends."""
        return self.index + len(self.text)


def date_parts(moment: datetime) -> dict[str, int]:
    """Year, month and day."""
    return {"year": moment.year, "month": moment.month, "day": moment.day}


def clock_parts(moment: datetime) -> dict[str, int]:
    """Hour, minute, second and millisecond."""
    return {
        "hour": moment.hour,
        "minute": moment.minute,
        "second": moment.second,
        "millisecond": moment.microsecond // 1000,
    }


def add(moment: datetime, unit: str, count: float) -> datetime:
    """`moment` and `count` units; months clamp to the last day of the month, half days round up."""
    if unit == "year":
        return _add_months(moment, (math.trunc(moment.year + count) - moment.year) * 12)
    if unit in ("quarter", "month"):
        return _add_months(moment, count * 3 if unit == "quarter" else count)
    if unit in ("week", "day"):
        return moment + timedelta(days=math.floor(count * (7 if unit == "week" else 1) + 0.5))
    return moment + timedelta(**{f"{unit}s": count})


def _add_months(moment: datetime, count: float) -> datetime:
    year, month = divmod(moment.year * 12 + math.trunc(moment.month - 1 + count), 12)
    last = monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=min(moment.day, last))


def relative(now: datetime, units: dict[str, float]) -> Moment:
    """The moment that lies `units` away from `now`; only the parts that the units touch are said."""
    there = now
    for unit, count in units.items():
        there = add(there, unit, count)
    moment = Moment.near(now)
    if any(units.get(unit) for unit in ("hour", "minute", "second")):
        return moment.assign(**date_parts(there), **clock_parts(there))
    moment.imply(**date_parts(there), **clock_parts(there))
    if units.get("day"):
        return moment.assign(**date_parts(there))
    if units.get("month"):
        moment.assign(month=there.month, year=there.year)
    elif units.get("year"):
        moment.assign(year=there.year)
    return moment


def with_clock(day: Moment, clock: Moment) -> Moment:
    """The day of one moment with the hour of another."""
    parts = {part: clock[part] for part in CLOCK_PARTS}
    joined = day.copy()
    if not clock.says("hour"):
        joined.imply(**parts)
    elif clock.says("second"):
        joined.assign(**parts)
    else:
        joined.assign(hour=parts["hour"], minute=parts["minute"])
        joined.imply(second=parts["second"], millisecond=parts["millisecond"])
    return joined


def nearest_year(now: datetime, month: int, day: int) -> int:
    """The year that brings a day and a month closest to `now`."""
    here = now.replace(month=month, day=1) + timedelta(days=day - 1)
    gap = abs(here - now)
    if abs(add(here, "year", 1) - now) < gap:
        return here.year + 1
    return here.year - 1 if abs(add(here, "year", -1) - now) < gap else here.year
