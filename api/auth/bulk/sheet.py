"""A body of a list of accounts → rows: a JSON list, or CSV with the fields' names in the first line."""

from __future__ import annotations

import csv
import io
from typing import Any

import orjson

from api.auth.bulk.schemas import MOST, ListedUser
from core.errors import BadInput, InvalidField, TooLarge, nearest

_COLUMNS = list(ListedUser.model_fields)


def read_rows(body: bytes, content_type: str) -> list[Any]:
    """The rows of a body; raises `BadInput`, `InvalidField` or `TooLarge`."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/json":
        rows = _json(body)
    elif kind == "text/csv":
        rows = _csv(body)
    else:
        raise InvalidField("Send application/json or text/csv.", field="content-type")
    if len(rows) > MOST:
        raise TooLarge(f"A list has at most {MOST:,} accounts.", code="too_many_items", most=MOST)
    if not rows:
        raise InvalidField("The list is empty.", field="body")
    return rows


def _json(body: bytes) -> list[Any]:
    try:
        rows = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadInput(f"The body is not JSON: {error.msg}.", code="invalid_json") from None
    if not isinstance(rows, list):
        raise InvalidField("The body must be a list of accounts.", field="body")
    return rows


def _csv(body: bytes) -> list[Any]:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadInput("The CSV must be in UTF-8.", code="invalid_text") from None
    first = text.partition("\n")[0]
    delimiter = ";" if first.count(";") > first.count(",") else ","
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, restkey="(more)")
        _check_header(reader.fieldnames or [])
        rows = [_filled(row) for row in reader]
    except csv.Error as error:
        raise BadInput(f"The CSV cannot be read: {error}.", code="invalid_csv") from None
    return rows


def _check_header(names: Any) -> None:
    for name in names:
        if name not in _COLUMNS:
            raise InvalidField(
                f"There is no column «{name[:50]}».", field="header", nearest=nearest(name, _COLUMNS), columns=_COLUMNS
            )
    if len(set(names)) < len(names):
        raise InvalidField("A column stands there twice.", field="header")


def _filled(row: dict[str, Any]) -> dict[str, Any]:
    """Without the cells that are empty; a number is a number."""
    given = {name: value for name, value in row.items() if value not in (None, "")}
    if str(given.get("classroom_id", "")).isdigit():
        given["classroom_id"] = int(given["classroom_id"])
    return given
