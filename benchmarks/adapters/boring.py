"""boring-semantic-layer: Ibis tables without a connection, ClickHouse SQL."""

from __future__ import annotations

from typing import Any

from benchmarks.adapters.meter import COLUMNS, Ask, measure


def imports() -> Any:
    """Ibis and the layer."""
    import boring_semantic_layer
    import ibis

    return ibis, boring_semantic_layer


def load(modules: Any) -> dict[str, Ask]:
    """One line."""
    ibis, layer = modules
    fact = {"id": "int64", "student_id": "int64", "seconds": "int64", "answered_at": "timestamp"}
    students = layer.to_semantic_table(
        ibis.table({"id": "int64", **dict.fromkeys(COLUMNS, "string")}, name="students"), name="students"
    ).with_dimensions(**{name: (lambda table, name=name: table[name]) for name in COLUMNS})
    answers = (
        layer.to_semantic_table(ibis.table(fact, name="answers"), name="answers")
        .with_dimensions(
            seconds=lambda table: table.seconds,
            answered_at={
                "expr": lambda table: table.answered_at,
                "is_time_dimension": True,
                "smallest_time_grain": "TIME_GRAIN_DAY",
            },
        )
        .with_measures(count=lambda table: table.count(), mean_seconds=lambda table: table.seconds.mean())
        .join_one(students, lambda left, right: left.student_id == right.id)
    )

    def ask(seconds: int) -> str:
        question = answers.query(
            dimensions=["students.grade", "students.house", "answers.answered_at"],
            measures=["answers.count", "answers.mean_seconds"],
            filters=[{"field": "answers.seconds", "operator": ">", "value": seconds}],
            time_grain="TIME_GRAIN_MONTH",
        )
        return str(ibis.to_sql(question.to_untagged(), dialect="clickhouse"))

    return {"distinct question": ask}


if __name__ == "__main__":
    measure(imports, load)
