"""Access policies: who sees which members and which rows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Literal

from core.errors import nearest
from engine.model.document import Entry
from engine.model.rights import Attribute, Members, Policy, PolicyFilter, PolicyGroup, Tenant
from engine.model.schema import Reader

_ATTRIBUTE = re.compile(
    r"\{\s*(?:security_context|securityContext|user_attributes|userAttributes)\.([A-Za-z_][\w.]*)\s*\}"
)
OPERATORS = frozenset(
    """
    equals notEquals in notIn contains notContains startsWith notStartsWith endsWith notEndsWith gt gte lt lte
    set notSet inDateRange notInDateRange onTheDate beforeDate beforeOrOnDate afterDate afterOrOnDate measureFilter
    """.split()  # noqa: SIM905 - a list of forty quoted words is harder to read
)
_NEED_NO_VALUES = ("set", "notSet", "measureFilter")


def read_policies(reader: Reader) -> tuple[Policy, ...]:
    """The policies of a cube or a view."""
    return tuple(_policy(each) for each in reader.children("access_policy", "policy"))


def _policy(reader: Reader) -> Policy:
    groups = [*reader.words("group"), *reader.words("groups"), *reader.words("role")]
    if len([key for key in ("group", "groups", "role") if reader.has(key)]) != 1:
        reader.wrong("a policy needs exactly one of group and groups ('*' is everyone).")
    conditions = []
    raw = reader.entry.get("conditions") or []
    for each in raw if isinstance(raw, list) else [raw]:
        text = each.get("if") if isinstance(each, dict) else None
        if not isinstance(text, str) or not _is_condition(text):
            reader.wrong("a condition is {if: …} of security_context values with and, or, not.", "conditions")
        else:
            conditions.append(text)
    if reader.has("member_masking") and not reader.has("member_level"):
        reader.wrong("member_masking needs member_level beside it.", "member_masking")
    return Policy(
        frozenset(groups),
        tuple(conditions),
        _members(reader, "member_level"),
        _members(reader, "member_masking"),
        _rows(reader),
        reader.source(),
        _allows_all(reader),
    )


def _members(reader: Reader, key: str) -> Members | None:
    child = reader.child(key, "members")
    if child is None:
        return None
    includes = child.words("includes")
    everything = includes == ("*",) or not child.has("includes")
    return Members(None if everything else _own_names(includes), _own_names(child.words("excludes")))


def _own_names(names: Iterable[str]) -> frozenset[str]:
    """`m`, `CUBE.m`, `{CUBE.m}` and `cube.m` are all `m`."""
    return frozenset(name.replace("{", "").replace("}", "").rpartition(".")[2] for name in names)


def _rows(reader: Reader) -> PolicyGroup | None:
    rows = reader.child("row_level", "rows")
    if rows is None or rows.flag("allow_all"):
        return None
    filters = tuple(_filter(each) for each in rows.children("filters", "condition"))
    if not filters:
        rows.wrong("row_level needs filters, or allow_all: true.")
    return PolicyGroup("and", filters)


def _allows_all(reader: Reader) -> bool:
    rows = reader.entry.get("row_level")
    return isinstance(rows, Entry) and rows.get("allow_all", rows.get("allowAll")) is True


def read_tenant(reader: Reader) -> Tenant | None:
    """`tenant: member`, or `tenant: {member: …, shared: true}`."""
    if not isinstance(reader.entry.get("tenant"), Entry):
        name = reader.text("tenant")
        return Tenant(name, False, reader.source("tenant")) if name is not None else None
    child = reader.child("tenant", "tenant")
    if child is None or not child.has("member"):
        reader.wrong("a tenant names the member that says whose rows they are.", "tenant")
        return None
    return Tenant(child.text("member") or "", child.flag("shared"), reader.source("tenant"))


def _filter(reader: Reader) -> PolicyFilter | PolicyGroup:
    for operator in ("and", "or"):
        if reader.has(operator):
            if len(reader.entry) > 1:
                reader.wrong(f"'{operator}' stands alone.", operator)
            return _group(reader, operator)
    if not reader.has("member"):
        reader.wrong("a condition needs member, operator and values.")
    operator, raw = _operator(reader), _raw_values(reader)
    return PolicyFilter(reader.text("member") or "", operator, tuple(_value(each) for each in raw))


def read_condition(reader: Reader) -> tuple[str, tuple[str | None, ...]]:
    """The operator and the literal values of a condition."""
    operator, raw = _operator(reader), _raw_values(reader)
    texts = (str(each).lower() if isinstance(each, bool) else str(each) for each in raw)
    return operator, tuple(None if each is None else text for each, text in zip(raw, texts, strict=True))


def _operator(reader: Reader) -> str:
    operator = reader.text("operator") or "equals"
    if operator not in OPERATORS:
        close = nearest(operator, sorted(OPERATORS))
        hint = f"Did you mean '{close[0]}'?" if close else None
        reader.wrong(f"'{operator}' is not a filter operator.", "operator", hint=hint)
    return operator


def _raw_values(reader: Reader) -> list[Any]:
    raw = reader.entry.get("values")
    values = raw if isinstance(raw, list) else [] if raw is None else [raw]
    if not values and reader.text("operator") not in _NEED_NO_VALUES:
        reader.wrong("a filter needs values.")
    if any(isinstance(each, list) or (isinstance(each, Entry) and len(each) != 1) for each in values):
        reader.wrong("a value is a text, a number, true or false.", "values")
        return []
    return values


def _group(reader: Reader, operator: Literal["and", "or"] | str) -> PolicyGroup:
    inner = tuple(_filter(each) for each in reader.children(operator, "condition"))
    return PolicyGroup("or" if operator == "or" else "and", inner)


def _value(value: Any) -> str | Attribute | None:
    if value is None:
        return None
    if isinstance(value, Entry) and len(value) == 1:  # an unquoted {security_context.x}
        value = "{" + next(iter(value)) + "}"
    text = str(value).lower() if isinstance(value, bool) else str(value)
    found = _ATTRIBUTE.fullmatch(text.strip())
    return Attribute(tuple(found.group(1).split("."))) if found else text


@lru_cache(1024)
def condition_tree(text: str) -> ast.expr:
    """The parsed condition; SyntaxError if it is no expression."""
    return ast.parse(text.strip().removeprefix("{").removesuffix("}").strip(), mode="eval").body


def _is_condition(text: str) -> bool:
    if len(text) > 1000:
        return False
    try:
        tree = condition_tree(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    allowed = (ast.Name, ast.Attribute, ast.BoolOp, ast.UnaryOp, ast.Not, ast.And, ast.Or, ast.Load)
    return all(isinstance(node, allowed) for node in ast.walk(tree))
