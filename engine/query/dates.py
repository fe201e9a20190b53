"""Date ranges as people write them → two local times `YYYY-MM-DDTHH:mm:ss.SSS`, both ends inclusive.

The rules are Cube's, the first that matches anywhere in the text: «this month», «last 7 days», «yesterday»,
«from X to Y», else English free text (`phrases`). Nothing here looks at the clock: `now` is handed in.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from core.errors import InvalidDate
from engine.query.moments import Moment, Phrase, add

_UNIT = "(day|week|month|year|quarter|hour|minute|second)"
_WHOLE = re.compile(rf"(this|last|next)\s+{_UNIT}")
_SEVERAL = re.compile(rf"(last|next)\s+([0-9]+)\s+{_UNIT}")
_FROM_TO = re.compile(r"from (.*) to (.*)")
_DAY_WORDS = {"today": 0, "yesterday": -1, "tomorrow": 1}
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_TICK = timedelta(milliseconds=1)
_LAST = datetime.fromisoformat("9999-12-31T23:59:59.999")
_MAX_TEXT = 200

Range = tuple[str, str]


def parse_range(text: str, now: datetime, time_zone: str) -> Range:
    """The range that `text` names at the aware time `now` in `time_zone`; InvalidDate if nobody can read it."""
    lowered = text.lower()
    if len(text) > _MAX_TEXT:
        raise _unreadable(f"{lowered[:50]}…")
    try:
        start, end = _read(lowered, now.astimezone(ZoneInfo(time_zone)))
    except (ValueError, OverflowError) as error:
        raise _unreadable(lowered) from error
    return format_time(start), format_time(end)


def format_time(moment: datetime) -> str:
    """The local time as text with milliseconds and no zone."""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds")


def day_edge(text: str, *, end: bool) -> str:
    """An absolute date or time in full: a bare date becomes its first or its last millisecond."""
    if _DATE.fullmatch(text):
        datetime.fromisoformat(text)
        return f"{text}T23:59:59.999" if end else f"{text}T00:00:00.000"
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is not None:
        moment = moment.astimezone(ZoneInfo("UTC"))
    return format_time(moment)


def _read(text: str, now: datetime) -> tuple[datetime, datetime]:
    if match := _WHOLE.search(text):
        shift = {"last": -1, "this": 0, "next": 1}[match[1]]
        return _units(now, match[2], shift, shift)
    if match := _SEVERAL.search(text):
        count = int(match[2])
        return _units(now, match[3], *((-count, -1) if match[1] == "last" else (1, count)))
    for word, shift in _DAY_WORDS.items():
        if word in text:
            return _units(now, "day", shift, shift)
    return _free(text, now.replace(tzinfo=None))


def _units(now: datetime, unit: str, first: int, last: int) -> tuple[datetime, datetime]:
    """From the start of the unit `first` units away to the end of the one `last` units away."""
    starts = _shifted(now, unit, first), _shifted(now, unit, last)
    return floor(starts[0], unit), ceil(starts[1], unit)


def _shifted(now: datetime, unit: str, count: int) -> datetime:
    if unit in ("hour", "minute", "second"):  # hours go by the clock on the server, days by the calendar on the wall
        utc = now.astimezone(ZoneInfo("UTC")) + timedelta(**{f"{unit}s": count})
        return utc.astimezone(now.tzinfo).replace(tzinfo=None)
    return add(floor(now.replace(tzinfo=None), unit), unit, count)


def floor(moment: datetime, unit: str) -> datetime:
    """The first instant of the unit; weeks start on Monday."""
    match unit:
        case "second":
            return moment.replace(microsecond=0)
        case "minute":
            return moment.replace(second=0, microsecond=0)
        case "hour":
            return moment.replace(minute=0, second=0, microsecond=0)
        case "week":
            moment -= timedelta(days=moment.weekday())
        case "month":
            moment = moment.replace(day=1)
        case "quarter":
            moment = moment.replace(month=(moment.month - 1) // 3 * 3 + 1, day=1)
        case "year":
            moment = moment.replace(month=1, day=1)
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)


def ceil(moment: datetime, unit: str) -> datetime:
    """The last millisecond of the unit; of the last one that the calendar has, its own."""
    try:
        return add(floor(moment, unit), unit, 1) - _TICK
    except (ValueError, OverflowError):
        return _LAST


def _free(text: str, now: datetime) -> tuple[datetime, datetime]:
    exact = next((unit for unit in ("second", "minute", "hour") if unit in text), "day")
    if match := _FROM_TO.fullmatch(text):
        start, end = (_first(part.strip(), now).start for part in match.groups())
    else:
        phrase = _first(text, now)
        start, end = phrase.start, phrase.end or phrase.start
    return floor(start.local(), exact), ceil(end.local(), exact)


def _first(text: str, now: datetime) -> Phrase:
    from engine.query.merging import merged  # its patterns, and those below, take a tenth of the import of the engine

    found = [phrase for phrase in merged(_phrases(text, now), text) if _real(phrase)]
    if not found:
        raise _unreadable(text)
    return found[0]


def _phrases(text: str, now: datetime) -> list[Phrase]:
    from engine.query.phrases import READERS

    found: list[Phrase] = []
    for pattern, reader in READERS:
        at = 0
        while match := pattern.search(text, at):
            read = reader(match, now)
            if isinstance(read, Moment):
                read = Phrase(match.start(), match[0], read)
            at = max(read.stop if read else match.start() + 1, match.start() + 1)
            found += [read] if read else []
    return sorted(found, key=lambda phrase: phrase.index)


def _real(phrase: Phrase) -> bool:
    """Whether the phrase is more than figures and its days exist."""
    if re.fullmatch(r"\d*(\.\d*)?", phrase.text.replace(" ", "", 1)):
        return False
    try:
        return all(moment.local() for moment in (phrase.start, phrase.end) if moment)
    except (ValueError, OverflowError):
        return False


def _unreadable(text: str) -> InvalidDate:
    return InvalidDate(f"Can't parse date: '{text}'")
