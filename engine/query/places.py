"""Where in a query's JSON a member is named, so that a fault found after normalisation can be shown at its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_NAMED_LISTS = ("measures", "dimensions", "segments")


def find_member(query: Any, name: str) -> str | None:
    """The JSON path of the first mention of `name` (`cube.member`, with a granularity, or a cube) in one raw query."""
    if "." in name:
        return next((path for path, member in mentions(query) if member == name), None)
    return next((path for path, member in mentions(query) if member.startswith(f"{name}.")), None)


def mentions(query: Any) -> Iterator[tuple[str, str]]:
    """Every member that a raw query names, each with its JSON path; a time dimension also with its granularity."""
    if not isinstance(query, Mapping):
        return
    for key in _NAMED_LISTS:
        yield from ((f"{key}[{index}]", str(name)) for index, name in enumerate(query.get(key) or ()))
    for index, time in enumerate(query.get("timeDimensions") or ()):
        yield f"timeDimensions[{index}].dimension", time["dimension"]
        if time.get("granularity"):
            yield f"timeDimensions[{index}].granularity", f"{time['dimension']}.{time['granularity']}"
    for index, name in enumerate(query.get("dimensions") or ()):
        if name.count(".") == 2:
            yield f"dimensions[{index}]", name.rpartition(".")[0]
    yield from _conditions(query.get("filters") or (), "filters")


def _conditions(filters: Any, path: str) -> Iterator[tuple[str, str]]:
    for index, node in enumerate(filters):
        group = next((key for key in ("or", "and") if key in node), None)
        if group:
            yield from _conditions(node[group], f"{path}[{index}].{group}")
        else:
            key = "member" if "member" in node else "dimension"
            yield f"{path}[{index}].{key}", node[key]
