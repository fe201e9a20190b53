"""Texts ↔ frames."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from msgspec import Struct

from core.errors import InvalidField
from realtime.protocol.client import ClientMessage, Join
from realtime.protocol.happened import LogFrame

T = TypeVar("T")
_join = msgspec.json.Decoder(Join)
_client: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_log: msgspec.json.Decoder[LogFrame] = msgspec.json.Decoder(LogFrame)
_encoder = msgspec.json.Encoder()


def encode(frame: Struct) -> str:
    """The text of a frame, made once and sent to many."""
    return _encoder.encode(frame).decode()


def decode_join(text: str) -> Join:
    """The first frame (`event` may be absent, as in the design's first message); raises InvalidField."""
    return _decode(_join, text)


def decode_client(text: str) -> ClientMessage:
    """A later frame; raises InvalidField."""
    return _decode(_client, text)


def decode_log(text: str) -> LogFrame:
    """A stored log frame."""
    return _log.decode(text)


def _decode(decoder: msgspec.json.Decoder[T], text: str) -> T:
    try:
        return decoder.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidField(f"Not a frame of this protocol: {error}", code="bad_frame") from error
