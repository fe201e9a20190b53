"""docs/reference/asyncapi.yaml: the contract of /ws/quiz as AsyncAPI 3, made from realtime/protocol."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import yaml

from api.health import product_version
from realtime.pacing import Limits
from realtime.protocol import SUBPROTOCOL, ClientMessage, Join, LogFrame, ServerMessage
from realtime.protocol.examples import CLIENT, SERVER
from realtime.protocol.words import MEANINGS, comes_back
from realtime.state import GRACE_MS

_TELLS = """
A live quiz. The first frame says who comes (`join`); the answer is `joined` with the whole room, or `error` and a
close.

**Log frames** (with `off` = 1, 2, 3 ...) are what happened: durable, in order, without a gap. A client that sees a gap
or was cut off joins again with `session_id` and its last `off`, and gets what it missed in `joined.log`.
**State frames** ({states}) are how things stand: only the newest counts, at most {pace} a second.
Times are the server's, in ms since 1970; `sync` tells its clock. Answers count until `closes_at` + {grace} ms.
Answer each `ping` with `pong` at once; `{{}}` is a sign of life, too. A frame has at most {bytes} bytes, a socket says
{rate} a second (a burst of {burst}). Unknown fields are ignored.

Subprotocol: `{protocol}`. Whoever asks for none gets it all the same (and need not answer pings); whoever asks only for
others is refused with HTTP 400 and the list of those that are spoken.
""".strip()


def document() -> str:
    """The YAML text."""
    client, server = dict(_frames(ClientMessage)), dict(_frames(ServerMessage))
    client = {"join": Join, **client}
    _, components = msgspec.json.schema_components(
        [*client.values(), *server.values()], ref_template="#/components/schemas/{name}"
    )
    _check_names(components)
    said, heard = _messages(client, CLIENT, "say"), _messages(server, SERVER, "hear")
    body = {
        "asyncapi": "3.0.0",
        "info": {"title": "EduAnalytics live quiz", "version": product_version(), "description": _description()},
        "servers": {"local": {"host": "localhost:9090", "protocol": "ws"}},
        "defaultContentType": "application/json",
        "channels": {
            "quiz": {
                "address": "/ws/quiz",
                "description": f"WebSocket, subprotocol `{SUBPROTOCOL}`.",
                "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in (*said, *heard)},
                "x-close-codes": {
                    int(code): {"meaning": text, "come_back": comes_back(code)} for code, text in MEANINGS.items()
                },
            }
        },
        "operations": {
            "say": _operation("receive", "What a client says; the server receives it.", said),
            "hear": _operation("send", "What a client hears; the server sends it.", heard),
        },
        "components": {"messages": {**said, **heard}, "schemas": _tidy(components)},
    }
    return yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=120)


def _description() -> str:
    limits = Limits()
    states = ", ".join(name for name, kind in _frames(ServerMessage) if hasattr(kind, "kind"))
    return _TELLS.format(
        states=states,
        pace=round(1 / limits.state_s),
        grace=GRACE_MS,
        bytes=limits.frame_bytes,
        rate=round(limits.frames_per_s),
        burst=round(limits.frames_burst),
        protocol=SUBPROTOCOL,
    )


def _frames(union: Any) -> Iterator[tuple[str, Any]]:
    for part in get_args(union):
        if get_args(part):
            yield from _frames(part)
        else:
            yield str(part.__struct_config__.tag), part


def _messages(kinds: dict[str, Any], examples: dict[str, dict[str, Any]], prefix: str) -> dict[str, Any]:
    found = {}
    for tag, kind in kinds.items():
        text = inspect.cleandoc(kind.__doc__ or "")
        found[f"{prefix}.{tag}"] = {
            "name": tag,
            "summary": " ".join(text.split("\n\n")[0].split()),
            "description": text,
            "tags": [{"name": _tag(kind)}],
            "payload": {"$ref": f"#/components/schemas/{kind.__name__}"},
            "examples": [{"name": tag, "payload": examples[tag]}],
        }
    return found


def _tag(kind: Any) -> str:
    if kind in get_args(LogFrame):
        return "log"
    return "state" if hasattr(kind, "kind") else "reply or command"


def _operation(action: str, summary: str, messages: dict[str, Any]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": "#/channels/quiz"},
        "summary": summary,
        "messages": [{"$ref": f"#/channels/quiz/messages/{name}"} for name in messages],
    }


def _check_names(components: dict[str, Any]) -> None:
    """Two frames of one name would hide one another."""
    if len({name.lower() for name in components}) != len(components):
        raise ValueError("two schemas have one name")


def _tidy(schemas: dict[str, Any]) -> dict[str, Any]:
    """The event's own name is part of every frame but the first; descriptions without line breaks."""
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].split())
    return dict(sorted(schemas.items()))
