"""What a live quiz may do beyond one question after the other (0008_live.sql)."""

from __future__ import annotations

from pathlib import Path

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Run the script beside this file."""
    script = Path(__file__).with_suffix(".sql").read_text()
    op.get_bind().exec_driver_sql(script.replace("%", "%%"))
