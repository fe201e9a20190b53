"""Where other people's data and cases lie; a test that needs them skips where they are absent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_FOLDER = Path(os.environ.get("EDU_SHARED_DIR", Path(__file__).resolve().parent.parent.parent / "shared"))
SHARED: Path | None = _FOLDER if _FOLDER.is_dir() else None


def shared(*parts: str) -> Path:
    """A file or folder of the shared data; skips the test if it is not on this machine."""
    path = _FOLDER.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"needs shared data: {'/'.join(parts)} is not on this machine")
    return path
