"""How long the way to a pupil and back takes, as the server measures it; pure (times are given, in seconds)."""

from __future__ import annotations

from dataclasses import dataclass

CREDIT_MS = 150
"""The most that a pupil gains by a slow network, or by pongs that he holds back."""


@dataclass
class RoundTrips:
    """The least round trip of one visit. Only the newest nonce counts, so no pong can be made in advance."""

    least_ms: float | None = None
    _nonce: int | None = None
    _sent: float = 0.0

    def ping(self, nonce: int, at: float) -> None:
        """A ping with this nonce was sent."""
        self._nonce, self._sent = nonce, at

    def pong(self, nonce: int, at: float) -> bool:
        """Take the answer; False for a wrong or an old nonce."""
        if nonce != self._nonce:
            return False
        self._nonce = None
        took = (at - self._sent) * 1000
        self.least_ms = took if self.least_ms is None else min(self.least_ms, took)
        return True

    @property
    def credit_ms(self) -> float:
        """What is taken off a pupil's time: half the least round trip, bounded; nothing before the first pong."""
        return 0.0 if self.least_ms is None else min(self.least_ms / 2, CREDIT_MS)
