"""MetricFlow: a semantic manifest from YAML, its engine's explain; DuckDB SQL, for it has no ClickHouse."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.adapters.meter import COLUMNS, Ask, measure

_MODEL = """
semantic_model:
  name: answers
  node_relation: {{schema_name: edu, alias: answers}}
  defaults: {{agg_time_dimension: answered_at}}
  entities:
    - {{name: answer, type: primary, expr: id}}
    - {{name: student, type: foreign, expr: student_id}}
  dimensions:
    - {{name: answered_at, type: time, type_params: {{time_granularity: day}}}}
    - {{name: seconds, type: categorical}}
  measures:
    - {{name: count, expr: "1", agg: sum, create_metric: true}}
    - {{name: mean_seconds, expr: seconds, agg: average, create_metric: true}}
---
semantic_model:
  name: students
  node_relation: {{schema_name: edu, alias: students}}
  entities:
    - {{name: student, type: primary, expr: id}}
  dimensions:
{dimensions}
---
project_configuration:
  time_spines:
    - node_relation: {{alias: days, schema_name: edu}}
      primary_column: {{name: day, time_granularity: day}}
"""


def imports() -> Any:
    """The engine and what it needs."""
    from metricflow.engine.metricflow_engine import MetricFlowEngine, MetricFlowQueryRequest
    from metricflow.protocols.sql_client import SqlEngine
    from metricflow.sql.render.duckdb_renderer import DuckDbSqlPlanRenderer
    from metricflow_semantic_interfaces.parsing.dir_to_model import (
        parse_directory_of_yaml_files_to_semantic_manifest,
    )
    from metricflow_semantics.model.semantic_manifest_lookup import SemanticManifestLookup

    return SimpleNamespace(
        engine=MetricFlowEngine,
        request=MetricFlowQueryRequest,
        parse=parse_directory_of_yaml_files_to_semantic_manifest,
        lookup=SemanticManifestLookup,
        client=SimpleNamespace(sql_engine_type=SqlEngine.DUCKDB, sql_plan_renderer=DuckDbSqlPlanRenderer()),
    )


def load(modules: Any) -> dict[str, Ask]:
    """One line."""
    dimensions = "\n".join(f"    - {{name: {name}, type: categorical}}" for name in COLUMNS)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "star.yaml").write_text(_MODEL.format(dimensions=dimensions))
        manifest = modules.parse(folder).semantic_manifest
    engine = modules.engine(modules.lookup(manifest), modules.client)

    def ask(seconds: int) -> str:
        request = modules.request.create(
            metric_names=["count", "mean_seconds"],
            group_by_names=["student__grade", "student__house", "metric_time__month"],
            where_constraints=[f"{{{{ Dimension('answer__seconds') }}}} > {seconds}"],
        )
        return str(engine.explain(request).sql_statement.sql)

    return {"distinct question": ask}


if __name__ == "__main__":
    measure(imports, load)
