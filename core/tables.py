"""ClickHouse's schema: numbered SQL files, each run once, its checksum kept."""

from __future__ import annotations

import hashlib
from pathlib import Path

from clickhouse_connect.driver.client import Client

from core.errors import StartupError
from core.warehouse import Warehouse

_FOLDER = Path(__file__).resolve().parent.parent / "migrations" / "warehouse"
_HISTORY = """
CREATE TABLE IF NOT EXISTS schema_history (name String, checksum String, at DateTime DEFAULT now())
ENGINE = MergeTree ORDER BY name SETTINGS fsync_after_insert = 1
"""


async def create_tables(warehouse: Warehouse) -> None:
    """Run the files that have not run yet; a file changed after its run stops the start."""
    await warehouse.run(_create)


def _create(client: Client) -> None:
    client.command(_HISTORY)
    rows = client.query("SELECT name, checksum FROM schema_history").result_rows
    done = {str(row[0]): str(row[1]) for row in rows}
    for path in sorted(_FOLDER.glob("*.sql")):
        text = path.read_text()
        checksum = hashlib.sha256(text.encode()).hexdigest()
        if path.name not in done:
            for statement in _statements(text):
                client.command(statement)
            client.insert("schema_history", [[path.name, checksum]], column_names=["name", "checksum"])
        elif done[path.name] != checksum:
            raise StartupError(f"{path.name} was changed after it had run.", hint="Write a new file instead.")


def _statements(text: str) -> list[str]:
    code = "\n".join(line for line in text.splitlines() if not line.startswith("--"))
    return [part.strip() for part in code.split(";\n") if part.strip()]
