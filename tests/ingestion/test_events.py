"""Events are what their schema says; a mistake is told with its field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ingestion.events import MOST_BYTES, NAMES, Rejection, read_event

CASES = yaml.safe_load((Path(__file__).parent / "events.yml").read_text())


@pytest.mark.parametrize("case", CASES["good"], ids=lambda case: case["name"])
def test_good_events_are_read(case: dict[str, Any]) -> None:
    event = read_event(case["body"])
    assert event.kind.name == case["body"]["event_name"]
    assert msgspec.json.decode(event.props) == case["kept"]


@pytest.mark.parametrize("case", CASES["bad"], ids=lambda case: case["name"])
def test_bad_events_are_refused_with_their_field(case: dict[str, Any]) -> None:
    with pytest.raises(Rejection) as caught:
        read_event(case["body"])
    assert (caught.value.code, caught.value.field) == (case["reason"], case["field"])
    assert case.get("says", "") in str(caught.value)


def test_each_name_has_a_case() -> None:
    assert {case["body"]["event_name"] for case in CASES["good"]} == set(NAMES)


def test_half_a_character_is_refused() -> None:
    with pytest.raises(Rejection, match="surrogate"):
        read_event({"event_name": "help_requested", "metadata": {"message": "a\ud800"}})


def test_a_large_event_is_refused() -> None:
    with pytest.raises(Rejection) as caught:
        read_event({"event_name": "help_requested", "metadata": {f"k{n}": "x" * 100 for n in range(MOST_BYTES // 100)}})
    assert caught.value.code == "too_large"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(_JSON | st.dictionaries(st.sampled_from(["event_name", "metadata", "quiz_id", "timestamp", "client_id"]), _JSON))
def test_any_json_is_read_or_refused_and_never_an_accident(value: Any) -> None:
    try:
        read_event(value)
    except Rejection as rejection:
        assert rejection.message
