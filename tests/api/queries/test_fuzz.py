"""Whatever is asked over the models of the product is answered, or refused by an error of ours with a code.

The tables are there: what is accepted is run, so that no SQL leaves which ClickHouse cannot read.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from api.queries.refusals import refusal_body
from core.errors import EduError, RefusedByStore
from core.settings import Settings
from core.tables import create_tables
from core.warehouse import Warehouse
from engine.model import Catalog, load_catalog, load_texts
from engine.query.access import SecurityContext
from engine.run.engine import Engine
from engine.run.executor import Executor
from tests.api.queries.asking import Questions

MODELS = Path(__file__).resolve().parents[3] / "semantic_models"
CATALOG = load_catalog(MODELS)
RICH = load_texts({"rich.yml": (Path(__file__).parent / "rich.yml").read_text(encoding="utf-8")}, strict=True)
_OPERATOR = SecurityContext(frozenset({"operator"}))
CALLERS = [
    *[_OPERATOR] * 4,
    SecurityContext(
        frozenset({"teacher"}),
        {"user_id": 7, "school_id": 1, "school_ids": [1], "classroom_ids": [1, 2], "student_ids": [3]},
    ),
    SecurityContext(frozenset({"student"}), {"user_id": 3, "school_id": 1, "school_ids": [1], "student_ids": [3]}),
    SecurityContext(),
]
_databases = count(1)


class Asked:
    """An engine over empty tables, and a loop to ask it in."""

    def __init__(self, warehouse: Warehouse, catalog: Catalog) -> None:
        self.runner = asyncio.Runner()
        self.runner.run(create_tables(warehouse))
        options = Settings(query_threads=2)
        self.engine = Engine(catalog, Executor(warehouse, catalog, options), options)

    def __repr__(self) -> str:
        return "an engine"

    def load(self, payload: Any, context: SecurityContext) -> Any:
        """The answer, with its rows written out."""
        answer = self.runner.run(self.engine.load(payload, context))
        return [result.data() for result in answer.results]


@pytest.fixture(scope="module")
def asked(clickhouse_folder: Path) -> Iterator[Asked]:
    """The product's models over empty tables."""
    yield from _asked(clickhouse_folder, CATALOG)


@pytest.fixture(scope="module")
def rich(clickhouse_folder: Path) -> Iterator[Asked]:
    """A model with every kind of member, over tables made of numbers."""
    yield from _asked(clickhouse_folder, RICH)


def _asked(folder: Path, catalog: Catalog) -> Iterator[Asked]:
    warehouse = Warehouse(f"chdb://{folder}?database=fuzz_{next(_databases)}", threads=2)
    made = Asked(warehouse, catalog)
    yield made
    made.runner.close()
    warehouse.close()


def check(payload: Any, context: SecurityContext, asked: Asked) -> str:
    """Answered, or the code of the refusal: it is the caller's fault, and was not left to ClickHouse."""
    try:
        asked.load(payload, context)
    except EduError as error:
        body = refusal_body(error)
        assert 400 <= error.status < 500, body
        assert body["error"] and body["code"]
        assert body["code"] != RefusedByStore.code, body
        return error.code
    return "answered"


def check_many(questions: Questions, callers: list[SecurityContext], asked: Asked) -> None:
    """Three hundred questions; each may be asked again from what a failure notes."""
    told: Counter[str] = Counter()
    for _ in range(300):
        payload, context = questions.payload(), questions.pick(callers)
        try:
            told[check(payload, context, asked)] += 1
        except BaseException as error:
            error.add_note(f"asked {payload!r} by {context!r}")
            raise
    assert told["answered"] > 90, "the questions are good enough to be answered"
    assert len(told) > 4, "and bad enough to be refused for many reasons"


@pytest.mark.parametrize("seed", range(8))
def test_any_question_is_answered_or_refused(seed: int, asked: Asked) -> None:
    check_many(Questions(CATALOG, Random(seed)), CALLERS, asked)


@pytest.mark.parametrize("seed", range(100, 104))
def test_any_question_of_every_kind_is_answered_or_refused(seed: int, rich: Asked) -> None:
    check_many(Questions(RICH, Random(seed)), [SecurityContext()], rich)


@pytest.mark.nightly
@settings(max_examples=20_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(seed=st.integers(0, 2**32), context=st.sampled_from(CALLERS))
def test_any_question_is_answered_or_refused_all_night(seed: int, context: SecurityContext, asked: Asked) -> None:
    payload = Questions(CATALOG, Random(seed)).payload()
    note(repr(payload))
    check(payload, context, asked)
