"""`make chaos`: real kills of loaders, API, Postgres and ClickHouse while clients write; exit code 1 on any fault."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from benchmarks.table import show
from tests.chaos.run import Outcome, chaos


def main() -> int:
    """Run and print the account."""
    parser = argparse.ArgumentParser(prog="make chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edu-chaos-") as folder:
        outcome = asyncio.run(chaos(Path(folder), chosen.seconds, chosen.seed))
    _print(outcome, chosen.seed)
    return 1 if outcome.ledger.faults else 0


def _print(outcome: Outcome, seed: int) -> None:
    ledger = outcome.ledger
    rows: list[tuple[object, ...]] = [(f"kill -9 of {name}", number) for name, number in outcome.kills.items()]
    rows += [
        ("kills", outcome.kills.total()),
        ("requests", outcome.requests),
        ("sent again", outcome.again),
        ("batches recovered", outcome.recovered),
        ("events acknowledged", ledger.acknowledged),
        ("facts in Postgres", ledger.record),
        ("facts in ClickHouse", ledger.warehouse),
        ("acknowledged and lost", ledger.lost),
        ("missing in ClickHouse", ledger.missing),
        ("more than once", ledger.double),
        ("phantoms", ledger.phantom),
        ("stale rows of dimensions", ledger.stale),
    ]
    show(f"Chaos (seed {seed})", ["", "number"], rows)


if __name__ == "__main__":
    sys.exit(main())
