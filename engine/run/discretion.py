"""What a caller is not told: row filters, in SQL or in what ClickHouse says of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from core.errors import RefusedByStore, WrongValue
from engine.model.catalog import Catalog, Cube, View
from engine.query.access import SecurityContext
from engine.run.cost import Cost

_TELLERS = frozenset({"operator"})
_REFUSED = "ClickHouse refused the query."
_MISFIT = "A value does not fit the type of the member with which it is compared."


def may_read_filters(catalog: Catalog, context: SecurityContext) -> bool:
    """Whether the caller may see SQL with its row filters: an operator, or anybody where there are none."""
    if context.groups & _TELLERS:
        return True
    owners: list[Cube | View] = [*catalog.cubes.values(), *catalog.views.values()]
    return not any(owner.policies for owner in owners)


@contextmanager
def discreet(catalog: Catalog, context: SecurityContext) -> Iterator[None]:
    """ClickHouse's words, which may quote a row filter with its values, stay with us (`cause`, for the log)."""
    try:
        yield
    except (RefusedByStore, WrongValue) as error:
        if may_read_filters(catalog, context):
            raise
        short = _MISFIT if isinstance(error, WrongValue) else _REFUSED
        raise type(error)(short, hint=error.hint, cause=error.message) from None


def told(cost: Cost, catalog: Catalog, context: SecurityContext) -> Cost:
    """The cost without the store's own words."""
    if cost.problem is None or may_read_filters(catalog, context):
        return cost
    return replace(cost, problem="There is no complete estimate.")
