"""The quick way of reading a body means the same as the slow one, and what it leaves is judged item by item."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadInput
from ingestion.decoding import decode_body, decode_one, is_own, read_item
from ingestion.events import Event, Rejection, read_event

CASES = yaml.safe_load((Path(__file__).parent / "events.yml").read_text())
BODIES = [case["body"] for case in CASES["good"] + CASES["bad"]]


def _judged(item: Any) -> Event | tuple[str, str | None]:
    try:
        return read_item(item)
    except Rejection as rejection:
        return rejection.code, rejection.field


def _slowly(value: Any) -> Event | tuple[str, str | None]:
    try:
        return read_event(value)
    except Rejection as rejection:
        return rejection.code, rejection.field


_IDS = st.none() | st.integers(-2, 2**63 + 1) | st.booleans() | st.floats(0, 9)
_METADATA = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "question_id": _IDS, "quiz_id": _IDS, "answer": st.text() | st.lists(st.text(), max_size=3) | st.integers(),
        "correct": st.booleans(), "time_spent": st.integers(-1, 9) | st.floats(), "content_id": st.text(max_size=9),
        "message": st.text(max_size=9), "display_time": st.sampled_from(["2026-10-07T10:00:00Z", "x", "2026-10-07"]),
        "extra": st.text(max_size=3),
    },
)  # fmt: skip
_EVENTS = st.fixed_dictionaries(
    {"event_name": st.sampled_from(["answer_submitted", "content_viewed", "question_displayed", "app_error", "nope"])},
    optional={
        "metadata": _METADATA, "quiz_id": _IDS, "question_id": _IDS, "user_id": _IDS, "client_id": st.text(max_size=5),
        "timestamp": st.sampled_from(["2026-10-07T10:00:00Z", "2026-10-07T10:00:00.123456+02:00", "soon", 7]),
        "schema_version": st.integers(0, 3), "app": st.sampled_from(["notebook", "server", None]),
        "sent_at": st.sampled_from(["2026-10-07T10:00:00Z", "soon"]),
    },
)  # fmt: skip


@given(_EVENTS)
def test_the_quick_way_means_what_the_slow_one_means(value: dict[str, Any]) -> None:
    raw = json.dumps(value).encode()
    slow = _slowly(json.loads(raw))
    assert _judged(decode_one(raw)) == slow
    (alone,), one = decode_body(raw)
    assert (_judged(alone), one) == (slow, True)
    listed, one = decode_body(b"[" + raw + b", 7, " + raw + b"]")
    assert ([_judged(item) for item in listed], one) == ([slow, ("invalid_field", None), slow], False)
    wrapped, one = decode_body(b'{"events": [' + raw + b"]}")
    assert ([_judged(item) for item in wrapped], one) == ([slow], False)


@pytest.mark.parametrize("number", range(len(BODIES)))
def test_each_case_reads_the_same_both_ways(number: int) -> None:
    raw = json.dumps(BODIES[number]).encode()
    if b"NaN" in raw or b"Infinity" in raw:
        with pytest.raises(BadInput):
            decode_body(raw)
    else:
        assert _judged(decode_body(raw)[0][0]) == _slowly(json.loads(raw))


VIEW = b'{"event_name": "content_viewed", "metadata": {"content_id": %s}}'
HOSTILE = [
    ("half a character", VIEW % rb'"a\ud800b"', "bad_text"),
    ("NUL", VIEW % rb'"a\u0000b"', "bad_text"),
    ("too large a number", VIEW % b"1e400", "not_a_number"),
    ("NaN", VIEW % b"NaN", "invalid_json"),
    ("bytes that are no text", VIEW % b'"\xff\xfe"', "invalid_json"),
    ("deep", VIEW % (b"[" * 30 + b"]" * 30), "too_deep"),
    ("very deep", VIEW % (b"[" * 100_000 + b"]" * 100_000), "too_deep"),
    ("10 MB in one property", VIEW % (b'"' + b"x" * 10_000_000 + b'"'), "too_large"),
    ("cut off", VIEW[:40], "invalid_json"),
    ("two values", VIEW % b'"a"' + b" 7", "invalid_json"),
    ("a number of a thousand digits", VIEW % (b"9" * 1_000), "invalid_field"),
    ("a number of a million digits", VIEW % (b"9" * 1_000_000), "invalid_json"),
]


@pytest.mark.parametrize("case", HOSTILE, ids=lambda case: case[0])
def test_what_is_hostile_has_its_name(case: tuple[str, bytes, str]) -> None:
    judged = _judged(decode_one(case[1]))
    assert isinstance(judged, tuple)
    assert judged[0] == case[2]


def test_of_a_key_that_stands_twice_the_last_holds() -> None:
    """RFC 8259 leaves it open; this is what JavaScript does."""
    raw = b'{"event_name": "app_error", "event_name": "content_viewed", "metadata": {"content_id": "a"}}'
    judged = _judged(decode_one(raw))
    assert isinstance(judged, Event)
    assert judged.kind.name == "content_viewed"


def test_only_dotted_names_are_looked_up() -> None:
    assert is_own({"event_name": "lab.x"})
    assert not any(map(is_own, [{"event_name": "lab"}, {"event_name": 7}, 7, None, {}]))
