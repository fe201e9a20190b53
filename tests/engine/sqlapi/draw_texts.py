"""SQL texts over one table that Postgres reads as they stand: strategies, the table, and the cube over it.

The members of the cube bear the names of the columns: `SUM(amount)` is the sum of a column there, of a measure here.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

MODEL = """
cubes:
  - name: sales
    sql_table: sales
    dimensions:
      - {name: id, sql: id, type: number, primary_key: true}
      - {name: name, sql: name, type: string}
      - {name: qty, sql: qty, type: number}
      - {name: paid, sql: paid, type: boolean}
      - {name: at, sql: at, type: time}
    measures:
      - {name: count, type: count}
      - {name: amount, sql: amount, type: sum}
      - {name: price, sql: price, type: avg}
      - {name: low, sql: low, type: min}
      - {name: high, sql: high, type: max}
      - {name: buyer, sql: buyer, type: count_distinct}
    segments: [{name: big, sql: "{CUBE}.qty > 2"}]
"""
POSTGRES = """
create temporary table sales (id int, name text collate "C", qty int, paid boolean, at timestamp(3), amount int,
 price int, low int, high int, buyer text, big boolean generated always as (qty > 2) stored)
"""
CLICKHOUSE = """
CREATE TABLE sales (id Int32, name Nullable(String), qty Nullable(Int32), paid Nullable(Bool),
 at Nullable(DateTime64(3, 'UTC')), amount Nullable(Int32), price Nullable(Int32), low Nullable(Int32),
 high Nullable(Int32), buyer Nullable(String)) ENGINE = Memory
"""
NAMES = ["ada", "Ada", "a%b", "a_b", "", "x\\y", "it's", "10", "bob 10", "-", None]
TIMES = [
    "2023-12-31 23:59:59.999",
    "2024-01-01 00:00:00.000",
    "2024-01-31 12:00:00.000",
    "2024-01-31 23:59:59.999",
    "2024-02-01 00:00:00.000",
    "2024-02-29 10:00:00.500",
    "2024-03-31 01:30:00.000",
    None,
]
NUMBERS = [0, 1, 2, 3, 7, -2, None]
FLAGS = [True, False, None]
COLUMNS = ("id", "name", "qty", "paid", "at", "amount", "price", "low", "high", "buyer")
_AGGREGATES = ["COUNT(*)", "SUM(amount)", "AVG(price)", "MIN(low)", "MAX(high)", "COUNT(DISTINCT buyer)"]
_BUCKETS = [f"DATE_TRUNC('{grain}', at)" for grain in ("hour", "day", "week", "month", "quarter", "year")]
_DIMENSIONS = ["name", "qty", "paid", "at", *_BUCKETS, "sales.name", '"qty"']
_SIGNS = ["=", "<>", "!=", "<", "<=", ">", ">="]


def rows() -> list[tuple[Any, ...]]:
    """Every value of a column beside many of the others."""
    found = []
    for number in range(150):
        picked = [values[(number * step + number // 7) % len(values)] for values, step in _PICKED]
        found.append((number, *picked))
    return found


_PICKED: list[tuple[list[Any], int]] = [
    (NAMES, 1),
    (NUMBERS, 3),
    (FLAGS, 2),
    (TIMES, 5),
    (NUMBERS, 2),
    (NUMBERS, 4),
    (NUMBERS, 5),
    (NUMBERS, 6),
    (NAMES, 3),
]


@st.composite
def texts(draw: st.DrawFn) -> str:
    """One SELECT."""
    kind = draw(st.sampled_from(["rows", "rows", "groups", "groups", "groups", "distinct"]))
    names = draw(st.lists(st.sampled_from(_DIMENSIONS), min_size=1, max_size=3, unique=True))
    made = draw(st.lists(st.sampled_from(_AGGREGATES), min_size=0, max_size=3, unique=True)) if kind == "groups" else []
    if kind == "groups" and draw(st.sampled_from([True, False, False])):
        names, made = ([], made) if made else (names, made)
    columns = draw(st.permutations([*names, *made])) if kind != "rows" else ["id", *names]
    shown = [_aliased(draw, each, index) for index, each in enumerate(columns)]
    parts = [f"SELECT {'DISTINCT ' if kind == 'distinct' else ''}{', '.join(shown)} FROM sales"]
    if draw(st.integers(0, 2)):
        parts.append(f"WHERE {_where(draw)}")
    if kind == "groups" and names:
        parts.append("GROUP BY " + ", ".join(_by(draw, columns, shown, each) for each in names))
    if draw(st.booleans()) and made:
        parts.append(f"HAVING {_tree(draw, lambda: _number(draw, draw(st.sampled_from(made))), 1)}")
    if draw(st.booleans()):
        parts.append(_sorted(draw, columns, shown, kind))
    text = " ".join(parts)
    return text if draw(st.booleans()) else f"{text};\n-- asked {draw(st.integers(0, 9))}"


def _aliased(draw: st.DrawFn, column: str, index: int) -> str:
    return column if draw(st.booleans()) else f"{column} AS {draw(st.sampled_from(['c', 'Cc']))}{index}"


def _by(draw: st.DrawFn, columns: list[str], shown: list[str], name: str) -> str:
    """A column by its position, its alias or as it is."""
    place = columns.index(name)
    ways = [str(place + 1), name, *([shown[place].split(" AS ")[1]] if " AS " in shown[place] else [])]
    return draw(st.sampled_from(ways))


def _sorted(draw: st.DrawFn, columns: list[str], shown: list[str], kind: str) -> str:
    """By every column, so that a page is one page and no other."""
    order = []
    for each in draw(st.permutations(columns)):
        down = draw(st.booleans())
        order.append(
            f"{_by(draw, columns, shown, each)}{' DESC NULLS LAST' if down else draw(st.sampled_from(['', ' ASC']))}"
        )
    page = draw(
        st.sampled_from(["", "LIMIT 5", "LIMIT 3 OFFSET 2", "OFFSET 4", "LIMIT ALL", "FETCH FIRST 2 ROWS ONLY"])
    )
    return f"ORDER BY {', '.join(order)} {page}"


def _where(draw: st.DrawFn) -> str:
    tree = _tree(draw, lambda: _leaf(draw), 3)
    segment = draw(
        st.sampled_from(["", "", "", "big IS TRUE", "big", "big = TRUE", "NOT (NOT big)", "big IS NOT FALSE"])
    )
    if segment == "big IS NOT FALSE":  # a segment that is unknown does not hold
        segment = ""
    return f"({tree}) AND {segment}" if segment else tree


def _tree(draw: st.DrawFn, leaf: Any, depth: int) -> str:
    kind = draw(st.sampled_from(["leaf", "leaf", "AND", "OR", "NOT"])) if depth else "leaf"
    if kind == "leaf":
        return str(leaf())
    if kind == "NOT":
        return f"NOT ({_tree(draw, leaf, depth - 1)})"
    parts = [_tree(draw, leaf, depth - 1) for _ in range(draw(st.integers(2, 3)))]
    return f"({f' {kind} '.join(parts)})"


def _leaf(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["number", "text", "pattern", "flag", "time", "null", "distinct"]))
    if kind == "number":
        return _number(draw, draw(st.sampled_from(["qty", "id"])))
    if kind == "text":
        return _text(draw)
    if kind == "pattern":
        return _pattern(draw)
    if kind == "flag":
        return draw(st.sampled_from(_FLAGS))
    if kind == "time":
        return _time(draw)
    name = draw(st.sampled_from(["name", "qty", "paid", "at"]))
    if kind == "null":
        return f"{name} IS {draw(st.sampled_from(['', 'NOT ']))}NULL"
    return f"qty IS {draw(st.sampled_from(['', 'NOT ']))}DISTINCT FROM {draw(st.sampled_from(['2', 'NULL', '99']))}"


_FLAGS = [
    *("paid", "NOT paid", "paid = TRUE", "paid <> TRUE", "paid = 'false'", "paid IS TRUE", "paid IS NOT TRUE"),
    *("paid IS FALSE", "paid IS NOT FALSE", "paid IN (TRUE, FALSE)", "paid NOT IN (TRUE)", "TRUE = paid"),
]


def _number(draw: st.DrawFn, name: str) -> str:
    values = ["0", "1", "2", "3", "-2", "1.5", "'2'", "2.0", "100"]
    one, two = draw(st.sampled_from(values)), draw(st.sampled_from(values))
    sign, no = draw(st.sampled_from(_SIGNS)), draw(st.sampled_from(["", "NOT "]))
    quoted = {"1.5": "1.5"}.get(one, one)
    forms = [f"{name} {sign} {quoted}", f"{quoted} {sign} {name}", f"{name} {no}BETWEEN {one} AND {two}"]
    return draw(st.sampled_from([*forms, f"{name} {no}IN ({one}, {two})"]))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _text(draw: st.DrawFn) -> str:
    one, two = (_quoted(draw(st.sampled_from([each for each in NAMES if each is not None]))) for _ in range(2))
    sign, no = draw(st.sampled_from(_SIGNS)), draw(st.sampled_from(["", "NOT "]))
    forms = [f"name {sign} {one}", f"name {no}IN ({one}, {two})", f"name {no}BETWEEN {one} AND {two}"]
    return draw(st.sampled_from([*forms, f"name = {one}::text"]))


def _pattern(draw: st.DrawFn) -> str:
    no, text = (
        draw(st.sampled_from(["", "NOT "])),
        draw(st.sampled_from(["a", "A", "da", "10", "_", "%", "\\", "'", "", "b"])),
    )
    before, after = draw(st.sampled_from([("%", "%"), ("", "%"), ("%", ""), ("", "")]))
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    cased = text.isalpha()
    word = (
        "LIKE"
        if (before, after) == ("", "") and cased
        else "ILIKE"
        if cased
        else draw(st.sampled_from(["LIKE", "ILIKE"]))
    )
    return f"name {no}{word} {_quoted(before + escaped + after)}"


def _time(draw: st.DrawFn) -> str:
    def moment() -> str:
        text = draw(
            st.sampled_from([*(each for each in TIMES if each), "2024-01-01", "2024-02-01", "2024-01-31 12:00"])
        )
        day = f"DATE '{text[:10]}'"
        forms = [f"'{text}'", f"TIMESTAMP '{text}'", f"'{text}'::timestamp", f"CAST('{text}' AS TIMESTAMP)", day]
        return draw(st.sampled_from(forms))

    sign, no = draw(st.sampled_from(_SIGNS)), draw(st.sampled_from(["", "NOT "]))
    forms = [f"at {sign} {moment()}", f"{moment()} {sign} at", f"at {no}BETWEEN {moment()} AND {moment()}"]
    both = f"at >= {moment()} AND at {draw(st.sampled_from(['<', '<=']))} {moment()}"
    return draw(st.sampled_from([*forms, f"at {no}IN ({moment()}, {moment()})", both, both]))
