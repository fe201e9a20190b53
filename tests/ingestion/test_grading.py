"""Right or wrong, and how much it is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidField
from ingestion.grading import Grade, grade

CASES = yaml.safe_load((Path(__file__).parent / "grading.yml").read_text())


@pytest.mark.parametrize("case", CASES, ids=str)
def test_grades(case: list[Any]) -> None:
    qtype, options, key, choice, expected = case
    if expected == "refused":
        with pytest.raises(InvalidField):
            grade(qtype, options, key, choice)
    else:
        assert grade(qtype, options, key, choice) == Grade(*expected)


@given(st.sets(st.sampled_from("ABCDE"), min_size=1), st.lists(st.sampled_from("ABCDE")), st.randoms())
def test_the_order_of_several_answers_does_not_matter(key: set[str], given: list[str], chance: Any) -> None:
    shuffled = list(given)
    chance.shuffle(shuffled)
    one, other = (
        grade("multiple_select", list("ABCDE"), ",".join(sorted(key)), choice) for choice in (given, shuffled)
    )
    assert one == other
    assert one.score is not None
    assert 0 <= one.score <= 1
    assert one.correct == (set(given) == key) == (one.score == 1)
