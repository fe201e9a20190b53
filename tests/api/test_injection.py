"""Text from outside stays text: in SQL, in headers, in spreadsheets; and time tells nobody which account is there."""

from __future__ import annotations

import csv
import io
import time
from statistics import median
from typing import Any
from urllib.parse import quote

import httpx2
import pytest

from api.reports.spreadsheet import to_csv
from core.postgres import Postgres
from tests.api.conftest import School, data, fault, register

_HOSTILE = [
    "'; drop table users; --",
    "' or '1'='1",
    '"; DROP TABLE responses; --',
    "\\'; select 1; --",
    "$$ or true $$",
    "%' or name like '%",
    "{user:String}",
    "%(my_school)s",
    "${7*7}{{7*7}}",
    "<script>alert(1)</script>",
    "=HYPERLINK('http://evil.example')",
    "＝1+1",
    "robert') UNION ALL SELECT password_hash FROM users --",
]
_INVISIBLE = ["a\r\nSet-Cookie: x=1", "\u202egnp.exe"]
"""No name may hold these."""


async def test_hostile_text_is_kept_and_found_as_it_is(school: School, postgres: Postgres) -> None:
    people = await postgres.fetch("select count(*) as n from users")
    for text in (*_HOSTILE, *_INVISIBLE):
        if text in _INVISIBLE:
            fault(await school.admin.post("/api/v1/classrooms", {"name": text}), 422, "invalid_field")
        else:
            made = await school.admin.make("classrooms", name=text)
            assert made["name"] == text.strip()
        assert data(await school.admin.get("/api/v1/users", params={"email": text}))["items"] == []
        found = await school.admin.get("/api/v1/quizzes", params={"subject": text})
        assert found.status_code == 422 if text in _INVISIBLE else data(found)["items"] == []
        await _ask(school, text)
        answer = await school.admin.get("/api/v1/users/me", headers={"X-Request-ID": text.encode()})
        assert "set-cookie" not in answer.headers
        report = await school.admin.get(f"/api/v1/reports/{quote(text, safe='')}")
        assert report.status_code in {404, 400}, report.text
    assert await postgres.fetch("select count(*) as n from users") == people
    assert len(data(await school.admin.get("/api/v1/classrooms"))["items"]) == 2 + len(_HOSTILE)


async def _ask(school: School, text: str) -> None:
    """As a value it finds nothing; as a name it is refused; the teacher's row filter holds whatever is said."""
    for operator in ("equals", "contains", "startsWith"):
        filters = [{"member": "students.name", "operator": operator, "values": [text]}]
        query = {"measures": ["students.count"], "filters": filters}
        answer = await school.teacher.post("/cubejs-api/v1/load", {"query": query})
        assert answer.status_code == 200, answer.text
        assert answer.json()["data"][0]["students.count"] == "0", (operator, text)
    bad: list[dict[str, Any]] = [
        {"measures": [text]},
        {"measures": ["students.count"], "dimensions": [f"students.{text}"]},
        {"measures": ["students.count"], "order": {text: "asc"}},
        {"measures": ["students.count"], "timezone": text},
        {
            "measures": ["responses.count"],
            "timeDimensions": [{"dimension": "responses.submitted_at", "granularity": text}],
        },
    ]
    for query in bad:
        answer = await school.teacher.post("/cubejs-api/v1/load", {"query": query})
        assert answer.status_code == 400, (query, answer.text)


async def test_an_unknown_account_takes_as_long_as_a_wrong_password(client: httpx2.AsyncClient) -> None:
    """Interleaved, medians, a wide bound: without the hash the unknown one would be ten times as quick."""
    admin = await register(client, "admin", school_name="S")
    times: dict[str, list[float]] = {admin.email: [], "nobody@example.org": []}
    for _ in range(9):
        for email, found in times.items():
            began = time.perf_counter()
            answer = await client.post("/auth/login", json={"email": email, "password": "a wrong one"})
            found.append(time.perf_counter() - began)
            assert answer.status_code == 401, answer.text
    known, unknown = (median(found) for found in times.values())
    assert 0.4 < unknown / known < 2.5, times


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("  =1", "'  =1"),
        ("＝1", "'＝1"),
        ("-inf", "'-inf"),
        ("+nan", "'+nan"),
        ("-1_0", "'-1_0"),
        ("-5", "-5"),
        ("+0.25", "+0.25"),
        ("-1e9", "-1e9"),
        ("a=1", "a=1"),
        (-5, "-5"),
        (None, ""),
    ],
)
def test_a_cell_is_never_a_formula(value: Any, cell: str) -> None:
    for table in (to_csv(["name"], [[value]]), to_csv([str(value)], []) if value is not None else ""):
        rows = list(csv.reader(io.StringIO(table, newline="")))
        assert not rows or rows[-1] == [cell] or rows[-1] == []


def test_quotes_and_separators_do_not_make_new_cells() -> None:
    value = 'a","=1+1","\n=2'
    (row,) = list(csv.reader(io.StringIO(to_csv(["x"], [[value]]), newline="")))[1:]
    assert row == [value]
