"""`python -m tests.engine.cases`: how many of other people's cases pass, set by set, and why each other does not."""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

import pytest

from tests.engine.expected import corrected, pending
from tests.shared import SHARED

_HERE = Path(__file__).parent
_DATES = "test_reads_the_recorded_ranges"
_COLUMNS = ("cases", "passed", "corrected", "unsayable", "later", "failed")
"""Corrected: the recorded rows are wrong, ours are those by hand. Unsayable: the format has no word for it."""
_TESTS = {
    "test_cube_rest_cases": ("Cube: REST queries", "cube_rest", _HERE / "test_cases_cube.py"),
    "test_cube_compiler_cases": ("Cube: compiler queries", "cube_compiler", _HERE / "test_cases_cube.py"),
    _DATES: ("Cube: date strings", "", _HERE / "query" / "test_dates.py"),
    "test_answers_as_cube_answered": ("Cube: recorded exchanges", "", _HERE.parent / "api/queries/test_wire.py"),
    "test_lets_in_whom_cube_let_in": ("Cube: recorded tokens", "", _HERE.parent / "api/queries/test_wire.py"),
    "test_metricflow_cases": ("MetricFlow: metrics", "metricflow", _HERE / "test_cases_metricflow.py"),
    "test_ossie_vectors": ("Ossie: vectors", "ossie", _HERE / "test_cases_ossie.py"),
}


@dataclass(eq=False)
class Outcomes:
    """A pytest plugin that keeps how each case of each test ended."""

    found: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the end of a case: passed, explained (a failure that its line foretells), failed or skipped."""
        if report.when != "call" and not (report.failed or report.skipped):
            return
        test, _, case = report.nodeid.rpartition("::")[2].partition("[")
        explained = report.skipped and hasattr(report, "wasxfail")
        self.found[test][case.removesuffix("]")] = "explained" if explained else report.outcome


def main() -> int:
    """Run the cases and print the table; 1 if any fails without a reason."""
    outcomes = Outcomes()
    files = [f"{path}::{test}" for test, (_, _, path) in _TESTS.items()]
    with redirect_stdout(StringIO()):
        pytest.main(["-q", "--no-header", "-p", "no:xdist", *files], plugins=[outcomes])
    print(f"{'set':<28}" + "".join(f"{word:>11}" for word in _COLUMNS))
    unexplained = 0
    for test, (title, suite, _) in _TESTS.items():
        ends = outcomes.found[test]
        count = Counter(ends.values())
        weight = _dates() if test == _DATES else 1
        differs = sum(ends.get(case) == "explained" for case in pending(suite, "differs"))
        mended = sum(ends.get(case) == "passed" for case in corrected(suite))
        later, failed, passed = count["explained"] - differs, count["failed"], count["passed"] - mended
        unexplained += failed
        numbers = (len(ends) * weight, passed * weight, mended, differs, later, failed * weight)
        print(f"{title:<28}" + "".join(f"{number:>11}" for number in numbers))
    _explain(outcomes)
    return 1 if unexplained else 0


def _explain(outcomes: Outcomes) -> None:
    for test, (title, suite, _) in _TESTS.items():
        mended = {case: f"corrected: {each['because']}" for case, each in corrected(suite).items()}
        reasons = mended | pending(suite)
        others = {case: end for case, end in outcomes.found[test].items() if end != "passed" or case in mended}
        if others:
            print(f"\n{title}")
        for case, end in others.items():
            print(f"  {case:<72} {reasons.get(case, end)}")


def _dates() -> int:
    path = SHARED / "cases" / "cube" / "date_ranges.json" if SHARED else None
    return len(json.loads(path.read_text())) if path and path.exists() else 1


if __name__ == "__main__":
    sys.exit(main())
