"""Random policies of several groups over a small model, and what they let see, worked out row by row."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

Json = dict[str, Any]
Row = dict[str, Any]
GROUPS = ["red", "green", "blue"]
MEMBERS = {
    "grades": ["id", "mark", "label", "count", "points", "average", "share", "total", "good"],
    "pupils": ["id", "name", "room", "badge", "grades", "count", "fees"],
    "schools": ["id", "title", "count"],
}
MASKABLE = {"grades": ["mark"], "pupils": ["name", "room"], "schools": ["title"]}
COLUMN = {"mark": "mark", "name": "name", "room": "room", "title": "title"}
FILTERS = {
    "grades": [("school", ["1"]), ("school", ["2", "3"]), ("rank", ["1", "2"])],
    "pupils": [("school", ["1"]), ("school", ["{security_context.schools}"]), ("rank", ["0", "2"])],
    "schools": [("school", ["1", "2"]), ("school", ["{security_context.schools}"])],
}
MASKS: dict[str, Any] = {"mark": "?", "name": None, "room": -1, "title": "hidden"}
_MODEL = """
{"cubes": [
 {"name": "grades", "sql_table": "grades",
  "joins": [{"name": "pupils", "relationship": "many_to_one", "sql": "{CUBE}.pupil = {pupils.id}"}],
  "dimensions": [
   {"name": "id", "sql": "id", "type": "number", "primary_key": true, "public": true},
   {"name": "school", "sql": "school", "type": "number"}, {"name": "rank", "sql": "rank", "type": "number"},
   {"name": "mark", "sql": "mark", "type": "string"},
   {"name": "label", "sql": "concat({mark}, '/', {pupils.name})", "type": "string"}],
  "measures": [
   {"name": "count", "type": "count"}, {"name": "points", "type": "sum", "sql": "points"},
   {"name": "average", "type": "number", "sql": "{points} / {count}"},
   {"name": "total", "type": "sum", "sql": "{points}", "multi_stage": true, "group_by": []},
   {"name": "share", "type": "number", "sql": "{points} / {total}", "multi_stage": true}],
  "segments": [{"name": "good", "sql": "{CUBE}.points > 4"}]},
 {"name": "pupils", "sql": "SELECT id, school, rank, name, room, fee FROM pupils WHERE id > 0",
  "joins": [{"name": "schools", "relationship": "many_to_one", "sql": "{CUBE}.school = {schools}.id"},
            {"name": "grades", "relationship": "one_to_many", "sql": "{CUBE.id} = {grades}.pupil"}],
  "dimensions": [
   {"name": "id", "sql": "id", "type": "number", "primary_key": true, "public": true},
   {"name": "school", "sql": "school", "type": "number"}, {"name": "rank", "sql": "rank", "type": "number"},
   {"name": "name", "sql": "name", "type": "string"}, {"name": "room", "sql": "room", "type": "number"},
   {"name": "badge", "sql": "concat({name}, '@', toString({room}))", "type": "string"},
   {"name": "grades", "sql": "{grades.count}", "type": "number", "sub_query": true}],
  "measures": [{"name": "count", "type": "count"}, {"name": "fees", "type": "sum", "sql": "fee"}]},
 {"name": "schools", "sql_table": "schools",
  "dimensions": [
   {"name": "id", "sql": "id", "type": "number", "primary_key": true, "public": true},
   {"name": "school", "sql": "id", "type": "number"}, {"name": "title", "sql": "title", "type": "string"}],
  "measures": [{"name": "count", "type": "count"}]}]}
"""


@dataclass
class Rule:
    """One policy: whom it is for, which members it grants as they are and which masked, and which rows."""

    group: str
    plain: list[str]
    masked: list[str]
    column: str | None = None
    values: list[str] = field(default_factory=list)

    def to_json(self) -> Json:
        """As a model file says it."""
        told: Json = {"group": self.group, "member_level": {"includes": self.plain}}
        if self.masked:
            told["member_masking"] = {"includes": self.masked}
        filters = [{"member": self.column, "operator": "equals", "values": self.values}]
        return told | {"row_level": {"filters": filters} if self.column else {"allow_all": True}}

    def holds(self, row: Row, schools: list[int]) -> bool:
        """Whether the policy gives the row."""
        if self.column is None:
            return True
        values = schools if "{" in self.values[0] else [int(each) for each in self.values]
        return (
            row["id" if self.column == "school" and "pupil" not in row and "rank" not in row else self.column] in values
        )


Rules = dict[str, list[Rule]]


def draw_rules(random: Random) -> Rules:
    """Some policies for each cube; those of `red` grant something everywhere."""
    return {cube: [_rule(random, cube, group) for group in ("red", *random.choices(GROUPS, k=2))] for cube in MEMBERS}


def _rule(random: Random, cube: str, group: str) -> Rule:
    plain = [name for name in MEMBERS[cube] if random.random() < 0.8]
    masked = [name for name in MASKABLE[cube] if random.random() < 0.6]
    plain = [name for name in plain if name not in masked] or ["count"]
    column, values = random.choice([*FILTERS[cube], (None, [])])
    return Rule(group, plain, masked, column, values)


def model(rules: Rules, *, masks: bool) -> str:
    """The model file; without masks, for who looks at rows that are masked already."""
    told = json.loads(_MODEL)
    for cube in told["cubes"]:
        cube["access_policy"] = [each.to_json() for each in rules[cube["name"]]] if masks else []
        for dimension in cube["dimensions"] if masks else ():
            mask = MASKS.get(dimension["name"])
            if mask is not None:
                dimension["mask"] = mask
    return json.dumps(told)


def draw_tables(random: Random) -> dict[str, list[Row]]:
    """Few rows, some of which refer to nothing."""
    return {
        "schools": [{"id": number, "title": f"S{number}"} for number in (1, 2, 3)],
        "pupils": [
            {
                "id": number,
                "school": random.choice([1, 2, 3, 4]),
                "rank": random.randint(0, 2),
                "fee": random.randint(1, 9),
                "name": random.choice("abc"),
                "room": random.choice([7, 8, None]),
            }
            for number in range(1, 9)
        ],
        "grades": [
            {
                "id": number,
                "pupil": random.randint(1, 9),
                "school": random.choice([1, 2, 3]),
                "rank": random.randint(0, 2),
                "points": random.randint(1, 9),
                "mark": random.choice(["x", "y", None]),
            }
            for number in range(1, 16)
        ],
    }


def granted(rules: Rules, groups: set[str], name: str) -> list[Rule]:
    """The policies that give a member to who has these groups."""
    cube, _, member = name.partition(".")
    segment = member == "good"
    return [
        each
        for each in rules[cube]
        if each.group in groups and (member in each.plain or (member in each.masked and not segment))
    ]


def left(
    rules: Rules, groups: set[str], schools: list[int], asked: set[str], tables: dict[str, list[Row]]
) -> dict[str, list[Row]]:
    """The rows which each asked member's policies give, what is masked in them replaced."""
    found: dict[str, list[Row]] = {}
    for cube, rows in tables.items():
        mine = [each for each in rules[cube] if each.group in groups]
        needed = [granted(rules, groups, name) for name in sorted(asked) if name.startswith(f"{cube}.")] or [mine]
        seen = [row for row in rows if all(any(each.holds(row, schools) for each in some) for some in needed)]
        found[cube] = [_masked(cube, mine, row, schools) for row in seen]
    return found


def _masked(cube: str, mine: list[Rule], row: Row, schools: list[int]) -> Row:
    row = dict(row)
    original = dict(row)
    for name in MASKABLE[cube]:
        granting = [each for each in mine if name in each.plain or name in each.masked]
        masked = any(name in each.masked for each in granting)
        if masked and not any(name in each.plain and each.holds(original, schools) for each in granting):
            row[COLUMN[name]] = MASKS[name]
    return row
