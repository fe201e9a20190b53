"""Hours of the day in English: «5pm», «10:30», «at 9 o'clock», «from 9am to 11:30 am»."""

from __future__ import annotations

import re
from datetime import datetime
from re import Match, Pattern

from engine.query.moments import Moment, Phrase

_CLOCK = r"(\d{1,4})(?:[.:：](\d{1,2})(?:%s(\d{%s})(?:\.(\d{1,6}))?)?)?(?:\s*(a\.m\.|p\.m\.|am?|pm?))?"
HOUR_PATTERN = re.compile(
    rf"(?:(?<=\s)|(?<=t)|\b)(?:(?:at|from)\s*)??{_CLOCK % ('[:：]', '2')}"
    r"(?:\s*(?:o\W*clock|at\s*night|in\s*the\s*(?:morning|afternoon)))?(?!/)(?=\W|$)",
    re.ASCII,
)
_UNTIL = re.compile(
    rf"\s*(?:-|–|~|〜|to|until|through|till|\?)\s*{_CLOCK % ('[.:：]', '1,2')}(?=\W|$)", re.ASCII
)  # fmt: skip
_BARE_NUMBER = re.compile(r"[^\d:.](\d[\d.]+)$")
_BARE_NUMBERS = re.compile(r"[^\d:.](\d[\d.]+)\s*-\s*(\d[\d.]+)$")


def hours(match: Match[str], now: datetime) -> Phrase | None:
    """A time of day or a range of two; None where the figures are more likely something else."""
    parts = _clock(match)
    lone_digit = match[2] and len(match[2]) == 1 and not match[5]
    if parts is None or lone_digit or (int(match[1]) > 100 and match[2]):
        return None
    start = Moment.near(now).assign(**_of_the_day(match[0], parts))
    following = _UNTIL.match(match.string, match.end())
    offset = following and re.fullmatch(r"\s*[+-]\s*\d{2,4}", following[0])
    if offset and (re.match(r"\d{3,4}", match[0]) or len(following[0].strip(" +-")) > 2):  # type: ignore[index]
        following = None
        if re.match(r"\d{3,4}", match[0]):
            return None
    if following is None:
        return None if _unlikely(match[0]) else Phrase(match.start(), match[0], start)
    end = _end(start, following, now)
    text = match[0] + (following[0] if end else "")
    return (
        None
        if re.fullmatch(r"\d+-\d+", text) or _out_of_day(_BARE_NUMBERS, text)
        else Phrase(match.start(), text, start, end)
    )


def _clock(match: Match[str]) -> dict[str, int] | None:
    hour, minute = int(match[1]), int(match[2] or 0)
    if hour > 100:
        hour, minute = divmod(hour, 100)
    second, millisecond = int(match[3] or 0), int((match[4] or "0")[:3])
    half = (match[5] or "")[:1]
    if hour > 24 or minute > 59 or second > 59 or (half and hour > 12):
        return None
    if half:
        hour = hour % 12 + (12 if half == "p" else 0)
    parts = {"hour": hour, "minute": minute}
    if match[3]:
        parts["second"] = second
    if match[4]:
        parts["millisecond"] = millisecond
    return parts


def _of_the_day(text: str, parts: dict[str, int]) -> dict[str, int]:
    """«9 at night» is 21:00, «3 in the afternoon» 15:00."""
    evening = text.endswith("night") and 6 <= parts["hour"] < 12
    afternoon = text.endswith("afternoon") and parts["hour"] <= 6
    return parts | {"hour": parts["hour"] + (12 if evening or afternoon else 0)}


def _end(start: Moment, match: Match[str], now: datetime) -> Moment | None:
    parts = _clock(match)
    if parts is None:
        return None
    end = Moment.near(now).assign(**parts)
    half = (match[5] or "")[:1]
    if not half and start["hour"] > 12 and start["hour"] - 12 <= parts["hour"] <= 12:
        end.assign(hour=parts["hour"] % 12 + 12)
    if half == "p" and start["hour"] < 12 and not re.search(r"[ap]", match.string[: match.start()][-5:]):
        start.assign(hour=start["hour"] + 12)
    if (end["hour"], end["minute"]) < (start["hour"], start["minute"]):
        end.imply(day=end["day"] + 1)
    return end


def _unlikely(text: str) -> bool:
    return bool(re.fullmatch(r"\d|\d{3,}", text) or re.search(r"\d[ap]$", text)) or _out_of_day(_BARE_NUMBER, text)


def _out_of_day(pattern: Pattern[str], text: str) -> bool:
    found = pattern.search(text)
    if not found:
        return False
    figures = found.groups()
    decimal = "." in figures[-1] and not re.search(r"\d(\.\d{2})+$", figures[-1])
    return decimal or any(int(re.match(r"\d+", figure)[0]) > 24 for figure in figures)  # type: ignore[index]
