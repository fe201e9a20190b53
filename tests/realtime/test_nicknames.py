"""No nickname hides, breaks a line, looks empty or takes another's place."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.nicknames import LONGEST, clean, free, key


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ("  Ada   Lovelace ", "Ada Lovelace"),
        ("\u202egnp.exe", "gnp.exe"),
        ("A\u200bda", "Ada"),
        ("Z\u0301\u0301\u0301\u0301\u0301algo", "Ź\u0301\u0301algo"),
        ("\U0001f600\U0001f3fd", ""),
        ("\u00a0\u2003\t\n", ""),
        ("Ａｄａ", "Ada"),
        ("أحمد", "أحمد"),
        ("<b>Ada</b>", "bAdab"),
        ("O'Neill-3!", "O'Neill-3!"),
    ],
)
def test_a_wish_is_cleaned(wish: str, name: str) -> None:
    assert clean(wish) == name


@given(st.text(max_size=60), st.lists(st.text(max_size=30), max_size=8))
def test_a_name_is_short_visible_and_nobody_elses(wish: str, others: list[str]) -> None:
    taken: set[str] = set()
    for other in [*others, wish, wish]:
        name = free(other, taken)
        assert 1 <= len(name) <= LONGEST and name == name.strip()
        assert not any(unicodedata.category(letter)[0] in "CZ" and letter != " " for letter in name)
        assert key(name) not in taken
        taken.add(key(name))
