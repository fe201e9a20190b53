"""The English forms of a date: each reader is a pattern and a function from its match to a `Moment` or a `Phrase`.

The forms and their precedence are those of chrono 2.6, the library behind Cube's date ranges: «march 5», «5 days ago»,
«in 2 weeks», «last monday», «2024/02/10», «5 to 7 june», «from 9am to 11am», «2 weeks before 2024-03-01».
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from re import Match, Pattern

from engine.query.hours import HOUR_PATTERN, hours
from engine.query.moments import NOON, Moment, Phrase, clock_parts, date_parts, nearest_year, relative

Reader = Callable[[Match[str], datetime], "Moment | Phrase | None"]

_WEEKDAYS = {
    name: day
    for day, names in enumerate(
        ("sunday sun sun.", "monday mon mon.", "tuesday tue tue.", "wednesday wed wed.",
         "thursday thurs thurs. thur thur. thu thu.", "friday fri fri.", "saturday sat sat.")
    )
    for name in names.split()
}  # fmt: skip
_TWELVE = "january february march april may june july august september october november december"
_MONTH_NAMES = _TWELVE.split()
_MONTHS = {
    name: number
    for number, full in enumerate(_MONTH_NAMES, 1)
    for name in ((full,) if full == "may" else (full, full[:3], f"{full[:3]}."))
} | {"sept": 9, "sept.": 9}
_ONE_TO_TWELVE = "one two three four five six seven eight nine ten eleven twelve"
_NUMBERS = {word: number for number, word in enumerate(_ONE_TO_TWELVE.split(), 1)}
_FIRST_TO_TWENTIETH = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth"
)
_TENS = _FIRST_TO_TWENTIETH.split()
_ORDINALS = {word: number for number, word in enumerate(_TENS, 1)}
_ORDINALS |= {f"twenty{gap}{word}": 20 + day for day, word in enumerate(_TENS[:9], 1) for gap in " -"}
_ORDINALS |= {"thirtieth": 30, "thirty first": 31, "thirty-first": 31}
_UNITS = {
    word: unit
    for unit, words in {
        "second": "s sec second seconds",
        "minute": "m min mins minute minutes",
        "hour": "h hr hrs hour hours",
        "day": "d day days",
        "week": "w week weeks",
        "month": "mo mon mos month months",
        "quarter": "qtr quarter quarters",
        "year": "y yr year years",
    }.items()
    for word in words.split()
}


def _any(words: Iterable[str]) -> str:
    longest_first = sorted(words, key=len, reverse=True)
    return f"(?:{'|'.join(map(re.escape, longest_first))})"


_MONTH = _any(_MONTHS)
_UNIT = _any(_UNITS)
_DAY = rf"(?:{_any(_ORDINALS)}|[0-9]{{1,2}}(?:st|nd|rd|th)?)"
_YEAR = r"(?:[1-9][0-9]{0,3}\s{0,2}(?:be|ad|bc|bce|ce)|[1-2][0-9]{3}|[5-9][0-9])"
_NUMBER = (
    rf"(?:{_any(_NUMBERS)}|[0-9]+|[0-9]+\.[0-9]+|half(?:\s{{0,2}}an?)?|an?\b(?:\s{{0,2}}few)?|few|several|the"
    r"|a?\s{0,2}couple\s{0,2}(?:of)?)"
)
_SPAN = rf"{_NUMBER}\s{{0,3}}{_UNIT}"
_SPANS = rf"(?:(?:about|around)\s{{0,3}})?{_SPAN}\s{{0,5}}(?:,?\s{{0,5}}{_SPAN}){{0,10}}"
_ONE_SPAN = re.compile(rf"({_NUMBER})\s{{0,3}}({_UNIT})", re.ASCII)
_END = r"(?=\W|$)"


def _number(word: str) -> float:
    if word in _NUMBERS:
        return _NUMBERS[word]
    if word in ("a", "an", "the"):
        return 1
    vague = next(
        (value for key, value in (("few", 3), ("half", 0.5), ("couple", 2), ("several", 7)) if key in word), None
    )
    return float(word) if vague is None else vague


def spans(text: str) -> dict[str, float]:
    """«2 weeks 3 days» as units and counts."""
    found: dict[str, float] = {}
    while match := _ONE_SPAN.search(text):
        found[_UNITS[match[2]]] = _number(match[1])
        text = text[len(match[0]) :].strip()
    return found


def backward(units: dict[str, float]) -> dict[str, float]:
    """The same way back."""
    return {unit: -count for unit, count in units.items()}


def _ordinal(word: str) -> int:
    return _ORDINALS.get(word) or int(re.sub(r"\D", "", word))


def _short_year(year: int) -> int:
    return year if year >= 100 else year + (1900 if year > 50 else 2000)


def _year(word: str) -> int:
    number = int(re.match(r"\d+", word)[0])  # type: ignore[index]
    if "be" in word:
        return number - 543
    if "bc" in word:
        return -number
    return number if re.search("ad|ce", word) else _short_year(number)


def _signed_spans(match: Match[str], now: datetime) -> Moment:
    units = spans(match[2])
    return relative(now, backward(units) if match[1] in ("last", "past", "-") else units)


def _signed_unit(match: Match[str], now: datetime) -> Moment:
    if match[1] == "this":
        return Moment.near(now)
    return relative(now, {_UNITS[match[2]]: -1 if match[1] in ("last", "past") else 1})


def _month_name(match: Match[str], now: datetime) -> Phrase | None:
    prefix, name, year = match.groups(default="")
    if len(match[0]) <= 3 and name not in _MONTH_NAMES:
        return None
    month = _MONTHS[name]
    start = Moment.near(now).imply(day=1).assign(month=month)
    _set_year(start, now, year)
    return Phrase(match.start() + len(prefix), match[0][len(prefix) :], start)


def _set_year(moment: Moment, now: datetime, year: str | None) -> None:
    if year:
        moment.assign(year=_year(year))
    else:
        moment.imply(year=nearest_year(now, moment["month"], moment["day"]))


_HOURS = {"morning": 6, "noon": NOON, "midday": NOON, "afternoon": 15, "evening": 20, "night": 20}


def _time_of_day(match: Match[str], now: datetime) -> Moment:
    moment = Moment.near(now)
    if match[1] != "midnight":
        return moment.imply(hour=_HOURS[match[1]])
    if now.hour > 2:
        moment.imply(**date_parts(now + timedelta(days=1)))
    return moment.assign(hour=0)


def _casual_day(match: Match[str], now: datetime) -> Moment:
    word = match[1]
    if word == "now":
        return Moment.near(now).assign(**date_parts(now), **clock_parts(now))
    if word == "tonight":
        return Moment.near(now).imply(hour=22).assign(**date_parts(now))
    if word.startswith("tm"):
        return Moment.near(now).imply(**clock_parts(now)).assign(**date_parts(now + timedelta(days=1)))
    night = now - timedelta(days=1) if now.hour > 6 else now
    return Moment.near(now).imply(hour=0).assign(**date_parts(night))


def _iso(match: Match[str], now: datetime) -> Moment:
    parts = zip(("year", "month", "day", "hour", "minute", "second", "millisecond"), match.groups(), strict=True)
    return Moment.near(now, **{part: int(value) for part, value in parts if value is not None})


def _slashed(match: Match[str], now: datetime) -> Moment | None:
    month, day, year = int(match[1]), int(match[2]), match[3]
    if re.fullmatch(r"\d\.\d(?:\d?\.\d{1,2})?", match[0]) or not (year or "/" in match[0]):
        return None
    if month > 12:
        month, day = day, month
    if not (1 <= month <= 12 and 1 <= day <= 31):
        return None
    moment = Moment.near(now, month=month, day=day)
    if year:
        return moment.assign(year=_short_year(int(year)))
    return moment.imply(year=nearest_year(now, month, day))


def _within(match: Match[str], now: datetime) -> Moment:
    return relative(now, spans(match[1]))


def _ago(match: Match[str], now: datetime) -> Moment:
    return relative(now, backward(spans(match[1])))


def _day_month(match: Match[str], now: datetime) -> Phrase | None:
    first, last, month, year = match.groups()
    return _days_of_month(match, now, (first, last), month, year)


def _month_day(match: Match[str], now: datetime) -> Phrase | None:
    month, first, last, year = match.groups()
    return _days_of_month(match, now, (first, last), month, year)


def _days_of_month(
    match: Match[str], now: datetime, days: tuple[str, str | None], month: str, year: str | None
) -> Phrase | None:
    first, last = days
    if _ordinal(first) > 31:
        return None
    start = Moment.near(now, month=_MONTHS[month], day=_ordinal(first))
    _set_year(start, now, year)
    end = start.copy().assign(day=_ordinal(last)) if last else None
    return Phrase(match.start(), match[0], start, end)


def _weekday(match: Match[str], now: datetime) -> Moment:
    prefix, name, suffix = match.groups()
    there = now + timedelta(days=days_to_weekday(now.isoweekday() % 7, _WEEKDAYS[name], prefix or suffix))
    return Moment.near(now).imply(**date_parts(there)).assign(weekday=_WEEKDAYS[name])


def days_to_weekday(today: int, weekday: int, modifier: str | None) -> int:
    """Days from one weekday to another (Sunday is 0); without a modifier the nearest one."""
    ahead = (weekday - today) % 7
    back = ahead - 7
    if modifier == "this":
        return ahead
    if modifier in ("last", "past"):
        return back
    if modifier != "next":
        return ahead if ahead < -back else back
    if today == 0:
        return weekday or 7
    if today == 6:
        return {6: 7, 0: 8}.get(weekday, weekday + 1)
    return ahead if 0 < weekday < today else ahead + 7


def _year_month_day(match: Match[str], now: datetime) -> Moment | None:
    year, name, number, day = match.groups()
    month = _MONTHS[name] if name else int(number)
    return Moment.near(now, year=int(year), month=month, day=int(day)) if 1 <= month <= 12 else None


def _month_year(match: Match[str], now: datetime) -> Moment:
    return Moment.near(now).imply(day=1).assign(month=int(match[1]), year=int(match[2]))


def _words(pattern: str, reader: Reader) -> tuple[Pattern[str], Reader]:
    return re.compile(rf"(?<!\w)(?:{pattern})", re.ASCII), reader


_ABOUT = r"(?:(?:about|around|roughly|approximately|just)\s*(?:~\s*)?)?"
READERS: tuple[tuple[Pattern[str], Reader], ...] = (
    _words(rf"(this|last|past|next|after|\+|-)\s*({_SPANS}){_END}", _signed_spans),
    _words(rf"(this|last|past|next|after\s*this)\s*({_UNIT})(?=\s*){_END}", _signed_unit),
    _words(rf"(in\s*)?({_MONTH})\s*(?:[,-]?\s*({_YEAR})?)?(?=[^\s\w]|\s+[^0-9]|\s+$|$)", _month_name),
    _words(rf"(?:this)?\s{{0,3}}(morning|afternoon|evening|night|midnight|midday|noon){_END}", _time_of_day),
    _words(rf"(now|tonight|tmrw?|last\s*night){_END}", _casual_day),
    _words(
        r"([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:t([0-9]{1,2}):([0-9]{1,2})(?::([0-9]{1,2})(?:\.(\d{1,4}))?)?"
        rf"(?:z|[+-]\d{{2}}:?(?:\d{{2}})?)?)?{_END}",
        _iso,
    ),
    (
        re.compile(rf"(?<!\d)([0-3]?[0-9])[/.-]([0-3]?[0-9])(?:[/.-]([0-9]{{4}}|[0-9]{{2}}))?{_END}", re.ASCII),
        _slashed,
    ),
    _words(rf"(?:within|in|for)\s*{_ABOUT}({_SPANS}){_END}", _within),
    _words(
        rf"(?:on\s{{0,3}})?({_DAY})(?:\s{{0,3}}(?:to|-|–|until|through|till)?\s{{0,3}}({_DAY}))?(?:-|/|\s{{0,3}}(?:of)?\s{{0,3}})"
        rf"({_MONTH})(?:(?:-|/|,?\s{{0,3}})({_YEAR}(?!\S\d)))?{_END}",
        _day_month,
    ),
    _words(
        rf"({_MONTH})(?:-|/|\s*,?\s*)({_DAY})(?!\s*(?:am|pm))\s*(?:(?:to|-)\s*({_DAY})\s*)?"
        rf"(?:(?:-|/|\s*,?\s*)({_YEAR}))?{_END}(?!:\d)",
        _month_day,
    ),
    _words(
        rf"(?:[,(（]\s*)?(?:on\s*?)?(?:(this|last|past|next)\s*)?({_any(_WEEKDAYS)})(?:\s*[,)）])?"
        rf"(?:\s*(this|last|past|next)\s*week)?{_END}",
        _weekday,
    ),
    _words(rf"([0-9]{{4}})[./\s](?:({_MONTH})|([0-9]{{1,2}}))[./\s]([0-9]{{1,2}}){_END}", _year_month_day),
    _words(r"([0-9]|0[1-9]|1[012])/([0-9]{4})", _month_year),
    (HOUR_PATTERN, hours),
    _words(rf"({_SPANS})\s{{0,5}}(?:ago|before|earlier){_END}", _ago),
    _words(rf"({_SPANS})\s{{0,5}}(?:later|after|from now|henceforth|forward|out){_END}", _within),
)
