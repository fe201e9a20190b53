"""sidemantic: models as objects, the ClickHouse dialect, its Python engine (which is faster than its Rust bridge)."""

from __future__ import annotations

from typing import Any

from benchmarks.adapters.meter import COLUMNS, Ask, measure


def imports() -> Any:
    """The layer and its parts."""
    import sidemantic

    return sidemantic, sidemantic.SemanticLayer


def load(modules: Any) -> dict[str, Ask]:
    """One line."""
    side, layer_class = modules
    layer = layer_class(dialect="clickhouse", auto_register=False)
    layer.add_model(_answers(side))
    columns = [side.Dimension(name=name, type="categorical", sql=name) for name in COLUMNS]
    layer.add_model(side.Model(name="students", table="students", primary_key="id", dimensions=columns))

    def ask(seconds: int) -> str:
        sql = layer.compile(
            metrics=["answers.count", "answers.mean_seconds"],
            dimensions=["students.grade", "students.house", "answers.answered_at__month"],
            filters=[f"answers.seconds > {seconds}"],
        )
        return str(sql)

    return {"distinct question": ask}


def _answers(side: Any) -> Any:
    return side.Model(
        name="answers",
        table="answers",
        primary_key="id",
        relationships=[side.Relationship(name="students", type="many_to_one", foreign_key="student_id")],
        dimensions=[
            side.Dimension(name="seconds", type="numeric", sql="seconds"),
            side.Dimension(name="answered_at", type="time", granularity="day", sql="answered_at"),
        ],
        metrics=[
            side.Metric(name="count", agg="count"),
            side.Metric(name="mean_seconds", agg="avg", sql="seconds"),
        ],
    )


if __name__ == "__main__":
    measure(imports, load)
