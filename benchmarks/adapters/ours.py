"""EduAnalytics, JSON in and checked SQL out: a new shape with each call, and a known shape with a new literal."""

from __future__ import annotations

from itertools import permutations
from typing import Any

from benchmarks.adapters.meter import COLUMNS, Ask, measure

_COLUMNS = (*COLUMNS, *(f"trait_{number}" for number in range(14)))
_MODEL = """
cubes:
  - name: answers
    sql_table: answers
    joins:
      - {name: students, relationship: many_to_one, sql: "{CUBE}.student_id = {students}.id"}
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: seconds, sql: seconds, type: number}
      - {name: answered_at, sql: answered_at, type: time}
    measures:
      - {name: count, type: count}
      - {name: mean_seconds, sql: seconds, type: avg}
  - name: students
    sql_table: students
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
"""


def imports() -> Any:
    """The engine."""
    import engine
    from core.clock import now
    from engine.query.normalisation import normalize

    return engine, normalize, now


def load(modules: Any) -> dict[str, Ask]:
    """Two lines; 240 pairs of columns are 240 shapes."""
    engine, normalize, now = modules
    columns = "".join(f"      - {{name: {name}, sql: {name}, type: string}}\n" for name in _COLUMNS)
    catalog = engine.model.load_texts({"star.yml": _MODEL + columns})
    context = engine.SecurityContext(groups=frozenset(), attributes={})
    pairs = permutations(_COLUMNS, 2)

    def ask(seconds: int, pair: tuple[str, ...]) -> str:
        payload = {
            "measures": ["answers.count", "answers.mean_seconds"],
            "dimensions": [f"students.{name}" for name in pair],
            "timeDimensions": [{"dimension": "answers.answered_at", "granularity": "month"}],
            "filters": [{"member": "answers.seconds", "operator": "gt", "values": [str(seconds)]}],
        }
        query = normalize(payload, now=now(), default_time_zone="UTC").queries[0]
        statement = engine.compile_query(catalog, query, context)
        return f"{statement.sql} {statement.parameters}"

    return {
        "distinct question": lambda seconds: ask(seconds, next(pairs)),
        "known shape, new literal": lambda seconds: ask(seconds, COLUMNS),
    }


if __name__ == "__main__":
    measure(imports, load)
