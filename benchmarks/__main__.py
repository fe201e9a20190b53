"""`python -m benchmarks [NAME …]`: runs each benchmark in a process of its own and prints its table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parent
_LEFT_OUT = {"__init__", "__main__", "table", "workbench", "large_catalog", "large_district", "plain_service"}
_LEFT_OUT |= {"live_node", "live_peers", "live_wire"}


def names() -> list[str]:
    """Every benchmark of this folder."""
    return sorted(path.stem for path in _ROOT.glob("*.py") if path.stem not in _LEFT_OUT)


def main() -> int:
    """Run the named benchmarks, or all; returns the worst exit code."""
    chosen = sys.argv[1:] or names()
    unknown = set(chosen) - set(names())
    if unknown:
        print(f"There is no benchmark {', '.join(sorted(unknown))}; there are: {', '.join(names())}.")
        return 2
    return max(subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode for name in chosen)


if __name__ == "__main__":
    sys.exit(main())
