"""Processes that can be killed, made in milliseconds: a fork of one that has imported everything and opened nothing.

Each line on the standard input is a case in JSON; the answer is a line with how its process ended. A case without an
arrow finishes what another left, one without a database makes the tables.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import traceback
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from core.clock import now
from core.settings import Settings
from core.tables import create_tables
from core.telemetry import configure_logging
from core.warehouse import Warehouse
from ingestion.audit import audit
from ingestion.term import elect
from tests.ingestion.crash.scenarios import SCENARIOS, World, finish
from tests.ingestion.crash.ways import failing, kill
from tests.ingestion.ledger import balance


async def _run(case: dict[str, Any]) -> None:
    folder = Path(case["folder"])
    settings = Settings(data_dir=folder, batch_rows=50, log_level="error")
    configure_logging(settings)
    warehouse = Warehouse(f"chdb://{folder / 'clickhouse'}", threads=1)
    await create_tables(warehouse)
    if case["url"] is None:
        return
    told = os.open(folder / "told", os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def acknowledge(identifier: UUID) -> None:
        os.write(told, f"{identifier}\n".encode())

    world = World(case["url"], case["url"], warehouse, settings, acknowledge)
    if case["arrow"]:
        await SCENARIOS[case["scenario"]](world, failing(case["arrow"], kill))
    await finish(world)
    if case.get("audit"):
        _audit(case["url"], warehouse)
    ledger = balance(case["url"], warehouse, (folder / "told").read_text().split())
    (folder / "ledger.json").write_text(json.dumps(asdict(ledger)))


def _audit(url: str, warehouse: Warehouse) -> None:
    """What the minute's audit does."""
    deadline = time.monotonic() + 10
    while not (term := elect(url, warehouse, 50)):  # the last one's connection has not ended yet
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for _ in audit(term, since=now() - timedelta(hours=1)):
        pass
    term.end()


def main() -> None:
    """Serve until the input ends."""
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                asyncio.run(_run(json.loads(line)))
                code = 0
            except BaseException:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
