"""How cubes and their members are made: what `/meta?extended` adds, for administrators and operators only."""

from __future__ import annotations

from typing import Any

from engine.model.catalog import Case, Cube, Dimension, Join, Measure, Segment, View, ViewMember
from engine.model.rollups import Named, Rollup
from engine.model.stages import Stage
from engine.model.terms import Sql
from engine.query.access import SecurityContext

Json = dict[str, Any]
_MAY_SEE = frozenset({"admin", "operator"})


def may_see_definitions(context: SecurityContext) -> bool:
    """Whether the caller may see SQL, files and rollups; everybody else gets the plain answer."""
    return bool(context.groups & _MAY_SEE)


def owner_definition(owner: Cube | View) -> Json:
    """File, SQL, joins, refresh key and rollups of a cube; of a view its file and how it is refreshed."""
    told: Json = {"fileName": owner.source.file, "refreshKey": owner.extra.get("refresh_key")}
    if isinstance(owner, Cube):
        told |= {
            "sql": owner.sql.text if owner.sql else None,
            "sqlTable": owner.table,
            "sqlAlias": owner.alias if owner.alias != owner.name else None,
            "dataSource": owner.data_source,
            "calendar": owner.extra.get("calendar"),
            "joins": [_join(each) for each in owner.joins.values()],
            "preAggregations": [_rollup(each) for each in owner.rollups.values()],
        }
    return _given(told)


def member_definition(each: Measure | Dimension | Segment | ViewMember) -> Json:
    """The SQL of a member and what else makes its value; of a view's member the path to its cube."""
    if isinstance(each, ViewMember):
        return {"joinPath": ".".join(each.path)}
    told: Json = {"sql": _text(each.sql)}
    if isinstance(each, Measure):
        told["filters"] = [{"sql": one.text} for one in each.filters] or None
        told["drillFilters"] = [{"sql": one.text} for one in each.drill_filters] or None
        told |= {"rollingWindow": each.extra.get("rolling_window"), "case": _case(each.case), **_stage(each.stage)}
    elif isinstance(each, Dimension):
        told |= {"case": _case(each.case), "subQuery": each.sub_query or None}
        told |= {"latitude": _nested(each.latitude), "longitude": _nested(each.longitude)}
        told |= {"propagateFiltersToSubQuery": each.propagate_filters or None, **_stage(each.stage)}
    return _given(told)


def _join(each: Join) -> Json:
    return {"name": each.name, "relationship": each.relationship, "sql": each.sql.text}


def _rollup(each: Rollup) -> Json:
    times = [{"dimension": time.dimension.full_name, "granularity": time.granularity} for time in each.times]
    return _given(
        {
            "name": each.name,
            "type": each.type,
            "measures": _names(each.measures),
            "dimensions": _names(each.dimensions),
            "segments": _names(each.segments),
            "timeDimensions": times or None,
            "rollups": list(each.rollups) or None,
            "allowNonStrictDateRangeMatch": each.non_strict or None,
            "notes": list(each.notes) or None,
            **{_camel(key): value for key, value in each.extra.items()},
        }
    )


def _stage(stage: Stage | None) -> Json:
    if stage is None:
        return {}
    return {
        "multiStage": True,
        "groupBy": None if stage.keep is None else list(stage.keep),
        "reduceBy": list(stage.exclude) or None,
        "addGroupBy": list(stage.include) or None,
        "orderBy": [{"sql": sql.text, "dir": "desc" if desc else "asc"} for sql, desc in stage.order] or None,
    }


def _names(members: tuple[Named, ...]) -> list[str] | None:
    return [each.full_name for each in members] or None


def _case(case: Case | None) -> Json | None:
    if case is None:
        return None
    otherwise = {"label": _label(case.otherwise)} if case.otherwise is not None else None
    when = [_branch(condition, label) for condition, label in case.when]
    return _given({"switch": _text(case.switch), "when": when, "else": otherwise})


def _branch(condition: str | Sql, label: str | Sql) -> Json:
    key = {"sql": condition.text} if isinstance(condition, Sql) else {"value": condition}
    return key | {"label": _label(label)}


def _label(label: str | Sql | None) -> Any:
    return {"sql": label.text} if isinstance(label, Sql) else label


def _nested(sql: Sql | None) -> Json | None:
    return {"sql": sql.text} if sql is not None else None


def _text(sql: Sql | None) -> str | None:
    return sql.text if sql is not None else None


def _given(told: Json) -> Json:
    return {key: value for key, value in told.items() if value is not None}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)
