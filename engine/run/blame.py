"""A fault that the planner found, told in the words of the request: where its member stands, which names come near."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from core.errors import AccessDenied, EduError, QueryError, UnknownMember
from engine.model.catalog import Catalog
from engine.query.access import SecurityContext, visible
from engine.query.normalisation import Request
from engine.query.places import find_member, mentions


@contextmanager
def blamed(catalog: Catalog, request: Request, index: int, context: SecurityContext) -> Iterator[None]:
    """Errors of query number `index` get their `path`; names that the caller may not see are not suggested to him."""
    try:
        yield
    except (QueryError, AccessDenied) as error:
        _add_path(error, catalog, request, index)
        if error.details.get("nearest"):
            only_visible(error, catalog, context)
        raise


def _add_path(error: EduError, catalog: Catalog, request: Request, index: int) -> None:
    member = error.details.get("member")
    if "path" in error.details or member is None or index >= len(request.given):
        return
    path = find_member(request.given[index], member) or _through_view(catalog, request.given[index], member)
    if path is not None:
        error.details["path"] = request.place(index, path)


def _through_view(catalog: Catalog, query: object, member: str) -> str | None:
    """The mention of a view's member that stands for the cube's `member`."""
    for path, name in mentions(query):
        view = catalog.views.get(name.partition(".")[0])
        found = view.member(name.split(".")[1]) if view else None
        if found is not None and found.alias_member == member:
            return path
    return None


def only_visible(error: EduError, catalog: Catalog, context: SecurityContext) -> None:
    """Suggest nothing that the caller may not see."""
    near = [name for name in error.details["nearest"] if _may_see(catalog, context, name)]
    if near == error.details["nearest"] or not isinstance(error, UnknownMember):
        return
    error.details["nearest"] = near
    error.hint = f"Did you mean {' or '.join(near)}?" if near else None


def _may_see(catalog: Catalog, context: SecurityContext, name: str) -> bool:
    owner = catalog.cubes.get(name.partition(".")[0]) or catalog.views.get(name.partition(".")[0])
    if owner is None:
        return True
    if not owner.shown.public:
        return False
    allowed = visible(catalog, context, owner)
    return allowed is None or (name.partition(".")[2] in allowed if "." in name else bool(allowed))
