"""However large the file, the import needs the same memory."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ingestion.importers.conftest import SMALL

ROOT = Path(__file__).resolve().parents[3]
RUN = """
import resource, sys
from pathlib import Path
from ingestion.importers import import_folder
report = import_folder(sys.argv[1], Path(sys.argv[2]))
print(report.tables["responses"].inserted, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def _folder(path: Path, rows: int) -> Path:
    path.mkdir()
    for name, text in SMALL.items():
        (path / f"{name}.csv").write_text(text)
    (path / "responses.csv").unlink()
    header = SMALL["responses"].split("\n", 1)[0]
    with gzip.open(path / "responses.csv.gz", "wt", compresslevel=1) as file:
        file.write(header + "\n")
        for n in range(1, rows + 1):
            file.write(
                f"r{n},1,1,1,1,1,{n},A,1,1,{n % 90}.5,2024-03-01T08:{n // 60 % 60:02}:{n % 60:02}.{n % 1000:03}Z\n"
            )
    return path


def _run(url: str, folder: Path) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", RUN, url, str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        text=True,
    )
    rows, peak = done.stdout.split()
    return int(rows), int(peak)


@pytest.mark.timeout(240)
def test_four_times_the_rows_need_no_more_memory(postgres_url: str, tmp_path: Path) -> None:
    small_rows, small_peak = _run(postgres_url, _folder(tmp_path / "one", 120_000))
    large_rows, large_peak = _run(postgres_url, _folder(tmp_path / "four", 480_000))
    assert (small_rows, large_rows) == (120_000, 480_000)
    assert large_peak < small_peak * 1.15
