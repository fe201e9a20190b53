"""Which month is due for what: hot (all stores), warm (ClickHouse and archive), cold (archive only). No database.

With 13 hot months, on any day of November 2026: October 2025 is the oldest month in the record, September 2025 goes.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from core.settings import Settings
from ingestion.partitions import month_of

# A client's retry is known for 35 days: no answer younger than this leaves the record, however old its session is.
LAST_ANSWER = timedelta(days=62)


@dataclass(frozen=True, slots=True)
class Tiers:
    """The first months that are hot and warm; a month before them is not."""

    hot: datetime
    warm: datetime

    @classmethod
    def at(cls, moment: datetime, settings: Settings) -> Tiers:
        """As they stand at a moment."""
        return cls(months_before(moment, settings.hot_months), months_before(moment, settings.warm_months))


def months_before(moment: datetime, months: int) -> datetime:
    """The first instant of the month that lies so many months before the month of `moment`; year 1 at the least."""
    month = month_of(moment)
    count = max(month.year * 12 + month.month - 1 - months, 12)
    return month.replace(year=count // 12, month=count % 12 + 1)
