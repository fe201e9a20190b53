"""A statement runs once for all who ask, never answers with old rows, and stops when nobody waits."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from core.errors import BadInput, Cancelled, ContinueWait, StoreTimeout
from core.settings import Settings
from core.warehouse import Warehouse
from engine.model.catalog import Catalog
from engine.run.executor import Executor
from engine.sql.statement import Column, Statement

CATALOG = Catalog({}, {}, {}, {})
SLOW = "SELECT count() AS n FROM numbers(20000000000) WHERE sipHash64(number, {salt:UInt64}) = 0"


def statement(sql: str, *, type_: str = "number", **parameters: Any) -> Statement:
    """A statement of one column."""
    return Statement(sql, parameters, (Column("n", "measure", type_, "n"),), {"join_use_nulls": 1})


class Data:
    """One growing table, and the version of what is in it."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self.version = 0

    async def create(self) -> None:
        await self.warehouse.command("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")

    async def add(self, *numbers: int) -> None:
        await self.warehouse.insert("t", ["n"], [[number] for number in numbers])
        self.version += 1


@pytest.fixture
async def data(bare_warehouse: Warehouse) -> Data:
    """An empty table."""
    made = Data(bare_warehouse)
    await made.create()
    return made


def executor(data: Data, *, told: bool = True, **settings: Any) -> Executor:
    """An executor that is told of new rows, or not."""
    version = (lambda: data.version) if told else None
    return Executor(data.warehouse, CATALOG, Settings(query_threads=2, **settings), version)


async def queries_run(warehouse: Warehouse, sql: str) -> int:
    """How many queries of that text run now."""
    rows = (await warehouse.query("SELECT query FROM system.processes")).result_rows
    return sum(sql[:40] in row[0] for row in rows)


async def test_a_second_question_is_answered_from_memory_until_the_data_changes(data: Data) -> None:
    ask = executor(data)
    count = statement("SELECT count() AS n FROM t")
    first = await ask.run(count)
    assert await ask.run(count) is first
    await data.add(1, 2, 3)
    assert (await ask.run(count)).columns == (["3"],)


async def test_without_word_of_new_data_rows_are_never_older_than_a_second(data: Data) -> None:
    ask = executor(data, told=False)
    count = statement("SELECT count() AS n FROM t")
    assert (await ask.run(count)).columns == (["0"],)
    await data.add(1)
    await asyncio.sleep(1)
    assert (await ask.run(count)).columns == (["1"],)


async def test_no_cache_asks_again(data: Data) -> None:
    ask = executor(data)
    count = statement("SELECT count() AS n FROM t")
    first = await ask.run(count)
    assert await ask.run(count, cached=False) is not first


async def test_parameters_settings_and_policy_are_part_of_the_question(data: Data) -> None:
    ask = executor(data)
    one = statement("SELECT {x:UInt8} AS n", x=1)
    others = [
        replace(one, parameters={"x": 2}),
        replace(one, policy="another caller"),
        replace(one, settings={"join_use_nulls": 0}),
    ]
    first = await ask.run(one)
    assert all([await ask.run(other) is not first for other in others])


async def test_the_same_question_at_the_same_time_runs_once(data: Data) -> None:
    ask = executor(data)
    slow = statement("SELECT sleepEachRow(0.2) AS n FROM numbers(2)")
    tables = await asyncio.gather(*(ask.run(slow) for _ in range(8)))
    assert all(table is tables[0] for table in tables)


async def test_rows_that_came_while_a_query_ran_are_in_the_next_answer(data: Data) -> None:
    ask = executor(data)
    count = statement("SELECT count() + max(sleepEachRow(0.1)) * 0 AS n FROM (SELECT n FROM t UNION ALL SELECT 9)")
    running = asyncio.create_task(ask.run(count))
    await asyncio.sleep(0.05)
    await data.add(1, 2)
    assert (await ask.run(count)).columns == (["3"],)
    await running


async def test_a_slow_question_says_wait_and_the_repeated_one_joins_it(data: Data) -> None:
    ask = executor(data)
    slow = statement("SELECT sum(sleepEachRow(0.1)) AS n FROM numbers(8)")
    with pytest.raises(ContinueWait) as wait:
        await ask.run(slow, wait=0.2)
    assert wait.value.details["stage"] == "Executing query"
    assert wait.value.details["time_elapsed"] >= 150
    assert (await ask.run(slow, wait=5)).columns == (["0"],)
    assert not ask._jobs


async def test_who_waits_in_line_is_told_his_place(data: Data) -> None:
    ask = executor(data)
    slow = [
        statement("SELECT sum(sleepEachRow(0.2)) AS n FROM numbers(4) WHERE number != {i:UInt8}", i=9 + i)
        for i in range(3)
    ]
    told = await asyncio.gather(*(ask.run(each, wait=0.2) for each in slow), return_exceptions=True)
    stages = [each.details["stage"] for each in told if isinstance(each, ContinueWait)]
    assert stages == ["Executing query", "Executing query", "#1 in queue"]
    await asyncio.gather(*(ask.run(each) for each in slow))


async def test_a_query_is_stopped_when_the_last_who_waits_goes_away(data: Data) -> None:
    ask = executor(data)
    callers = [asyncio.create_task(ask.run(statement(SLOW, salt=1))) for _ in range(2)]
    await asyncio.sleep(0.3)
    callers[0].cancel()
    await asyncio.sleep(0.3)
    assert await queries_run(data.warehouse, SLOW) == 1
    callers[1].cancel()
    async with asyncio.timeout(5):
        while await queries_run(data.warehouse, SLOW):
            await asyncio.sleep(0.05)


async def test_a_query_is_stopped_when_nobody_asks_again(data: Data) -> None:
    ask = executor(data, continue_wait_seconds=0.3)
    with pytest.raises(ContinueWait):
        await ask.run(statement(SLOW, salt=2), wait=0.1)
    assert await queries_run(data.warehouse, SLOW) == 1
    async with asyncio.timeout(5):
        while await queries_run(data.warehouse, SLOW):
            await asyncio.sleep(0.05)


async def test_a_query_ends_with_its_time(data: Data) -> None:
    ask = executor(data, query_seconds=1)
    with pytest.raises(StoreTimeout):
        await ask.run(statement(SLOW, salt=3))


async def test_a_fault_of_the_database_reaches_all_who_wait_and_is_not_kept(data: Data) -> None:
    ask = executor(data)
    wrong = statement("SELECT throwIf(count() = 0) AS n FROM t")
    found = await asyncio.gather(ask.run(wrong), ask.run(wrong), return_exceptions=True)
    assert all(isinstance(each, BadInput) for each in found)
    await data.add(1)
    assert (await ask.run(wrong)).columns == (["0"],)


async def test_a_repeated_question_gets_the_answer_it_waited_for_though_rows_keep_coming(data: Data) -> None:
    ask = executor(data)
    slow = statement(
        "SELECT count() + max(sleepEachRow(0.1)) * 0 AS n FROM (SELECT n FROM t UNION ALL SELECT * FROM numbers(6))"
    )
    asked = 0
    async with asyncio.timeout(8):
        while True:
            await data.add(asked)
            asked += 1
            try:
                table = await ask.run(slow, wait=0.15)
                break
            except ContinueWait:
                continue
    assert table.columns == (["7"],), "the rows of when it was first asked"
    assert asked > 1, "rows came while it ran"


@pytest.mark.parametrize("cached", [True, False])
async def test_an_answer_that_came_between_two_polls_is_handed_out_once(data: Data, cached: bool) -> None:
    ask = executor(data)
    slow = statement("SELECT count() + max(sleepEachRow(0.1)) * 0 AS n FROM (SELECT n FROM t UNION ALL SELECT 9)")
    with pytest.raises(ContinueWait):
        await ask.run(slow, wait=0.01, cached=cached)
    await asyncio.sleep(0.6)
    await data.add(1, 2)
    assert (await ask.run(slow, cached=cached, wait=0.01)).columns == (["1"],)
    assert (await ask.run(slow, cached=cached)).columns == (["3"],)


async def test_who_asked_may_stop_his_question_but_not_that_of_others(data: Data) -> None:
    ask = executor(data)
    slow = statement(SLOW, salt=77)
    shared = [asyncio.create_task(ask.run(slow, requester=name)) for name in ("one", "other")]
    while not await queries_run(data.warehouse, SLOW):
        await asyncio.sleep(0.05)
    assert ask.cancel("nobody") == 0
    assert ask.cancel("one") == 0, "the other still wants it"
    assert ask.cancel("other") == 1
    for task in shared:
        with pytest.raises(Cancelled):
            await asyncio.wait_for(task, 10)
    assert not await queries_run(data.warehouse, SLOW)


async def test_a_question_that_waits_in_line_can_be_stopped(data: Data) -> None:
    ask = executor(data)
    busy = [asyncio.create_task(ask.run(statement(SLOW, salt=salt), requester=salt)) for salt in (1, 2)]
    await asyncio.sleep(0.2)
    waiting = asyncio.create_task(ask.run(statement(SLOW, salt=3), requester="waiting"))
    await asyncio.sleep(0.1)
    assert ask.cancel("waiting") == 1
    with pytest.raises(Cancelled):
        await asyncio.wait_for(waiting, 2)
    assert [ask.cancel(salt) for salt in (1, 2)] == [1, 1]
    assert all(isinstance(each, Cancelled) for each in await asyncio.gather(*busy, return_exceptions=True))
