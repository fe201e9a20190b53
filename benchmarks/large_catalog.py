"""A made-up catalog of any size: a tree of cubes, each with 50 members of every kind, as YAML by file name."""

from __future__ import annotations

from collections.abc import Iterator

MEMBERS = 50
"""Members of a cube: 29 dimensions, 19 measures, 2 segments."""
_HEAD = """
cubes:
  - name: cube_{n}
    sql_table: warehouse.table_{n}
    title: Table number {n}
    description: One row per thing number {n}.
"""
_JOIN = """
      - name: cube_{to}
        relationship: many_to_one
        sql: "{{CUBE}}.cube_{to}_id = {{cube_{to}}}.id"
"""
_DIMENSIONS = (
    """
      - name: at_{i}
        sql: "{{CUBE}}.at_{i}"
        type: time
        description: When it happened.
""",
    """
      - name: label_{i}
        sql: "concat({{CUBE}}.first_{i}, ' ', {{CUBE}}.last_{i})"
        type: string
""",
    """
      - name: band_{i}
        type: string
        case:
          when:
            - {{sql: "{{CUBE}}.score_{i} >= 80", label: high}}
            - {{sql: "{{CUBE}}.score_{i} >= 50", label: middle}}
          else: {{label: low}}
""",
    """
      - name: column_{i}
        sql: column_{i}
        type: string
        title: Column {i}
""",
)
_MEASURES = (
    """
      - name: right_{i}
        type: count
        filters:
          - sql: "{{CUBE}}.is_right_{i} = 1"
""",
    """
      - name: rate_{i}
        type: number
        sql: "1.0 * {{right_{before}}} / {{count}}"
        format: percent
""",
    """
      - name: people_{i}
        type: count_distinct
        sql: person_{i}_id
""",
    """
      - name: total_{i}
        type: sum
        sql: amount_{i}
""",
)
_SEGMENTS = """
    segments:
      - {name: first, sql: "{CUBE}.attempt_number = 1"}
      - {name: late, sql: "{CUBE}.submitted_at > {CUBE}.due_at"}
"""


def texts(cubes: int) -> dict[str, str]:
    """The files; cube n joins cubes 2n + 1 and 2n + 2."""
    return {f"cube_{number}.yml": "".join(_cube(number, cubes)) for number in range(cubes)}


def _cube(number: int, cubes: int) -> Iterator[str]:
    yield _HEAD.format(n=number)
    others = [other for other in (2 * number + 1, 2 * number + 2) if other < cubes]
    if others:
        yield "    joins:"
        yield from (_JOIN.format(to=other) for other in others)
    yield "    dimensions:\n      - {name: id, sql: id, type: number, primary_key: true}"
    yield from (_DIMENSIONS[i % 4].format(i=i) for i in range(28))
    yield "    measures:\n      - {name: count, type: count}"
    yield from (_MEASURES[i % 4].format(i=i, before=i - 1) for i in range(18))
    yield _SEGMENTS
