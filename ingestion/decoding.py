"""The bytes of a body → its events, each by itself.

The quick way decodes all of a body in one pass into typed structs; they mean what `read_event` would read. Where
anything is doubtful (an item is wrong, of a school's own type, too long, has an escaped NUL or half a character) each
item is decoded alone, and what the quick way does not take is left as a plain value for `read_event` to judge.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias, Union

import msgspec
from msgspec import Raw

from core.errors import BadInput
from ingestion.events import MOST_BYTES, TYPES, Body, Event, EventType, Kinds, Rejection, finish, read_event

_DOUBTFUL = re.compile(rb"\\u(?:0000|[dD][89a-fA-F])")
_SAFE_PROPS = MOST_BYTES - 4_096
"""Whatever stands beside metadata of this size, the event is not too large."""
SHOWN_BYTES = 4_000


class Unreadable(msgspec.Struct, frozen=True):
    """An item that is no JSON value, with the reason and the beginning of what came."""

    reason: str
    message: str
    text: str


def _quick_type(kind: EventType) -> Any:
    fields: list[Any] = [
        (field.name, field.type, field.default)
        for field in msgspec.structs.fields(Body)
        if field.name not in ("event_name", "metadata", "schema_version")
    ]
    own = [("metadata", kind.metadata | None, None), ("schema_version", Literal[1], 1)]
    return msgspec.defstruct(
        "Quick", fields + own, tag_field="event_name", tag=kind.name, forbid_unknown_fields=True, frozen=True,
        kw_only=True, gc=False, omit_defaults=True,
    )  # fmt: skip


_KINDS: Mapping[Any, EventType] = {_quick_type(kind): kind for kind in TYPES.values() if kind.version == 1}
_QUICK: Any = Union[tuple(_KINDS)]  # noqa: UP007 - made of a tuple
_one, _many, _raw = (msgspec.json.Decoder(each).decode for each in (_QUICK, list[_QUICK], list[Raw]))
_wrapped = msgspec.json.Decoder(
    msgspec.defstruct("Wrapped", [("events", list[_QUICK])], forbid_unknown_fields=True)
).decode
_object = msgspec.json.Decoder(dict[str, Raw]).decode
Items: TypeAlias = list[Any]


def decode_body(body: bytes) -> tuple[Items, bool]:
    """The items of one event, a list or `{"events": [...]}`, and whether it was one; raises `BadInput` for no JSON."""
    begin = body.lstrip()[:1]
    if _DOUBTFUL.search(body) is None:
        try:
            if begin == b"[":
                return _many(body), False
            return ([_one(body)], True) if b'"event_name"' in body[:400] else (_unwrapped(body), False)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    return _each(body, begin)


def _unwrapped(body: bytes) -> Items:
    found: Any = _wrapped(body)
    return list(found.events)


def decode_one(raw: bytes) -> Any:
    """One item: a typed struct, a plain value, or `Unreadable`."""
    if len(raw) <= MOST_BYTES and _DOUBTFUL.search(raw) is None:
        try:
            return _one(raw)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            pass
    return _plain(raw)


def read_item(item: Any, own: Kinds | None = None) -> Event:
    """An item of `decode_body` as an event; raises `Rejection`."""
    kind = _KINDS.get(type(item))
    if kind is None:
        if isinstance(item, Unreadable):
            raise Rejection(item.reason, item.message)
        return read_event(item, own)
    metadata = item.metadata
    if metadata is not None:
        event = finish(kind, item, metadata)
        if len(event.props) <= _SAFE_PROPS:
            return event
    return read_event(msgspec.to_builtins(item), own)


def is_own(item: Any) -> bool:
    """Whether an item names a type that only a school's registry can know."""
    return isinstance(item, dict) and isinstance(name := item.get("event_name"), str) and "." in name


def _each(body: bytes, begin: bytes) -> tuple[Items, bool]:
    try:
        if begin == b"[":
            return [decode_one(bytes(raw)) for raw in _raw(body)], False
        if begin == b"{":
            found = _object(body)
            if set(found) == {"events"} and bytes(found["events"]).lstrip()[:1] == b"[":
                return [decode_one(bytes(raw)) for raw in _raw(found["events"])], False
        return [_parsed(body)], True
    except (ValueError, RecursionError):  # msgspec's errors are ValueErrors
        return [_parsed(body)], True


def _parsed(body: bytes) -> Any:
    """The body as a plain value, or the error that says where it is no JSON."""
    try:
        return json.loads(body, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        place = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise BadInput(f"The body is not JSON: {place}.", code="invalid_json") from None
    except RecursionError:
        raise BadInput("The JSON nests too deep.", code="too_deep") from None
    except ValueError as error:
        raise BadInput(f"The body is not JSON: {error}.", code="invalid_json") from None


def _plain(raw: bytes) -> Any:
    try:
        return json.loads(raw, parse_constant=_refuse)
    except RecursionError:
        return unreadable("too_deep", "The JSON nests too deep.", raw)
    except ValueError as error:
        return unreadable("invalid_json", f"This is not JSON: {error}.", raw)


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


def unreadable(reason: str, message: str, raw: bytes) -> Unreadable:
    """What came and cannot be read: only its beginning is kept."""
    return Unreadable(reason, message, raw[:SHOWN_BYTES].decode("utf-8", "replace"))
