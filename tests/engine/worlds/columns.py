"""Kinds of columns with the values that break things."""

from __future__ import annotations

from typing import Any

NUMBER, STRING, BOOLEAN, TIME = "number", "string", "boolean", "time"
_TEXTS = ["Ada", "ada%", "", "Bo_b", "Ärger", "it's", "{x}", "\\"]
_INTEGERS = [0, 1, 2, 3, 7, -2]
BIG = [0, 1, 2**53, 2**53 + 1, 2**64 - 1]
_DECIMALS = ["0.100", "0.200", "10.005", "-2.500", "7.000"]
_FLOATS = [0.5, 2.25, -1.0, 8.0, 0.0]
_SECONDS = [
    "2024-03-10T06:59:59",
    "2024-03-10T07:00:00",
    "2024-11-03T05:30:00",
    "2024-11-03T06:30:00",
    "2024-03-31T00:59:59",
    "2024-03-31T01:00:00",
    "2024-10-27T00:30:00",
    "2024-10-27T01:30:00",
    "2018-11-04T02:59:59",
    "2018-11-04T03:00:00",
    "2023-12-31T23:59:59",
    "2024-01-01T00:00:00",
    "2024-01-31T12:00:00",
    "2024-02-29T10:00:00",
    "2023-02-28T23:30:00",
    "2024-04-06T15:15:00",
    "2024-04-30T18:20:00",
    "2024-08-15T09:00:00",
]
_MILLIS = [
    *_SECONDS,
    "2023-12-31T23:59:59.999",
    "1969-07-20T20:17:40.123",
    "2018-11-04T02:59:59.500",
    "1999-12-31T22:00:00.001",
]
_MICROS = [*_MILLIS, "2024-01-31T23:59:59.999999", "1969-12-31T23:59:59.999999", "1968-02-29T12:30:15.000501"]
_DAYS = ["2024-01-01", "2024-02-29", "2024-03-10", "2024-03-31", "2023-12-31", "2018-11-04", "2024-11-03", "1970-01-02"]
_OLD_DAYS = [*_DAYS, "1969-12-31", "1950-06-15"]
KINDS: dict[str, list[tuple[str, list[Any]]]] = {
    STRING: [
        ("String", _TEXTS),
        ("Nullable(String)", [*_TEXTS, None]),
        ("LowCardinality(String)", _TEXTS),
        ("LowCardinality(Nullable(String))", [*_TEXTS, None]),
        ("Enum8('Ada' = 1, 'Bo_b' = 2)", ["Ada", "Bo_b"]),
    ],
    NUMBER: [
        ("Int64", _INTEGERS),
        ("Nullable(Int32)", [*_INTEGERS, None]),
        ("UInt64", BIG),
        ("Decimal(12, 3)", _DECIMALS),
        ("Nullable(Float64)", [*_FLOATS, None]),
        ("Nullable(UInt8)", [0, 1, 200, 255, None]),
    ],
    BOOLEAN: [("Bool", [True, False]), ("Nullable(Bool)", [True, False, None]), ("UInt8", [0, 1])],
    TIME: [
        ("DateTime", _SECONDS),
        ("DateTime('America/New_York')", _SECONDS),
        ("Nullable(DateTime('UTC'))", [*_SECONDS, None]),
        ("DateTime64(3, 'UTC')", _MILLIS),
        ("Nullable(DateTime64(3))", [*_MILLIS, None]),
        ("DateTime64(6, 'Asia/Kathmandu')", _MICROS),
        ("Date", _DAYS),
        ("Nullable(Date32)", [*_OLD_DAYS, None]),
    ],
}
VALUES: dict[str, list[str]] = {
    STRING: ["Ada", "ada", "%", "", "_b", "ä", "it's", "{", "nobody"],
    NUMBER: ["0", "1", "2", "-2", "0.1", "10.005", "0.5", str(2**53), str(2**53 + 1), str(2**64 - 1)],
    BOOLEAN: ["true", "false"],
    TIME: [
        "2024-01-01",
        "2023-12-31",
        "2024-03-10",
        "2024-02-29",
        "2018-11-04",
        "1969-07-20",
        "2024-11-03",
        "2024-03-31",
        "2023-12-31T23:59:59.999",
        "2024-01-01T00:00:00.000",
    ],
}
ZONES = [
    *("UTC", "Europe/Vienna", "America/New_York", "Australia/Lord_Howe"),
    *("Asia/Kathmandu", "America/Sao_Paulo", "Pacific/Apia"),
]
CUSTOM = [
    {"interval": "2 months", "origin": "2024-01-31"},
    {"interval": "1 year", "origin": "2024-08-15"},
    {"interval": "1 year", "offset": "-6 months"},
    {"interval": "6 hours"},
    {"interval": "10 days", "origin": "2024-02-29 10:00:00"},
    {"interval": "1 month 3 days", "origin": "2024-01-15 06:00:00"},
    {"interval": "1 week", "offset": "2 days"},
    {"interval": "15 minutes"},
]
WINDOWS = [
    {"trailing": "unbounded"},
    {"trailing": "1 day"},
    {"trailing": "7 days"},
    {"trailing": "3 hours"},
    {"trailing": "1 month"},
    {"trailing": "2 months", "leading": "1 month"},
    {"trailing": "1 quarter"},
    {"trailing": "1 year", "offset": "start"},
    {"trailing": "2 weeks", "leading": "1 week", "offset": "start"},
    {"leading": "1 month"},
    {"leading": "unbounded", "trailing": "1 day"},
    {"trailing": "unbounded", "offset": "start"},
    {"type": "to_date", "granularity": "year"},
    {"type": "to_date", "granularity": "quarter"},
    {"type": "to_date", "granularity": "month"},
    {"type": "to_date", "granularity": "week"},
]
SHIFTS = [
    {"interval": "1 year", "type": "prior"},
    {"interval": "1 month", "type": "prior"},
    {"interval": "1 month", "type": "next"},
    {"interval": "7 days", "type": "prior"},
    {"interval": "1 quarter", "type": "next"},
]
