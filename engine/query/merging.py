"""Joins neighbouring phrases of a date text: weekday and date, date and time, two dates into a range."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

from engine.query.moments import Moment, Phrase, date_parts, relative, with_clock
from engine.query.phrases import backward, spans

Join = Callable[[Phrase, str, Phrase], "Phrase | None"]

_OFFSET = re.compile(r"\s*(?:\(?(?:gmt|utc)\s?)?[+-](\d{1,2})(?::?\d{2})?\)?")
_ZONE = re.compile(r"\s*,?\s*\(?(utc|gmt|e[ds]?t|c[ds]t|m[ds]t|p[ds]?t|cest|bst|ist|jst|msk)\)?(?=\W|$)")
_RANGE = re.compile(r"\s*(to|-|–|until|through|till)\s*")
_DATE_TIME = re.compile(r"\s*(at|after|before|on|of|,|-)?\s*")
_BEFORE = re.compile(r"\s(before|from)$")
_AFTER = re.compile(r"\s(after|since)$")


def merged(phrases: list[Phrase], text: str) -> list[Phrase]:
    """The phrases of `text` without overlaps, joined where they belong together."""
    phrases = _without_overlaps(phrases)
    for phrase in phrases:
        _take_zone(phrase, text)
    for join in (_join_weekday, _join_relative, _join_clock, _join_range):
        phrases = _joined(phrases, text, join)
    return _without_overlaps(phrases)


def _without_overlaps(phrases: list[Phrase]) -> list[Phrase]:
    kept: list[Phrase] = []
    for phrase in phrases:
        if not kept or phrase.index >= kept[-1].stop:
            kept.append(phrase)
        elif len(phrase.text) > len(kept[-1].text):
            kept[-1] = phrase
    return kept


def _take_zone(phrase: Phrase, text: str) -> None:
    """A zone behind a time belongs to the phrase, though ranges are always local to the query's own zone."""
    offset = _OFFSET.match(text, phrase.stop)
    if offset and int(offset[1]) <= 14:
        phrase.text += offset[0]
    zone = _ZONE.match(text, phrase.stop)
    if zone and not phrase.start.only_date:
        phrase.text += zone[0]


def _joined(phrases: list[Phrase], text: str, join: Join) -> list[Phrase]:
    kept: list[Phrase] = []
    for phrase in phrases:
        between = text[kept[-1].stop : phrase.index] if kept else ""
        one = join(kept[-1], between, phrase) if kept else None
        if one is None:
            kept.append(phrase)
        else:
            one.index, one.text = kept[-1].index, text[kept[-1].index : phrase.stop]
            kept[-1] = one
    return kept


def _join_weekday(left: Phrase, between: str, right: Phrase) -> Phrase | None:
    fits = left.start.only_weekday and not left.start.says("hour") and right.start.says("day")
    if not fits or not re.fullmatch(r",?\s*", between):
        return None
    return Phrase(right.index, right.text, right.start, right.end)


def _join_relative(left: Phrase, between: str, right: Phrase) -> Phrase | None:
    """«2 weeks before 2024-03-01»."""
    before, after = _BEFORE.search(left.text), _AFTER.search(left.text)
    if between.strip() or not (before or after):
        return None
    units = spans(left.text)
    return Phrase(left.index, left.text, relative(right.start.local(), backward(units) if before else units))


def _join_clock(left: Phrase, between: str, right: Phrase) -> Phrase | None:
    if left.start.only_date and right.start.only_time:
        day, clock = left, right
    elif right.start.only_date and left.start.only_time:
        day, clock = right, left
    else:
        return None
    return _at(day, clock) if _DATE_TIME.fullmatch(between) else None


def _at(day: Phrase, clock: Phrase) -> Phrase:
    start = with_clock(day.start, clock.start)
    if day.end is None and clock.end is None:
        return Phrase(day.index, day.text, start)
    end = with_clock(day.end or day.start, clock.end or clock.start)
    if day.end is None and end.local() < start.local():
        parts = date_parts(end.local() + timedelta(days=1))
        if end.says("day"):
            end.assign(**parts)
        else:
            end.imply(**parts)
    return Phrase(day.index, day.text, start, end)


def _join_range(left: Phrase, between: str, right: Phrase) -> Phrase | None:
    if left.end or right.end or not _RANGE.fullmatch(between):
        return None
    start, end = left.start, right.start
    if not (start.only_weekday or end.only_weekday):
        start.assign(**{part: value for part, value in end.known.items() if part not in start.known})
        end.assign(**{part: value for part, value in start.known.items() if part not in end.known})
    if start.local() > end.local():
        start, end = _in_order(start, end)
    return Phrase(left.index, left.text, start, end)


def _in_order(start: Moment, end: Moment) -> tuple[Moment, Moment]:
    week = timedelta(days=7)
    if start.only_weekday and start.local() - week < end.local():
        return start.imply(**date_parts(start.local() - week)), end
    if end.only_weekday and end.local() + week > start.local():
        return start, end.imply(**date_parts(end.local() + week))
    return end, start
