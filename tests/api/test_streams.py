"""Streams of lines and compressed bodies: each line by itself, bombs and broken ends by name, memory bounded."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from backports import zstd

from api.lines import GROUP_LINES, MOST_LINE_BYTES, groups
from core.clock import now
from core.postgres import Postgres
from ingestion.decoding import Unreadable, decode_one
from tests.api.conftest import School, data, fault

_LINES = {"Content-Type": "application/x-ndjson"}


def _event(**fields: Any) -> dict[str, Any]:
    return {"event_name": "content_viewed", "metadata": {"content_id": "a"}, "timestamp": now().isoformat()} | fields


async def _pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("size", [33, 1_000_000])
async def test_a_bad_line_is_rejected_with_its_number_and_the_others_go_on(
    school: School, postgres: Postgres, size: int
) -> None:
    last_year, next_year = now() - timedelta(days=400), now() + timedelta(days=365)
    lines = [
        json.dumps(_event()), '{"event_name": "content_viewed", "metadata": {"cont', "", json.dumps(_event()),
        json.dumps(_event(timestamp="1970-01-01T00:00:00Z")), json.dumps(_event(timestamp=next_year.isoformat())),
        json.dumps(_event(timestamp=last_year.isoformat())), json.dumps(_event(classroom_id=999_999)),
        json.dumps(_event(metadata={"content_id": "x" * 100_000})), r'{"event_name": "content_viewed\u0000"}',
        json.dumps(_event()),
    ]  # fmt: skip
    body = "\n".join(lines).encode()
    told = data(await school.student.call("POST", "/api/v1/events", content=_pieces(body, size), headers=_LINES), 202)
    assert (told["accepted"], told["duplicate"], told["rejected"], told["lines"]) == (3, 0, 7, 11)
    assert [(item["line"], item["reason"]) for item in told["items"]] == [
        (2, "invalid_json"), (5, "clock"), (6, "clock"), (7, "clock"), (8, "unknown_id"), (9, "too_large"),
        (10, "bad_text"),
    ]  # fmt: skip
    assert len(await postgres.fetch("select 1 from events where event_name = 'content_viewed'")) == 3
    assert len(await postgres.fetch("select 1 from dead_letters")) == 7


async def test_a_stream_sent_again_counts_once(school: School) -> None:
    body = "\n".join(json.dumps(_event(client_id=f"c{number}")) for number in range(2_500)).encode()
    first = data(await school.student.call("POST", "/api/v1/events", content=body, headers=_LINES), 202)
    again = data(await school.student.call("POST", "/api/v1/events", content=body, headers=_LINES), 202)
    assert (first["accepted"], again["duplicate"]) == (2_500, 2_500)
    assert (len(again["items"]), again["left_out"]) == (1_000, 1_500)


async def test_memory_does_not_grow_with_a_line_or_a_stream() -> None:
    async def endless(pieces: int, piece: bytes) -> AsyncIterator[bytes]:
        for _ in range(pieces):
            yield piece

    tracemalloc.start()
    found = [line async for group in groups(endless(300, b"x" * 65_536), decode_one) for line in group]
    assert [(line.number, type(line.item)) for line in found] == [(1, Unreadable)]
    assert "19,660,800" in f"{int(found[0].item.message.split()[3]):,}"
    sizes = [len(group) async for group in groups(endless(200, b'{"event_name": "student_login"}\n' * 100), decode_one)]
    assert (sum(sizes), max(sizes)) == (20_000, GROUP_LINES)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20 * MOST_LINE_BYTES + 5_000_000


_PACKERS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "zstd": zstd.compress, "identity": bytes}


@pytest.mark.parametrize("encoding", _PACKERS)
@pytest.mark.parametrize("lines", [False, True])
async def test_compressed_bodies_are_unpacked(school: School, encoding: str, lines: bool) -> None:
    events = [_event() for _ in range(300)]
    body = ("\n".join(map(json.dumps, events)) if lines else json.dumps(events)).encode()
    kind = _LINES if lines else {"Content-Type": "application/json"}
    packed = _PACKERS[encoding](body)
    options: dict[str, Any] = {"headers": {**kind, "Content-Encoding": encoding}, "content": _pieces(packed, 100)}
    assert data(await school.student.call("POST", "/api/v1/events", **options), 202)["accepted"] == 300


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/responses"])
async def test_bombs_and_broken_bodies_have_their_names(school: School, encoding: str, path: str) -> None:
    pack = _PACKERS[encoding]
    headers = {"Content-Type": "application/json", "Content-Encoding": encoding}

    async def send(content: bytes) -> Any:
        return await school.student.call("POST", path, content=content, headers=headers)

    fault(await send(pack(b" " * 30_000_000)), 413, "too_large")
    good = pack(json.dumps([_event()]).encode())
    fault(await send(good[:-3]), 400, "invalid_encoding")
    fault(await send(good + b"more"), 400, "invalid_encoding")
    fault(await send(b"\x00\x01no archive"), 400, "invalid_encoding")


async def test_an_unknown_encoding_is_told_with_those_that_there_are(school: School) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "br"}
    answer = await school.student.call("POST", "/api/v1/events", content=b"x", headers=headers)
    told = fault(answer, 415, "unsupported_media")
    assert told["error"]["details"]["supported"] == ["gzip", "zstd"]
    assert answer.headers["accept-encoding"] == "gzip, zstd"


async def test_a_broken_end_of_a_stream_says_how_far_it_came(school: School, postgres: Postgres) -> None:
    body = "\n".join(json.dumps(_event(client_id=f"c{n}")) for n in range(3 * GROUP_LINES)).encode()
    packed = zlib.compressobj(wbits=31)
    cut = (packed.compress(body) + packed.flush())[:-8]
    headers = {**_LINES, "Content-Encoding": "gzip"}
    told = fault(await school.student.call("POST", "/api/v1/events", content=cut, headers=headers), 400)
    assert told["error"]["code"] == "invalid_encoding"
    done = told["error"]["details"]["lines"]
    rows = await postgres.fetch("select 1 from events where event_name = 'content_viewed'")
    assert len(rows) == done >= GROUP_LINES


async def test_only_what_was_not_accepted_is_listed_on_wish(school: School) -> None:
    body = {"events": [_event(), _event(metadata={}), _event()]}
    headers = {"Prefer": "return=minimal"}
    told = data(await school.student.call("POST", "/api/v1/events", json=body, headers=headers), 202)
    assert (told["accepted"], told["rejected"]) == (2, 1)
    (item,) = told["items"]
    assert (item["index"], item["path"]) == (1, "events[1].metadata.content_id")


async def test_a_wrong_clock_is_told(school: School) -> None:
    """An hour ahead: what it sent just now lies in our future. An hour behind: it is taken, and told."""
    ahead = (now() + timedelta(hours=1)).isoformat()
    told = fault(await school.student.post("/api/v1/events", _event(timestamp=ahead, sent_at=ahead)), 422, "clock")
    assert "0:59:59" in told["message"] or "1:00:00" in told["message"]
    behind = (now() - timedelta(hours=1)).isoformat()
    sent = data(await school.student.post("/api/v1/events", _event(timestamp=behind, sent_at=behind)), 202)["items"]
    assert abs(sent[0]["clock_offset_seconds"] + 3_600) <= 2
    right = data(await school.student.post("/api/v1/events", _event(sent_at=now().isoformat())), 202)["items"]
    assert "clock_offset_seconds" not in right[0]
