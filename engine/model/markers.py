"""What stands in spelled-out SQL for things that only a question decides, and small rewrites of SQL trees."""

from __future__ import annotations

from sqlglot import exp

LOCAL = "__local"
"""Function name: the argument as wall time in the query's zone."""
TRUNCATED = "__truncated"
"""Function name: a time dimension (argument 1) in buckets of a granularity (argument 2: `cube.dim.granularity`)."""
FORMULAS = ("number", "string", "time", "boolean")
"""Types of measures that are expressions over aggregates."""
FILTERED = "__filtered"
"""Function name: the query's conditions on members, on other expressions. Each argument is a tuple of the member's
name, the expression, and how many values it takes as `__arg<n>__` (0: it is a column to compare)."""
CONTEXT = "__context"
"""Function name: an attribute of the caller (argument 1), how it is used (2), on which expression (3) that takes how
many values (4)."""
MASKED = "__masked"
"""Function name: a dimension (argument 1, its full name) that some callers see masked, its own SQL (argument 2)."""
SHOWN = "__shown"
"""Function name: whether a row may be seen with the own value of a masked member (argument 1, its full name)."""
SCAN = "__scan__"
"""Prefix of a table name that stands for another cube's table."""
_FUNCTIONS = frozenset({LOCAL, TRUNCATED, FILTERED, CONTEXT, MASKED, SHOWN})
DEEPEST = 80
"""Levels of one SQL text with its references spelled out; what writes it needs some frames of the stack for each."""
MOST = 30_000
"""Nodes of one SQL text with its references spelled out."""
_RESERVED = frozenset(
    """
    all and any anti array as asc asof between by case cross desc distinct else end final format from full global
    group having ilike in inner interval into is join left like limit not null offset on or order outer prewhere
    right sample select semi settings then union using values when where window with
    """.split()  # noqa: SIM905 - a list of forty quoted words is harder to read
)


def to_fill(node: exp.Expr) -> bool:
    """Whether a node stands for what only a question decides."""
    if isinstance(node, exp.Anonymous):
        return node.name in _FUNCTIONS
    return isinstance(node, exp.Table) and node.name.startswith(SCAN)


def identifier(name: str) -> exp.Identifier:
    """A table or column name, quoted where ClickHouse would take it for a keyword."""
    return exp.Identifier(this=name, quoted=name.lower() in _RESERVED)


def sub_query_alias(dimension: str) -> str:
    """The alias of the sub-query that computes a dimension (`cube.dim`)."""
    return dimension.replace(".", "__") + "__sub"


def unmasked(tree: exp.Expr) -> exp.Expr:
    """The tree with the own SQL of every masked dimension in it, for what nobody is shown; the tree itself changes."""
    if type(tree) is exp.Column:
        return tree
    root = exp.Paren(this=tree)
    for node in [each for each in root.find_all(exp.Anonymous) if each.name == MASKED]:
        node.replace(as_operand(node.expressions[1]))
    result = root.this
    result.pop()
    return result  # type: ignore[no-any-return]


def as_operand(tree: exp.Expr) -> exp.Expr:
    """The tree, in parentheses where it needs them to stand within another one."""
    return tree if isinstance(tree, exp.Column | exp.Literal | exp.Func | exp.Paren) else exp.Paren(this=tree)


def scanned(tree: exp.Expr) -> list[str]:
    """The cubes whose tables stand in a tree as `__scan__cube`."""
    found = (table.name for table in tree.find_all(exp.Table) if table.name.startswith(SCAN))
    return [name.removeprefix(SCAN) for name in found]


def too_large(tree: exp.Expr) -> str | None:
    """What makes a tree too large to be written as SQL, None if it is not; a chain of one operator is no depth."""
    count = 0
    stack = [(tree, 0)]
    while stack:
        node, depth = stack.pop()
        count += 1
        if depth > DEEPEST:
            return f"it is nested more than {DEEPEST} deep"
        if count > MOST:
            return f"it has more than {MOST} parts"
        for child in node.iter_expressions():
            chained = isinstance(child, exp.Binary) and type(child) is type(node)
            stack.append((child, depth if chained else depth + 1))
    return None


def plain_table(tree: exp.Expr) -> exp.Expr:
    """`SELECT * FROM t` becomes t, any other SELECT a sub-query."""
    if not isinstance(tree, exp.Query):
        return tree
    plain = isinstance(tree, exp.Select) and {key for key, value in tree.args.items() if value} <= {
        "expressions",
        "from_",
    }
    if plain and len(tree.expressions) == 1 and isinstance(tree.expressions[0], exp.Star):
        source = tree.args["from_"].this
        if isinstance(source, exp.Table) and not source.args.get("alias") and not source.expressions:
            source.pop()
            return source
    return exp.Subquery(this=tree)


def null_on_zero(tree: exp.Expr) -> exp.Expr:
    """`a / b` becomes `a / nullIf(b, 0)`: a ratio over nothing is unknown, not infinite."""
    for node in list(tree.find_all(exp.Div)):
        divisor = node.expression
        if not (isinstance(divisor, exp.Literal) and divisor.name.strip("0.")):
            node.set("expression", exp.Nullif(this=divisor.copy(), expression=exp.Literal.number(0)))
    return tree
