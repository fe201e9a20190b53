"""Streams of answers: each line by itself and as the bulk form judges it, committed as it comes."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from string import Template
from typing import Any

import httpx2
import pytest
import yaml
from backports import zstd

from api.lines import GROUP_LINES
from core.postgres import Postgres
from tests.api.audit.people import lines
from tests.api.conftest import Person, School, data, fault, make_school, register

_ROWS: list[dict[str, Any]] = yaml.safe_load(Path(__file__).with_name("answer_lines.yml").read_text())
_PATH = "/api/v1/responses"
_LINES = {"Content-Type": "application/x-ndjson"}
_PACKERS: dict[str, Callable[[bytes], bytes]] = {"identity": bytes, "gzip": gzip.compress, "zstd": zstd.compress}


async def _world(school: School) -> dict[str, Any]:
    """The names that the table uses; the foreign things are another school's."""
    foreign = await make_school(school.admin.client, "Valley")
    questions = school.quiz["questions"]
    return {
        "question": questions[0]["id"], "second": questions[1]["id"], "student": school.student.id,
        "other_student": school.other_student.id, "foreign_student": foreign.student.id,
        "foreign_question": foreign.quiz["questions"][0]["id"], "foreign_quiz": foreign.quiz["id"],
        "foreign_classroom": foreign.classroom["id"], "long": "x" * 10_000_000, "text": "x" * 5_000,
        "deep": "[" * 100 + "]" * 100,
    }  # fmt: skip


async def _pieces(body: bytes, size: int = 50_000) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


async def _stream(person: Person, body: bytes, encoding: str = "identity") -> httpx2.Response:
    headers = {**_LINES, "Content-Encoding": encoding}
    return await person.call("POST", _PATH, content=_pieces(_PACKERS[encoding](body)), headers=headers)


async def test_each_line_has_its_outcome_and_a_stream_sent_again_counts_once(
    school: School, postgres: Postgres
) -> None:
    world = await _world(school)
    body = "\n".join(Template(row["line"]).substitute(world) for row in _ROWS).encode()
    numbered = [(number, row) for number, row in enumerate(_ROWS, 1) if row.get("status") not in ("accepted", "empty")]
    for encoding in _PACKERS:
        first = encoding == "identity"
        told = data(await _stream(school.teacher, body, encoding), 201 if first else 200)
        items = {item["line"]: item for item in told["items"]}
        for number, row in numbered:
            found = items[number]["status"], items[number].get("reason"), items[number].get("field")
            reason, field = row.get("reason"), row.get("field")
            assert found == (row.get("status", "rejected"), reason, field or found[2]), (row, items[number])
            assert items[number].get("path") == found[2]
        refused = sum("reason" in row for row in _ROWS)
        assert (told["accepted"], told["duplicate"], told["rejected"]) == (
            (2, 1, refused) if first else (0, 3, refused)
        )
        assert (told["lines"], told["left_out"], len(items)) == (len(_ROWS), 0, refused + (1 if first else 3))
        assert len(await postgres.fetch("select 1 from responses")) == 2
        letters = await postgres.fetch("select kind from dead_letters")
        assert Counter(row["kind"] for row in letters) == {"response": refused * (1 + list(_PACKERS).index(encoding))}
    (noted,) = await lines(school.admin, action="responses.sent")
    assert (noted["actor_id"], noted["subjects"]) == (school.teacher.id, [school.student.id])


async def test_a_line_is_judged_as_an_item_of_the_bulk_form_is(school: School) -> None:
    """Whoever sends it; what the bulk form refuses as a whole has the same name alone."""
    world = await _world(school)
    items = [(Template(row["line"]).substitute(world), row.get("body")) for row in _ROWS if row["line"]]
    good = [line for line, whole in items if whole is None]
    for person in (school.student, school.other_teacher, school.admin, school.teacher):
        bulk = await person.call(
            "POST", _PATH, content=b'{"responses": [' + ",".join(good).encode() + b"]}",
            headers={"Content-Type": "application/json"},
        )  # fmt: skip
        told = {
            item["line"]: item for item in (await _stream(person, "\n".join(good).encode())).json()["data"]["items"]
        }
        for number, expected in enumerate(bulk.json()["data"]["items"], 1):
            found = told[number]
            if expected["status"] == "rejected":
                same = {name: value for name, value in found.items() if name not in ("line", "path", "message")}
                assert same == {name: value for name, value in expected.items() if name != "message"}
                assert expected["message"].endswith(found["message"])
            else:
                assert (found["status"], found["id"]) == ("duplicate", expected["id"])
    for line, whole in items:
        if whole:
            headers = {"Content-Type": "application/json"}
            answer = await school.teacher.call("POST", _PATH, content=line.encode(), headers=headers)
            fault(answer, 413 if whole == "too_large" else 400, whole)


@pytest.mark.parametrize("path", [_PATH, "/api/v1/events"])
async def test_a_stream_ends_with_its_senders_log_in(school: School, postgres: Postgres, path: str) -> None:
    """A stream may last for hours; whoever was sent out or erased meanwhile sends no more."""
    sender = await register(school.admin.client, "student", school_id=school.admin.school_id)
    place = {"classroom_id": school.classroom["id"], "user_id": sender.id}
    await school.admin.make("enrolments", **place)
    answer = {"question_id": school.quiz["questions"][0]["id"], "answer": "B"}
    good = answer if path == _PATH else {"event_name": "student_login"}
    line = json.dumps(good) + "\n"

    async def pieces() -> AsyncIterator[bytes]:
        yield (line + "5\n" * (GROUP_LINES - 1)).encode()
        data(await sender.post("/api/v1/auth/logout"))
        yield line.encode()

    told = fault(await sender.call("POST", path, content=pieces(), headers=_LINES), 401, "session_ended")
    assert told["error"]["details"]["lines"] == GROUP_LINES
    assert len(await postgres.fetch("select 1 from events where user_id = %s", [sender.id])) == 1


async def test_a_broken_end_says_how_far_it_came_and_what_came_is_kept(school: School, postgres: Postgres) -> None:
    answer = json.dumps({"question_id": school.quiz["questions"][0]["id"], "answer": "B", "client_id": "c1"})
    cut = gzip.compress("\n".join([answer, *"5" * GROUP_LINES]).encode())[:-8]
    headers = {**_LINES, "Content-Encoding": "gzip"}
    told = fault(await school.student.call("POST", _PATH, content=cut, headers=headers), 400, "invalid_encoding")
    assert told["error"]["details"]["lines"] == GROUP_LINES
    assert len(await postgres.fetch("select 1 from responses")) == 1
