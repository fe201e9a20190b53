"""Bodies that come compressed: gzip and zstd, unpacked in small pieces, so that a bomb is noticed while it is small."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from backports.zstd import DecompressionParameter, ZstdDecompressor, ZstdError

from core.errors import BadInput, WrongMedia

ENCODINGS = ("gzip", "zstd")
_PIECE = 65_536
_WINDOW_LOG = 23
"""A zstd frame may ask for 8 MB of memory, as RFC 9659 says, and no more."""


class Unpacker(Protocol):
    """Compressed bytes in, pieces of at most 64 KB out."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What the next bytes hold; raises `BadInput`."""
        ...

    def finish(self) -> None:
        """Raises `BadInput` if the end is missing."""
        ...


class _Plain:
    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield data

    def finish(self) -> None:
        return None


class _Gzip:
    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inner.eof:
                raise _broken("gzip", "something follows its end")
            try:
                yield self._inner.decompress(data, _PIECE)
            except zlib.error as error:
                raise _broken("gzip", error) from None
            data = self._inner.unconsumed_tail or self._inner.unused_data

    def finish(self) -> None:
        if not self._inner.eof:
            raise _broken("gzip", "its end is missing")


class _Zstd:
    def __init__(self) -> None:
        self._inner = ZstdDecompressor(options={DecompressionParameter.window_log_max: _WINDOW_LOG})

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data or not self._inner.needs_input:
            if self._inner.eof:
                if data or self._inner.unused_data:
                    raise _broken("zstd", "something follows its end")
                return
            try:
                yield self._inner.decompress(data, _PIECE)
            except ZstdError as error:
                raise _broken("zstd", error) from None
            data = b""

    def finish(self) -> None:
        if not self._inner.eof:
            raise _broken("zstd", "its end is missing")


_UNPACKERS: dict[str, Callable[[], Unpacker]] = {"": _Plain, "identity": _Plain, "gzip": _Gzip, "zstd": _Zstd}


def unpacker(encoding: bytes) -> Unpacker:
    """The unpacker of a Content-Encoding; raises `WrongMedia` with those that there are."""
    name = encoding.decode("latin-1").strip().lower()
    made = _UNPACKERS.get({"x-gzip": "gzip"}.get(name, name))
    if made is None:
        message = f"The Content-Encoding {name[:50]!r} is not understood."
        raise WrongMedia(message, hint=f"Known are {', '.join(ENCODINGS)}.", supported=list(ENCODINGS))
    return made()


def _broken(name: str, why: Any) -> BadInput:
    return BadInput(f"The body is no whole {name}: {why}.", code="invalid_encoding")
