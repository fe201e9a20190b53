"""Data of other systems → the record.

source (a folder of CSV files: reading → cells → folder; or a made-up district) → chunks of typed records
→ loading → dimensions (staged, compared, upserted) | facts (checked, encoded) → writing → Postgres.
What could not be taken: rejects; what was done: report.
"""

from __future__ import annotations

from ingestion.importers.loading import import_folder, import_source
from ingestion.importers.rejects import Reject
from ingestion.importers.report import Callback, ImportReport, TableReport

__all__ = ["Callback", "ImportReport", "Reject", "TableReport", "import_folder", "import_source"]
