"""What is asked again in the same words gets what anybody else would get who asks it for the first time."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import time_machine

from api.audit.personal import Seen
from api.queries.repeated import Repeated, Told
from api.queries.service import Queries
from core.settings import Settings
from core.warehouse import Warehouse
from engine.model import load_catalog
from engine.query.access import SecurityContext
from engine.run.engine import Engine
from engine.run.executor import Executor

_MODEL = """
cubes:
  - name: answers
    sql_table: answers
    measures: [{name: count, type: count}]
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: school, sql: school, type: number}
      - {name: student_id, sql: student, type: number}
      - {name: at, sql: at, type: time}
    access_policy:
      - group: teacher
        row_level: {filters: [{member: school, operator: equals, values: ["{security_context.school_id}"]}]}
      - group: odd
        conditions: [{if: "{ security_context.allowed }"}]
      - {group: operator}
"""
_COUNT = {"measures": ["answers.count"]}
_QUESTIONS: list[Any] = [
    _COUNT,
    {**_COUNT, "dimensions": ["answers.school"], "total": True},
    {"dimensions": ["answers.student_id"], "order": {"answers.student_id": "asc"}},
    {**_COUNT, "timeDimensions": [{"dimension": "answers.at", "granularity": "day", "dateRange": "today"}]},
    {**_COUNT, "filters": [{"member": "answers.at", "operator": "beforeDate", "values": ["tomorrow"]}]},
    {**_COUNT, "timeDimensions": [{"dimension": "answers.at", "compareDateRange": ["today", "yesterday"]}]},
    {**_COUNT, "filters": [{"member": "answers.at", "operator": "inDateRange", "values": ["2026-01-01"]}]},
    {**_COUNT, "cache": "no-cache"},
    {"dimensions": ["answers.id"], "limit": 0},
]
_CALLERS = [
    SecurityContext(frozenset({"teacher"}), {"school_id": 1}),
    SecurityContext(frozenset({"teacher"}), {"school_id": 2}),
    SecurityContext(frozenset({"teacher"}), {"school_id": 3}),
    SecurityContext(frozenset({"operator"}), {"school_id": 1}),
]
_START = datetime(2026, 1, 1, 12, tzinfo=UTC)


async def _service(folder: Path, warehouse: Warehouse, version: list[int]) -> Queries:
    (folder / "model.yml").write_text(_MODEL, encoding="utf-8")
    await warehouse.query("CREATE TABLE answers (id UInt32, school UInt8, student UInt32, at DateTime) ORDER BY id")
    catalog, settings = load_catalog(folder), Settings(query_threads=2)
    executor = Executor(warehouse, catalog, settings, lambda: version[0])
    return Queries(Engine(catalog, executor, settings), 30)


async def test_whoever_asks_again_hears_what_one_hears_who_asks_first(
    tmp_path: Path, bare_warehouse: Warehouse
) -> None:
    version, dice = [0], random.Random(7)
    service = await _service(tmp_path, bare_warehouse, version)

    async def ask(question: Any, caller: SecurityContext, words: bytes | None) -> tuple[Any, list[Seen]]:
        noted: list[Seen] = []

        async def note(seen: Seen) -> None:
            noted.append(seen)

        body = orjson.loads(await service.load(question, caller, multi=True, cache=None, words=words, note=note))
        if "no-cache" in str(question):
            body["results"][0].pop("lastRefreshTime")
        return body, noted

    with time_machine.travel(_START, tick=False) as clock:
        for step in range(400):
            if step % 16 == 0:
                await bare_warehouse.query(
                    f"INSERT INTO answers VALUES ({step}, {step // 16 % 2 + 1}, {step}, '2026-01-01 13:00:00')"
                )
                version[0] += 1
            if step % 50 == 49:
                clock.shift(timedelta(hours=9))
            question, caller = dice.choice(_QUESTIONS), dice.choice(_CALLERS)
            if question.get("limit") == 0:
                clock.shift(timedelta(seconds=1))
            again = await ask(question, caller, orjson.dumps(question))
            assert again == await ask(question, caller, None), (step, question, caller)


async def test_words_of_one_are_not_those_of_another(tmp_path: Path, bare_warehouse: Warehouse) -> None:
    """1 and True are equal to Python, and are not the same to a policy."""
    service = await _service(tmp_path, bare_warehouse, [0])
    callers = [SecurityContext(frozenset({"odd"}), {"allowed": value}) for value in (1, True, 0, False, "")]
    for _ in range(2):
        for caller in callers:
            outcomes = []
            for words in (b"same", None):
                try:
                    outcomes.append(await service.load(_COUNT, caller, multi=True, cache=None, words=words))
                except Exception as error:
                    outcomes.append(str(error).encode())
            assert outcomes[0] == outcomes[1], caller


async def test_little_is_kept(tmp_path: Path, bare_warehouse: Warehouse) -> None:
    service = await _service(tmp_path, bare_warehouse, [0])
    answer = await service.engine.load(_COUNT, _CALLERS[0])
    kept = Repeated()
    for number in range(1_500):
        kept.keep(number, Told(answer, None, b"x"))
    assert [kept.get(number) is None for number in (0, 499, 500, 1_499)] == [True, True, False, False]
    kept.keep("large", Told(answer, None, bytes(30_000)))
    assert kept.get("large") is None
