"""The star, the question, and how long a planner takes for it: the same for every peer, standard library only.

The star: answers (many) → students (one). The question: how many answers and their mean time, by grade and house of
the student and by month, of answers which took longer than so many seconds; the seconds differ with each call.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable
from typing import Any

COLUMNS = ("grade", "house")
"""Texts of a student."""
_MONTH = re.compile(r"month", re.IGNORECASE)
_JOIN = re.compile(r"\bjoin\b", re.IGNORECASE)

Ask = Callable[[int], str]
"""Seconds → the SQL of the question, and its parameters if it has any."""


def measure(imports: Callable[[], Any], load: Callable[[Any], dict[str, Ask]]) -> None:
    """Print milliseconds: `import`, `load`, the `first` question, and the `warm` ones of each line of `load`."""
    calls, seconds = int(sys.argv[1]), int(sys.argv[2])
    modules, import_ms = _timed(imports)
    lines, load_ms = _timed(lambda: load(modules))
    opening = [_asked(ask, seconds) for ask in lines.values()]
    warm = {name: [_asked(ask, seconds + 1 + number) for number in range(calls)] for name, ask in lines.items()}
    print(json.dumps({"import": import_ms, "load": load_ms, "first": opening[0], "warm": warm}))


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    result = work()
    return result, (time.perf_counter() - began) * 1000


def _asked(ask: Ask, seconds: int) -> float:
    sql, ms = _timed(lambda: ask(seconds))
    _check(sql, seconds)
    return ms


def _check(sql: str, seconds: int) -> None:
    if not (_MONTH.search(sql) and _JOIN.search(sql) and str(seconds) in sql):
        raise SystemExit(f"this SQL does not answer the question:\n{sql}")
