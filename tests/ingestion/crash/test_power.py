"""Power fails: what ClickHouse had not brought to the disk is gone after the start, whatever Postgres says.

Our tables bring each insert to the disk; the log of tokens and the results of merges are not. So a loss is simulated
on the folder of a process that was killed: files that a disk may have lost are taken away.
"""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.ingestion.crash.conftest import Zygote
from tests.ingestion.ledger import Ledger


def _events(folder: Path) -> Path:
    return (folder / "clickhouse" / "data" / "default" / "events").resolve()


def _parts(folder: Path) -> list[Path]:
    """The newest first."""
    parts = [path for path in _events(folder).iterdir() if path.is_dir() and path.name[:1].isdigit()]
    assert parts, "there is no part"
    return sorted(parts, key=lambda part: (int(part.name.split("_")[1]), part.name), reverse=True)


def _nothing(folder: Path) -> None:
    assert _parts(folder)


def _log(folder: Path) -> None:
    for path in _logs(folder):
        path.unlink()


def _end_of_the_log(folder: Path) -> None:
    newest = _logs(folder)[-1]
    newest.write_bytes(newest.read_bytes()[:-5])


def _logs(folder: Path) -> list[Path]:
    found = sorted((_events(folder) / "deduplication_logs").iterdir())
    assert found, "ClickHouse keeps no log of tokens"
    return found


def _a_part(folder: Path) -> None:
    shutil.rmtree(_parts(folder)[0])


def _every_part(folder: Path) -> None:
    for part in _parts(folder):
        shutil.rmtree(part)


def _half_a_column(folder: Path) -> None:
    """What the file system had not written ends too early; ClickHouse puts such a part aside when it starts."""
    data = next(iter(sorted(_parts(folder)[0].glob("*.bin"))))
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])


LOSSES: list[Callable[[Path], None]] = [_nothing, _log, _end_of_the_log, _a_part, _every_part, _half_a_column]


@pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.__name__.strip("_"))
def test_a_batch_that_was_not_confirmed_is_made_whole(
    lose: Callable[[Path], None], postgres_url: str, zygote: Zygote, tmp_path: Path
) -> None:
    assert _lived("inserted", lose, postgres_url, zygote, tmp_path).faults == {}


@pytest.mark.parametrize("lose", LOSSES, ids=lambda lose: lose.__name__.strip("_"))
def test_an_audit_makes_a_confirmed_batch_whole(
    lose: Callable[[Path], None], postgres_url: str, zygote: Zygote, tmp_path: Path
) -> None:
    assert _lived("committed", lose, postgres_url, zygote, tmp_path, audit="yes").faults == {}


def _lived(
    arrow: str, lose: Callable[[Path], None], url: str, zygote: Zygote, folder: Path, audit: str | None = None
) -> Ledger:
    shutil.copytree(zygote.template, folder, symlinks=True, dirs_exist_ok=True)
    case = {"url": url, "folder": str(folder), "scenario": "facts"}
    assert zygote.ask(**case, arrow=arrow) == -signal.SIGKILL
    lose(folder)
    assert zygote.ask(**case, arrow=None, audit=audit) == 0
    return Ledger(**json.loads((folder / "ledger.json").read_text()))
