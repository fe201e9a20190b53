"""OrionBelt: OBML in YAML, a query object, the ClickHouse dialect."""

from __future__ import annotations

from typing import Any

from benchmarks.adapters.meter import COLUMNS, Ask, measure

_COLUMN = "      {name}: {{code: {name}, abstractType: string}}\n"
_DIMENSION = "  {name}: {{dataObject: Students, column: {name}, resultType: string}}\n"
_MODEL = """
version: 1.0
dataObjects:
  Answers:
    code: answers
    database: edu
    schema: edu
    columns:
      answer_id: {{code: id, abstractType: int, primaryKey: true}}
      student_id: {{code: student_id, abstractType: int}}
      seconds: {{code: seconds, abstractType: int}}
      answered_at: {{code: answered_at, abstractType: timestamp}}
    joins:
      - {{joinType: many-to-one, joinTo: Students, columnsFrom: [student_id], columnsTo: [student_key]}}
  Students:
    code: students
    database: edu
    schema: edu
    columns:
      student_key: {{code: id, abstractType: int, primaryKey: true}}
{columns}
dimensions:
  seconds: {{dataObject: Answers, column: seconds, resultType: int}}
  month: {{dataObject: Answers, column: answered_at, resultType: timestamp, timeGrain: month}}
{dimensions}
measures:
  count: {{columns: [{{dataObject: Answers, column: answer_id}}], resultType: int, aggregation: count}}
  mean_seconds: {{columns: [{{dataObject: Answers, column: seconds}}], resultType: float, aggregation: avg}}
"""


def imports() -> Any:
    """The model store and the query object."""
    from orionbelt.models.query import QueryObject
    from orionbelt.service.model_store import ModelStore

    return ModelStore, QueryObject


def load(modules: Any) -> dict[str, Ask]:
    """One line."""
    model_store, query_object = modules
    store = model_store()
    columns = "".join(_COLUMN.format(name=name) for name in COLUMNS)
    dimensions = "".join(_DIMENSION.format(name=name) for name in COLUMNS)
    model = store.load_model(_MODEL.format(columns=columns, dimensions=dimensions)).model_id

    def ask(seconds: int) -> str:
        query = query_object.model_validate(
            {
                "select": {"dimensions": ["grade", "house", "month"], "measures": ["count", "mean_seconds"]},
                "where": [{"field": "seconds", "op": "gt", "value": seconds}],
            }
        )
        return str(store.compile_query(model, query, "clickhouse").sql)

    return {"distinct question": ask}


if __name__ == "__main__":
    measure(imports, load)
