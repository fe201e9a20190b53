"""Time in the query's zone: wall time, buckets, range ends, texts.

`toDateTime64(x, 3, zone)` does the right thing for every column type: a DateTime or DateTime64 keeps its moment,
a Date or Date32 becomes its midnight in the zone; a column of known type is read as what it is. Wall time is a
DateTime64(3, 'UTC') that reads as the clock on the wall does, so a day of 23 hours has one 00:00 and an hour that comes
twice is one bucket.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from zoneinfo import ZoneInfo

from sqlglot import exp

from core.errors import InvalidDate
from engine.model.catalog import ColumnType
from engine.model.intervals import unshift
from engine.model.terms import Granularity, Interval
from engine.query.request import Slot
from engine.sql.parameters import Parameters

_DAYS = {
    "day": None,
    "week": "toMonday",
    "month": "toStartOfMonth",
    "quarter": "toStartOfQuarter",
    "year": "toStartOfYear",
}
_CLOCK = {"hour": "toStartOfHour", "minute": "toStartOfMinute", "second": "toStartOfSecond"}
_DATES, _MOMENTS = ("Date", "Date32"), ("DateTime", "DateTime64")
UNMOVED = Interval()
_TICK = timedelta(milliseconds=1)
_EPOCH = datetime.fromisoformat("1970-01-01")
_FIRST = datetime.fromisoformat("1900-01-01")
_LAST = datetime.fromisoformat("2299-12-31T23:59:59")
_MONTH_MS = 30.436875 * 86_400_000


def call(name: str, *arguments: exp.Expr) -> exp.Anonymous:
    """A ClickHouse function by its own name."""
    return exp.Anonymous(this=name, expressions=list(arguments))


def text(value: str) -> exp.Literal:
    """A text literal."""
    return exp.Literal(this=value, is_string=True)


def number(value: int | float) -> exp.Expr:
    """A number literal."""
    literal = exp.Literal(this=str(abs(value)), is_string=False)
    return exp.Neg(this=literal) if value < 0 else literal


def wall(moment: exp.Expr, zone: str, kind: ColumnType | None = None) -> exp.Expr:
    """Wall time of a column in the zone, to the millisecond."""
    if kind is not None and kind.name in _DATES:
        return call("toDateTime64", moment, number(3), text("UTC"))
    return on_the_wall(_local(moment, zone, kind), zone)


def on_the_wall(local: exp.Expr, zone: str) -> exp.Expr:
    """Wall time of a DateTime64(3, zone)."""
    if zone == "UTC":
        return local
    return call("addSeconds", call("toTimeZone", local, text("UTC")), call("timeZoneOffset", local.copy()))


def aggregated(moment: exp.Expr, zone: str) -> exp.Expr:
    """Wall time of what an aggregate gives: of any type, but of few rows."""
    return wall(call("toDateTime64", moment, number(6), text(zone)), zone, ColumnType("DateTime64", 6))


def _local(moment: exp.Expr, zone: str, kind: ColumnType | None) -> exp.Expr:
    """The moment as a DateTime64(3, zone)."""
    if kind is not None and kind.name == "DateTime64":
        if kind.precision == 3:
            return call("toTimeZone", moment, text(zone))
        if kind.precision > 3:  # the conversion alone would round those before 1970 up
            moment = call("toStartOfMillisecond", moment)
    return call("toDateTime64", moment, number(3), text(zone))


def bucket(
    moment: exp.Expr, zone: str, granularity: str, custom: Granularity | None, kind: ColumnType | None = None
) -> tuple[exp.Expr, bool]:
    """The start of the bucket in which a column's moment lies, and whether it is a Date32 (else wall time)."""
    if custom is not None and custom.interval is not None and custom.origin is not None:
        return custom_bucket(wall(moment, zone, kind), custom.interval, datetime.fromisoformat(custom.origin)), False
    if granularity not in _DAYS:
        local = wall(moment, zone, kind)
        whole = kind is not None and kind.name in ("DateTime", *_DATES)
        return (call(_CLOCK[granularity], local) if whole else _struck(local, granularity)), False
    function = _DAYS[granularity]
    if function and kind is not None and kind.name == "DateTime64":
        return call(function, moment, text(zone)), True
    day = _day(moment, zone, kind)
    return (call(function, day) if function else day), True


def _day(moment: exp.Expr, zone: str, kind: ColumnType | None) -> exp.Expr:
    """The day as a Date32, which reaches further than the Date that `toDate` gives."""
    if kind is not None and kind.name in _DATES:
        return moment if kind.name == "Date32" else call("toDate32", moment)
    if kind is not None and kind.name in _MOMENTS:
        return call("toDate32", moment, text(zone))
    return call("toDate32", call("toDateTime64", moment, number(3), text(zone)))


def wall_bucket(moment: exp.Expr, granularity: str, custom: Granularity | None) -> exp.Expr:
    """The start of the bucket in which wall time lies, of the same type as `bucket` gives."""
    if custom is not None and custom.interval is not None and custom.origin is not None:
        return custom_bucket(moment, custom.interval, datetime.fromisoformat(custom.origin))
    if granularity in _DAYS:
        function = _DAYS[granularity]
        day = call("toDate32", moment)
        return call(function, day) if function else day
    return _struck(moment, granularity)


def _struck(local: exp.Expr, granularity: str) -> exp.Expr:
    """The start of the hour, minute or second of wall time; ClickHouse counts 23:59:59.999 before 1970 to the next."""
    second = call(_CLOCK["second"], local)
    return second if granularity == "second" else call(_CLOCK[granularity], second)


def shown(moment: exp.Expr, is_date: bool) -> exp.Expr:
    """`YYYY-MM-DDTHH:mm:ss.SSS` of a Date32 or of wall time."""
    if is_date:
        return call("concat", call("toString", moment), text("T00:00:00.000"))
    return call("replaceOne", call("toString", moment), text(" "), text("T"))


def custom_bucket(moment: exp.Expr, interval: Interval, origin: datetime) -> exp.Expr:
    """`origin + k · interval`, k the greatest whole number for which that is not after `moment` (wall time)."""
    if not interval.months:
        rest = call("positiveModulo", _since(moment, origin), number(interval.milliseconds))
        return call("subtractMilliseconds", moment.copy(), rest)
    return custom_start(bucket_number(moment, interval, origin), interval, origin)


def custom_start(index: exp.Expr, interval: Interval, origin: datetime) -> exp.Expr:
    """`origin + index · interval` as wall time."""
    start: exp.Expr = _origin(origin)
    if interval.months:
        start = call("addMonths", start, _times(index, interval.months))
    if interval.milliseconds:
        start = call("addMilliseconds", start, _times(index.copy(), interval.milliseconds))
    return start


def bucket_number(moment: exp.Expr, interval: Interval, origin: datetime) -> exp.Expr:
    """The greatest whole number k for which `origin + k · interval` is not after `moment` (wall time)."""
    if not interval.months:
        return _divided(_since(moment, origin), interval.milliseconds)
    if not interval.milliseconds:
        return _monthly(moment, interval.months, origin)
    return _compound(moment, interval, origin)


def _times(index: exp.Expr, length: int) -> exp.Expr:
    return exp.Paren(this=exp.Mul(this=index, expression=number(length))) if length != 1 else index


def _origin(origin: datetime) -> exp.Expr:
    return call("toDateTime64", text(origin.isoformat(sep=" ", timespec="milliseconds")), number(3), text("UTC"))


def _divided(value: exp.Expr, length: int) -> exp.Expr:
    """Rounded down, below zero too."""
    if length == 1:
        return value
    rest = call("positiveModulo", value.copy(), number(length))
    return call("intDiv", exp.Sub(this=value, expression=rest), number(length))


def _monthly(moment: exp.Expr, months: int, origin: datetime) -> exp.Expr:
    """Whole months between origin and moment (one less where the day and time are not reached), rounded down."""
    first = number(origin.year * 12 + origin.month)
    twelve = exp.Mul(this=call("toYear", moment.copy()), expression=number(12))
    crossed = exp.Sub(this=exp.Add(this=twelve, expression=call("toMonth", moment.copy())), expression=first)
    if origin == origin.replace(day=1, hour=0, minute=0, second=0, microsecond=0):
        return _divided(exp.Paren(this=crossed), months)
    late = exp.GT(this=call("addMonths", _origin(origin), crossed.copy()), expression=moment.copy())
    return _divided(exp.Paren(this=exp.Sub(this=crossed, expression=exp.Paren(this=late))), months)


def _compound(moment: exp.Expr, interval: Interval, origin: datetime) -> exp.Expr:
    """Estimate k from the mean length, then take the last of the neighbours that is not after the moment."""
    length = interval.months * _MONTH_MS + interval.milliseconds
    guess = call("toInt64", call("floor", exp.Div(this=_since(moment, origin), expression=number(length))))

    def near(step: int) -> exp.Expr:
        return exp.Paren(this=exp.Add(this=guess.copy(), expression=number(step)))

    branches: list[exp.Expr] = []
    for step in (1, 0, -1):
        begin = custom_start(near(step), interval, origin)
        branches += [exp.LTE(this=begin, expression=moment.copy()), near(step)]
    return call("multiIf", *branches, near(-2))


def _since(moment: exp.Expr, origin: datetime) -> exp.Expr:
    """Milliseconds since the origin."""
    found = call("toUnixTimestamp64Milli", moment.copy())
    start = (origin - _EPOCH) // timedelta(milliseconds=1)
    return exp.Paren(this=exp.Sub(this=found, expression=number(start))) if start else found


def first_moment(value: Slot | str, zone: str, parameters: Parameters, moved: Interval = UNMOVED) -> exp.Expr:
    """The first moment of what a local date or time names; of a time that is `moved`, as it was before."""
    return _moment(parameters.add(value, "DateTime64(3, 'UTC')", _starter(zone, moved)), zone)


def moment_after(value: Slot | str, zone: str, parameters: Parameters, moved: Interval = UNMOVED) -> exp.Expr:
    """The first moment after what a local date or time names (a date: its day, a time: its millisecond)."""
    return _moment(parameters.add(value, "DateTime64(3, 'UTC')", _ender(zone, moved)), zone)


def first_text(value: Slot | str, zone: str, parameters: Parameters) -> exp.Expr:
    """The first moment of what a local date or time names, as a text in UTC for SQL of the model's own."""
    return parameters.add(value, "String", _starter(zone, UNMOVED))


def last_text(value: Slot | str, zone: str, parameters: Parameters) -> exp.Expr:
    """Its last millisecond, as a text in UTC."""
    return parameters.add(value, "String", _closer(zone))


def _moment(parameter: exp.Expr, zone: str) -> exp.Expr:
    return parameter if zone == "UTC" else call("toTimeZone", parameter, text(zone))


@lru_cache(1024)
def _starter(zone: str, moved: Interval) -> Callable[[str], str]:
    return partial(_start, zone, moved)


@lru_cache(1024)
def _ender(zone: str, moved: Interval) -> Callable[[str], str]:
    return partial(_end, zone, moved)


@lru_cache(1024)
def _closer(zone: str) -> Callable[[str], str]:
    return lambda value: sent(datetime.fromisoformat(_end(zone, UNMOVED, value)) - _TICK)


def _start(zone: str, moved: Interval, value: str) -> str:
    return utc(_before(parse_local(value), moved), zone, fold=0)


def _end(zone: str, moved: Interval, value: str) -> str:
    local = min(parse_local(value), _LAST)
    return utc(_before(local + (timedelta(days=1) if len(value) == 10 else _TICK), moved), zone, fold=1)


def _before(local: datetime, moved: Interval) -> datetime:
    return local if moved is UNMOVED else unshift(clamped(local), moved)


def parse_local(value: str) -> datetime:
    """A local date or time from its ISO text, zone signs dropped; InvalidDate if it is none."""
    try:
        return datetime.fromisoformat(str(value).strip()).replace(tzinfo=None)
    except ValueError as error:
        raise InvalidDate(f"Can't parse date: '{value}'") from error


def clamped(moment: datetime) -> datetime:
    """The moment, or the nearest that a DateTime64 can be."""
    return min(max(moment, _FIRST), _LAST)


def utc(local: datetime, zone: str, fold: int = 0) -> str:
    """UTC of a wall time: in an hour that comes twice the first (fold 0) or the last, in a gap the gap's end."""
    local = clamped(local)
    if zone == "UTC":
        return sent(local)
    area = ZoneInfo(zone)
    moment = local.replace(tzinfo=area, fold=fold).astimezone(UTC)
    if moment.astimezone(area).replace(tzinfo=None) != local:
        moment = _gap_end(local, area)
    return sent(moment)


def _gap_end(local: datetime, area: ZoneInfo) -> datetime:
    early, late = (local.replace(tzinfo=area, fold=fold).astimezone(UTC) for fold in (1, 0))
    after = late.astimezone(area).utcoffset()
    while late - early > timedelta(seconds=1):
        middle = early + (late - early) / 2
        if middle.astimezone(area).utcoffset() == after:
            late = middle
        else:
            early = middle
    return late.replace(microsecond=0)


def sent(moment: datetime) -> str:
    """The text that a DateTime64(3) parameter takes."""
    return moment.strftime("%Y-%m-%d %H:%M:%S.") + f"{moment.microsecond // 1000:03d}"
