"""Date ranges: recorded cases, the calendar's rules as properties, and texts that nobody can read."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from core.errors import InvalidDate
from engine.query.dates import ceil, floor, parse_range
from tests.shared import SHARED

_CASES = SHARED / "cases" / "cube" / "date_ranges.json" if SHARED else None
_PHRASES = yaml.safe_load((Path(__file__).parent / "phrases.yml").read_text(encoding="utf-8"))
NOW = datetime(2024, 3, 13, 15, 30, 45, 123000, tzinfo=UTC)
UNITS = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
ZONES = ("UTC", "America/Los_Angeles", "Asia/Shanghai", "Australia/Lord_Howe", "America/Sao_Paulo")
moments = st.integers(631_152_000_000, 3_786_912_000_000).map(lambda ms: datetime.fromtimestamp(ms / 1000, UTC))


def test_reads_the_recorded_ranges() -> None:
    if _CASES is None:
        pytest.skip("needs shared data: cases/cube/date_ranges.json is not on this machine")
    cases = json.loads(_CASES.read_text(encoding="utf-8"))
    wrong = [(case, found) for case in cases if (found := _read(case)) != case.get("range", case.get("error"))]
    assert wrong == []


@pytest.mark.parametrize("text", _PHRASES, ids=str)
def test_reads_english(text: str) -> None:
    assert list(parse_range(text, NOW, "UTC")) == _PHRASES[text]


@given(moments, st.sampled_from(UNITS), st.sampled_from(ZONES), st.integers(1, 50))
@example(datetime(2024, 3, 10, 10, 30, tzinfo=UTC), "hour", "America/Los_Angeles", 2)
def test_last_units_end_where_this_one_starts(moment: datetime, unit: str, zone: str, count: int) -> None:
    last, this, following = (
        [datetime.fromisoformat(edge) for edge in parse_range(f"{word} {unit}", moment, zone)]
        for word in (f"last {count}", "this", f"next {count}")
    )
    assert floor(this[0], unit) == this[0] and ceil(this[0], unit) == this[1]
    if unit in ("second", "minute", "hour"):
        return  # on the night when clocks change, neighbouring hours of the wall clock are not neighbours
    assert last[1] + timedelta(milliseconds=1) == this[0]
    assert this[1] + timedelta(milliseconds=1) == following[0]
    assert floor(last[0], unit) == last[0] and ceil(following[1], unit) == following[1]


@given(st.text(max_size=60), moments, st.sampled_from(ZONES))
@example("30 february", NOW, "UTC")
@example("from to to to", NOW, "UTC")
@example("99999999 years ago", NOW, "UTC")
@example("last 99999999999999999999 seconds", NOW, "UTC")
def test_any_text_gives_a_range_or_says_that_it_cannot_be_read(text: str, moment: datetime, zone: str) -> None:
    try:
        start, end = parse_range(text, moment, zone)
    except InvalidDate as error:
        assert error.message.startswith("Can't parse date: '")
    else:
        assert datetime.fromisoformat(start) and datetime.fromisoformat(end)


_WORDS = """last next this past from to until in within 2 5 31 1.5 a few couple of half march sept monday day days weeks
month years hours ago before after from now today 2024 2024-02-30 5pm 10:30 noon at 12/31 - , th"""
words = st.sampled_from(_WORDS.split())


@given(st.lists(words, min_size=1, max_size=9).map(" ".join), moments)
def test_any_sentence_of_date_words_gives_a_range_or_an_invalid_date(text: str, moment: datetime) -> None:
    with suppress(InvalidDate):
        parse_range(text, moment, "UTC")


def test_a_long_text_is_refused_at_once() -> None:
    with pytest.raises(InvalidDate):
        parse_range("a few " * 10_000, NOW, "UTC")


def _read(case: dict[str, Any]) -> Any:
    try:
        return list(parse_range(case["input"], datetime.fromisoformat(case["now"]), case["tz"]))
    except InvalidDate as error:
        return error.message
