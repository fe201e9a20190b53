"""For how long an answer is good."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model import load_catalog
from engine.run.cache import Entry, ResultCache, is_fresh, lifetime
from engine.run.result import Table

HOUR = 3600.0
FOREVER = float("inf")


def table(rows: int = 1) -> Table:
    """A table of one column."""
    return Table((["x"] * rows,), datetime(2024, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("refresh_keys", "seconds"),
    [
        ([None], None),
        (["{every: 1 hour}"], HOUR),
        (["{every: 30 minutes}", "{every: 1 hour}"], HOUR / 2),
        (["{every: 1 hour}", None], None),
        (["{immutable: true}"], FOREVER),
        (["{immutable: true}", "{every: 1 hour}"], HOUR),
        (["{every: 1 hour, sql: SELECT 1}"], None),
        (["{every: '0 * * * *'}"], None),
    ],
)
def test_only_the_models_own_word_lengthens_the_life_of_an_answer(
    tmp_path: Path, refresh_keys: list[str | None], seconds: float | None
) -> None:
    cubes = [
        f"  - name: c{index}\n    sql_table: t\n    measures: [{{name: count, type: count}}]\n"
        + (f"    refresh_key: {key}\n" if key else "")
        for index, key in enumerate(refresh_keys)
    ]
    (tmp_path / "model.yml").write_text("cubes:\n" + "".join(cubes), encoding="utf-8")
    assert lifetime(load_catalog(tmp_path).cubes.values()) == seconds


@given(st.integers(0, 3), st.integers(0, 3), st.floats(0, 100), st.none() | st.floats(0, 50))
def test_an_answer_of_another_version_is_never_fresh_but_by_the_models_word(
    version: int, now_version: int, age: float, seconds: float | None
) -> None:
    fresh = is_fresh(Entry(table(), version, 1000.0, seconds), now_version, 1000.0 + age)
    assert not fresh or version == now_version or (seconds is not None and age < seconds + 1e-6)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 400)), max_size=60))
def test_what_is_kept_stays_within_its_bytes_and_is_the_last_that_was_put(puts: list[tuple[int, int]]) -> None:
    cache = ResultCache(max_bytes=200_000)
    last: dict[int, Table] = {}
    for key, rows in puts:
        last[key] = table(rows)
        cache.put(key, Entry(last[key], 1, 0.0, None))
    kept = {key: found for key in last if (found := cache.get(key, 1, 0.0))}
    assert sum(found.size for found in kept.values()) <= 200_000
    assert all(found is last[key] for key, found in kept.items())
