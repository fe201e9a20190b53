"""Random questions over any catalog: members of a view, or of a cube and what it joins."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from engine.model.catalog import Catalog, Cube, View

Json = dict[str, Any]
MayAsk = Callable[[str], bool]
_CONTENT = ("quizzes", "questions", "quiz_questions", "question_skills")
_TEXTS = ["A", "history", "1", "Quiz", "student", "recall", "live"]
_NUMBERS = ["1", "2", "101", "110", "120", "0.5"]
_TIMES = ["2025-10-25", "2025-11-10"]


def draw_question(random: Random, catalog: Catalog, may_ask: MayAsk) -> Json | None:
    """A query of members that somebody may ask for; None where he may ask for nothing of what was drawn."""
    content = [cube for name, cube in catalog.cubes.items() if name in _CONTENT]
    owners: list[Cube | View] = [*catalog.cubes.values(), *content * 2, *catalog.views.values()]
    owner = random.choice(owners)
    around: list[Cube | View] = [owner, *(_around(catalog, owner) if isinstance(owner, Cube) else [])]
    dims = [name for each in around for name in _public(each, "dimensions") if may_ask(name)]
    measures = [name for name in _public(owner, "measures") if may_ask(name)]
    segments = [name for each in around for name in _public(each, "segments") if may_ask(name)]
    if not dims or not measures:
        return None
    query: Json = {
        "measures": random.sample(measures, random.choice([0, 1, 1, 2]) if len(measures) > 1 else 1),
        "dimensions": random.sample(dims, min(len(dims), random.choice([0, 1, 1, 2, 3]))),
        "order": [],
    }
    times = [name for name in dims if _type(catalog, name) == "time"]
    if times and random.random() < 0.4:
        grain = random.choice(["day", "month", None])
        query["timeDimensions"] = [
            {"dimension": random.choice(times)} | ({"granularity": grain} if grain else {"dateRange": _TIMES})
        ]
    filters = [_filter(random, catalog, random.choice(dims)) for _ in range(random.choice([0, 0, 1, 2]))]
    query["filters"] = [{"or": filters}] if len(filters) == 2 and random.random() < 0.5 else filters
    if segments and random.random() < 0.2:
        query["segments"] = [random.choice(segments)]
    if not query["measures"] and not query["dimensions"]:
        query["measures"] = measures[:1]
    return query


def _around(catalog: Catalog, cube: Cube) -> list[Cube]:
    found = [cube.name]
    for here in found:
        found += [name for name in catalog.cubes[here].joins if name not in found]
    return [catalog.cubes[name] for name in found[1:]]


def _public(owner: Cube | View, kind: str) -> list[str]:
    return [each.full_name for each in getattr(owner, kind).values() if each.shown.public]


def _type(catalog: Catalog, name: str) -> str:
    return str(getattr(catalog.primitive(name), "type", ""))


def _filter(random: Random, catalog: Catalog, name: str) -> Json:
    kind = _type(catalog, name)
    if random.random() < 0.2:
        return {"member": name, "operator": random.choice(["set", "notSet"])}
    if kind == "time":
        return {
            "member": name,
            "operator": random.choice(["afterDate", "beforeDate"]),
            "values": [random.choice(_TIMES)],
        }
    if kind == "boolean":
        return {"member": name, "operator": "equals", "values": [random.choice(["true", "false"])]}
    if kind == "number":
        operator = random.choice(["equals", "notEquals", "gt", "lte"])
        return {"member": name, "operator": operator, "values": [random.choice(_NUMBERS)]}
    return {
        "member": name,
        "operator": random.choice(["contains", "notContains", "startsWith"]),
        "values": [random.choice(_TEXTS)],
    }
