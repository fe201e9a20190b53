"""The small parts against what they must equal."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.ids import derived_id_ms
from ingestion.importers import binary
from ingestion.importers.reading import CsvFile, Inflated
from ingestion.importers.seen import SeenIds

_texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=50)


@given(st.integers(0, 2**48 - 1), _texts)
def test_a_uuid_field_is_the_id_that_core_derives(ms: int, name: str) -> None:
    assert binary.derived_uuid(ms, name) == b"\0\0\0\x10" + derived_id_ms(ms, name).bytes


_FIELDS: list[tuple[str, Callable[[object], bytes], st.SearchStrategy[object]]] = [
    ("int", binary.int4, st.integers(-(2**31), 2**31 - 1)),  # type: ignore[list-item]
    ("bigint", binary.int8, st.integers(-(2**63), 2**63 - 1)),  # type: ignore[list-item]
    ("double precision", binary.float8, st.floats(allow_nan=False)),  # type: ignore[list-item]
    ("boolean", binary.boolean, st.booleans()),  # type: ignore[list-item]
    ("text", binary.text, _texts),  # type: ignore[list-item]
    (
        "timestamptz",
        binary.timestamptz,  # type: ignore[list-item]
        st.datetimes(datetime(1970, 1, 1), datetime(2262, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    ),
]


@pytest.mark.parametrize(("kind", "encode", "values"), _FIELDS, ids=[kind for kind, _, _ in _FIELDS])
def test_postgres_reads_a_binary_field_as_the_value_that_was_written(
    kind: str, encode: Callable[[object], bytes], values: st.SearchStrategy[object], postgres_url: str
) -> None:
    with psycopg.connect(postgres_url, options="-c timezone=UTC") as connection:
        connection.execute(f"create temp table one (value {kind})")

        @settings(max_examples=40, deadline=None)
        @given(values)
        def check(value: object) -> None:
            field = binary.Fields(encode)[value]
            data = binary.HEADER + b"\0\1" + field + b"\0\1" + binary.NULL + binary.END
            with connection.cursor() as cursor:
                cursor.execute("truncate one")
                with cursor.copy("copy one from stdin (format binary)") as copy:
                    copy.write(data)
                rows = [row for (row,) in cursor.execute("select value from one")]
            assert rows == [value, None]

        check()


@given(st.lists(st.one_of(st.integers(0, 300).map(str), st.sampled_from(["", "a", "01", "1 ", "９", "9" * 12]))))
def test_seen_ids_are_those_of_a_set(ids: list[str]) -> None:
    seen, known = SeenIds(), set[str]()
    for each in ids:
        assert seen.add(each) == (each in known)
        known.add(each)
    seen.close()


@given(st.lists(st.binary(max_size=5000), max_size=4), st.integers(1, 4000))
def test_several_gzip_members_are_read_as_one_file(members: list[bytes], size: int) -> None:
    data = b"".join(gzip.compress(member) for member in members) + bytes(7)
    raw = Inflated(io.BytesIO(data if members else b""))
    assert io.BufferedReader(raw, size).read() == b"".join(members)
    assert raw.fault is None or not members


def test_a_line_number_is_that_of_the_first_line_of_a_record(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b'a,b\n\n1,"two\nlines"\r\n3,4')
    assert [(line, cells) for line, cells, _ in CsvFile(path)] == [
        (1, ["a", "b"]),
        (3, ["1", "two\nlines"]),
        (5, ["3", "4"]),
    ]
