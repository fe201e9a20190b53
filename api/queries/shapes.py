"""The bodies of Cube's answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from core.errors import InvalidQuery
from engine.plan.rollups.matching import Match
from engine.query.normalisation import REGULAR, Request
from engine.query.request import Query
from engine.run.cost import Cost
from engine.run.engine import Answer, Checked
from engine.run.result import Result
from engine.sql.statement import Statement

Json = dict[str, Any]
_COUNTED = ("rows", "bytes", "parts", "marks")
_UNBUILT = "It is not built: the answer comes from the raw tables."


def load_body(answer: Answer, *, multi: bool) -> Json:
    """The answer to /load; a client that does not ask for `multi` gets the one result without its wrapping."""
    results = [_result(result) for result in answer.results]
    if multi:
        return {
            "queryType": answer.request.type,
            "results": results,
            "pivotQuery": answer.request.pivot,
            "slowQuery": False,
        }
    check_single(answer.request)
    return results[0]


def check_single(request: Request) -> None:
    """Refuse several queries of a client that reads one result."""
    if request.type != REGULAR:
        raise InvalidQuery(
            f"'{request.type}' query type is not supported by the client.Please update the client.",
            hint="Send queryType=multi.",
        )


def _result(result: Result) -> Json:
    return {
        "query": result.echo,
        "lastRefreshTime": iso(result.table.refreshed),
        "annotation": result.annotation,
        "dataSource": "default",
        "dbType": "clickhouse",
        "external": False,
        "slowQuery": False,
        **({} if result.total is None else {"total": result.total}),
        "data": result.data(),
    }


def iso(moment: datetime) -> str:
    """The moment in UTC as Cube writes it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"


def sql_body(statements: Sequence[Statement], request: Request) -> Any:
    """The answer to /sql: one object, or a list of them for several queries."""
    bodies = [_sql(statement, query) for statement, query in zip(statements, request.queries, strict=True)]
    return bodies[0] if request.type == REGULAR else bodies


def _sql(statement: Statement, query: Query) -> Json:
    time = next((each for each in query.time_dimensions if each.granularity), None)
    names = {column.alias: column.member for column in statement.columns}
    body: Json = {
        "sql": [statement.sql, list(statement.parameters.values())],
        "parameters": dict(statement.parameters),
        "order": query_order(query),
        "aliasNameToMember": names,
        "memberNames": list(dict.fromkeys(column.member for column in statement.columns)),
        "dataSource": "default",
        "external": False,
        "cacheKeyQueries": [],
        "preAggregations": [],
        "lambdaQueries": {},
        "canUseTransformedQuery": transformed(query),
    }
    if time is not None:
        member = f"{time.dimension}.{time.granularity}"
        body["timeDimensionAlias"] = next((alias for alias, name in names.items() if name == member), None)
        body["timeDimensionField"] = time.dimension
    return {"sql": body, "dataSource": "default"}


def dry_run_body(request: Request, checked: Sequence[Checked]) -> Json:
    """The answer to /dry-run: the queries as they were understood, their cost, the rollups which could serve them."""
    return {
        "queryType": request.type,
        "normalizedQueries": [
            {**echo, "cacheMode": request.cache, "queryType": request.type} for echo in request.echoes
        ],
        "queryOrder": [query_order(query) for query in request.queries],
        "transformedQueries": [transformed(query) for query in request.queries],
        "pivotQuery": {**request.pivot, "cacheMode": request.cache},
        "cost": _cost([each.cost for each in checked]),
        "rollups": [_rollup(index, match) for index, each in enumerate(checked) for match in each.rollups],
        "usedPreAggregations": {},
    }


def _cost(costs: Sequence[Cost]) -> Json:
    """The sum, and query by query which tables; `problem` says why something is not known."""
    told = [
        {
            **{what: cost.total(what) for what in _COUNTED},
            "tables": [asdict(table) for table in cost.tables],
            **({} if cost.problem is None else {"problem": cost.problem}),
        }
        for cost in costs
    ]
    return {**{what: sum(cost.total(what) for cost in costs) for what in _COUNTED}, "queries": told}


def _rollup(query: int, match: Match) -> Json:
    """No rollup table is built in this version: what matches is told, and that the raw tables answer all the same."""
    reason = f"{match.reason} {_UNBUILT}" if match.matches else match.reason
    rollup = match.rollup
    return {
        "name": rollup.full_name,
        "type": rollup.type,
        "query": query,
        "matches": match.matches,
        "preferred": match.preferred,
        "built": False,
        "reason": reason,
        **({"notes": list(rollup.notes)} if rollup.notes else {}),
    }


def query_order(query: Query) -> dict[str, str]:
    """The order of the rows; where the query names none: by time, else by the first measure, else by a dimension."""
    if query.order is not None:
        return {each.member: "desc" if each.desc else "asc" for each in query.order}
    time = next((each.dimension for each in query.time_dimensions if each.granularity), None)
    if time is not None:
        return {time: "asc"}
    if query.measures and query.dimensions:
        return {query.measures[0]: "desc"}
    return {query.dimensions[0]: "asc"} if query.dimensions else {}


def transformed(query: Query) -> Json:
    """What a rollup would have to offer to serve the query."""
    times = sorted([time.dimension, time.granularity] for time in query.time_dimensions if time.granularity)
    return {
        "sortedDimensions": sorted(query.dimensions),
        "sortedTimeDimensions": times,
        "timeDimensions": times,
        "measures": list(query.measures),
        "hasNoTimeDimensionsWithoutGranularity": all(time.granularity for time in query.time_dimensions),
    }
