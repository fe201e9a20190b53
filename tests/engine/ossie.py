"""Apache Ossie's models and queries in our format: predicates become segments, expressions measures and dimensions."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import sqlglot
import yaml
from sqlglot import exp

Entry = dict[str, Any]
_ALIAS = re.compile(r"(?is)^(.*\S)\s+AS\s+(\w+)\s*$")
_TYPES: dict[type[exp.Expr], str] = {
    exp.Sum: "sum",
    exp.Avg: "avg",
    exp.Min: "min",
    exp.Max: "max",
    exp.Count: "count",
}


@dataclass
class Ossie:
    """A model of Ossie's that grows cubes, and the query over them."""

    cubes: dict[str, Entry] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)
    made: int = 0

    # --- the model --------------------------------------------------------------------------------------------------

    def declare(self, model: Entry) -> None:
        """Datasets, relationships, fields and metrics of a model or of an addition to it."""
        for dataset in model.get("datasets") or ():
            self._dataset(dataset)
        bridges = {each["name"] for each in model.get("datasets") or () if each.get("role") == "bridge"}
        for edge in model.get("relationships") or ():
            self.cubes[edge["from"]]["joins"].append(_join(edge))
            if edge["from"] in bridges:
                self.cubes[edge["to"]]["joins"].append(_backwards(edge))
        for each in model.get("fields") or ():
            self._field(each["dataset"], each["name"], each["expression"])
        for each in model.get("metrics") or ():
            self.metrics[each["name"]] = each["expression"]

    def _dataset(self, dataset: Entry) -> None:
        keys = dataset.get("primary_key") or []
        names = [each["name"] if isinstance(each, dict) else each for each in dataset.get("fields") or ()]
        self.cubes[dataset["name"]] = {
            "name": dataset["name"],
            "sql_table": dataset["name"],
            "joins": [],
            "dimensions": [
                {"name": each, "sql": each, "type": "string", "primary_key": each in keys, "public": True}
                for each in names
            ],
            "measures": [],
            "segments": [],
        }

    def _field(self, cube: str, name: str, expression: str) -> str:
        """A field of a dataset; one with a window function is a column of the cube's SELECT."""
        tree = sqlglot.parse_one(expression)
        entry = {"name": name, "type": "string", "sql": _referenced(tree, cube), "public": True}
        if tree.find(exp.Window):
            plain = tree.transform(lambda node: exp.column(node.name) if isinstance(node, exp.Column) else node)
            table = self.cubes[cube].pop("sql_table")
            self.cubes[cube]["sql"] = f"SELECT *, {plain.sql('clickhouse')} AS {name} FROM {table} AS t"
            entry["sql"] = name
        self.cubes[cube]["dimensions"].append(entry)
        return f"{cube}.{name}"

    def text(self) -> str:
        """The model as a file."""
        return yaml.safe_dump({"cubes": list(self.cubes.values())}, sort_keys=False)

    # --- the query --------------------------------------------------------------------------------------------------

    def query(self, asked: Entry) -> Entry:
        """`Fields` is a query without groups; `Where` are segments, or conditions on measures where they aggregate."""
        names = [self._dimension(each) for each in _listed(asked.get("Dimensions", asked.get("Fields")))]
        measures = [self._measure(each, names) for each in _listed(asked.get("Measures"))]
        segments: list[str] = []
        filters: list[Entry] = []
        for text in [*_listed(asked.get("Where")), *_listed(asked.get("Having"))]:
            self._where(text, segments, filters, names)
        return {
            "measures": measures,
            "dimensions": names,
            "segments": segments,
            "filters": filters,
            "ungrouped": "Fields" in asked,
            "order": [_order(each) for each in _listed(asked.get("Order By"))],
            **({"limit": asked["Limit"]} if asked.get("Limit") is not None else {}),
        }

    def _dimension(self, text: str) -> str:
        if re.fullmatch(r"\w+(\.\w+)?", text):
            return self._metric_name(text)
        expression, name = _aliased(text, f"made_{self._number()}")
        return self._field(_home(sqlglot.parse_one(expression)), name, expression)

    def _metric_name(self, name: str) -> str:
        """A name in a list of fields; a metric's leads to its measure, which the engine is to refuse there."""
        return self._measure(name, []) if name in self.metrics else name

    def _measure(self, text: str, dimensions: list[str]) -> str:
        if text in self.metrics:
            owner, _, name = text.rpartition(".")
            tree = sqlglot.parse_one(self.metrics[text])
            return self._made(tree, name, dimensions, owner or _home(tree))
        expression, name = _aliased(text, f"made_{self._number()}")
        tree = sqlglot.parse_one(expression)
        return self._made(tree, name, dimensions, None)

    def _made(self, tree: exp.Expr, name: str, dimensions: list[str], owner: str | None) -> str:
        """An aggregate as a typed measure, one of another as two stages, anything else as a formula."""
        aggregate = tree if isinstance(tree, exp.AggFunc) else None
        if aggregate is None:
            for each in list(tree.find_all(exp.AggFunc)):
                if each.find_ancestor(exp.AggFunc) is None:
                    inner = self._made(each.copy(), f"made_{self._number()}", dimensions, owner)
                    each.replace(exp.Placeholder(this=inner))
            return self._add(_home(tree, owner), {"name": name, "type": "number", "sql": _referenced(tree, "")})
        value = aggregate.this
        if isinstance(value, exp.AggFunc):
            return self._staged(aggregate, value, name, dimensions, owner)
        distinct = isinstance(value, exp.Distinct)
        value = value.expressions[0] if distinct else value
        kind = "count_distinct" if distinct else _TYPES[type(aggregate)]
        cube = _home(value, owner)
        entry = {"name": name, "type": kind}
        return self._add(cube, entry if isinstance(value, exp.Star) else entry | {"sql": _referenced(value, cube)})

    def _staged(self, outer: exp.Expr, inner: exp.Expr, name: str, dimensions: list[str], owner: str | None) -> str:
        """`AVG(AVG(x))`: once for each row of the metric's dataset, or of the dataset that is grouped by."""
        grain = owner or dimensions[0].partition(".")[0]
        keys = [f"{grain}.{each['name']}" for each in self.cubes[grain]["dimensions"] if each.get("primary_key")]
        made = self._made(inner.copy(), f"{name}_each", dimensions, None)
        stage = {"multi_stage": True, "type": _TYPES[type(outer)], "sql": f"{{{made}}}", "add_group_by": keys}
        return self._add(made.partition(".")[0], {"name": name} | stage)

    def _add(self, cube: str, entry: Entry) -> str:
        self.cubes[cube]["measures"].append(entry)
        return f"{cube}.{entry['name']}"

    def _where(self, text: str, segments: list[str], filters: list[Entry], dimensions: list[str]) -> None:
        tree = sqlglot.parse_one(text)
        name = f"where_{self._number()}"
        if tree.find(exp.AggFunc) and not tree.find(exp.Window):
            made = self._made(exp.Paren(this=tree), name, dimensions, None)
            self.cubes[made.partition(".")[0]]["measures"][-1]["type"] = "boolean"
            filters.append({"member": made, "operator": "equals", "values": ["true"]})
            return
        cube = _home(tree)
        self.cubes[cube]["segments"].append({"name": name, "sql": _referenced(tree, cube)})
        segments.append(f"{cube}.{name}")

    def _number(self) -> int:
        self.made += 1
        return self.made


def _referenced(tree: exp.Expr, cube: str) -> str:
    """The SQL with every `dataset.field` as a reference of ours."""
    columns = {node.sql(): f"{{{node.table or cube}.{node.name}}}" for node in tree.find_all(exp.Column)}
    text = tree.transform(
        lambda node: exp.Var(this=f"{{{node.name}}}") if isinstance(node, exp.Placeholder) else node
    ).sql("clickhouse")
    for column, reference in columns.items():
        text = re.sub(rf"(?<![\w.{{]){re.escape(column)}(?![\w}}])", reference, text)
    return text


def _home(tree: exp.Expr, default: str | None = None) -> str:
    """The dataset of the first column or measure of an expression."""
    for node in tree.walk():
        if isinstance(node, exp.Column) and node.table:
            return str(node.table)
        if isinstance(node, exp.Placeholder):
            return str(node.name.partition(".")[0])
    return default or ""


def _join(edge: Entry) -> Entry:
    left, right = (edge.get(f"{side}_columns") or edge[f"{side}_keys"] for side in ("from", "to"))
    pairs = zip(left, right, strict=True)
    on = " AND ".join(f"{{CUBE}}.{one} = {{{edge['to']}}}.{other}" for one, other in pairs)
    return {"name": edge["to"], "relationship": "many_to_one", "sql": on}


def _backwards(edge: Entry) -> Entry:
    """A bridge is crossed from either end."""
    left, right = ("from_columns", "to_columns")
    turned = edge | {"from": edge["to"], "to": edge["from"], left: edge[right], right: edge[left]}
    return _join(turned) | {"relationship": "one_to_many"}


def _aliased(text: str, name: str) -> tuple[str, str]:
    found = _ALIAS.match(text)
    return (found.group(1), found.group(2)) if found else (text, name)


def _order(text: str) -> list[str]:
    name, _, direction = text.partition(" ")
    return [name, direction.strip().lower() or "asc"]


def _listed(value: Any) -> list[str]:
    return [str(each) for each in ([value] if isinstance(value, str) else value or ())]
